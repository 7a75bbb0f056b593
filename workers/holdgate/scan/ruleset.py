"""Rules as data: what a rules file may hold, read strictly. One file a family, under `rules/`.

What always holds: an unknown key, a repeated id, a pattern that RE2 or the bounds refuse ends the loading; no rule is
left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import re2
import yaml

from holdgate.kernel import patterns
from holdgate.scan.errors import RulesInvalid
from holdgate.scan.findings import Category, Severity
from holdgate.scan.named import named_value
from holdgate.scan.validators import VALIDATORS

ANCHOR_BYTES_MAX = patterns.ANCHOR_BYTES_MAX
"""How long a match of an anchor may be: pieces overlap by this much, so that no anchor falls between two of them."""
BEFORE_BYTES_MAX = patterns.BEFORE_BYTES_MAX
NEAR_BYTES_MAX = patterns.NEAR_BYTES_MAX
KEYWORDS_MAX = 32
EXAMPLES_MAX = 64
PATTERNS_MAX = 32
ENTROPY_MAX = 8.0
ID_CHARS_MAX = 64
ENTROPY_DEFAULT = 2.3
"""Of a secret whose rule names none: rows of one letter and the like stand for a secret in examples."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Texts that a rule must find and texts that it must leave alone: templates of `examples.py`."""

    true: tuple[str, ...] = ()
    false: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One detector.

    `anchor`: what the multi-pattern engine looks for; at most `ANCHOR_BYTES_MAX` bytes match. Without one, `regex`.
    `regex`: confirms and locates, from `before` bytes ahead of the anchor's piece to `max_len` bytes behind it; without
    a `max_len` in its file, the longest match.
    `group`: the group that is the value; without one the first that took part, else the whole match.
    `entropy`: bits a character of the value at least. `stop`: patterns that no value may match.
    `keywords`: words of which one must stand within `near` bytes before or behind the match, in any case of letters.
    `context`: a pattern that must match within the `near` bytes ahead of the value.
    `unless`: a pattern that must not match there: a name that says that the value is no secret.
    `shadow`: what it finds is counted and changes no verdict. `docs`: where the format is documented.
    """

    id: str
    category: Category
    severity: Severity
    regex: str
    max_len: int
    anchor: str | None = None
    before: int = 0
    group: int | None = None
    entropy: float = 0.0
    validator: str | None = None
    stop: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    context: str | None = None
    unless: str | None = None
    near: int = 64
    examples: Examples = Examples()
    docs: str = ""
    shadow: bool = False


_FIELDS: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "category": (str,),
    "severity": (str,),
    "regex": (str,),
    "named": (dict,),
    "max_len": (int,),
    "anchor": (str,),
    "before": (int,),
    "group": (int,),
    "entropy": (int, float),
    "validator": (str,),
    "stop": (list,),
    "keywords": (list,),
    "context": (str,),
    "unless": (str,),
    "near": (int,),
    "examples": (dict,),
    "docs": (str,),
    "shadow": (bool,),
}
_REQUIRED = ("id", "category", "severity")
_ID = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*\Z")


def parse_rules(text: str, source: str) -> list[Rule]:
    """The rules of one file; RulesInvalid says where and why."""
    return [parse_rule(item, where) for item, where in _items(text, source)]


def parse_rule(item: Any, where: str) -> Rule:
    """One rule from parsed YAML or JSON; RulesInvalid names `where` and the field."""
    rule = _rule(item, where)
    with _naming(item, where):
        _check_patterns(rule)
    return rule


def check_rules(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The same rules, once their ids are unique; RulesInvalid otherwise."""
    checked = tuple(rules)
    seen: set[str] = set()
    for rule in checked:
        if rule.id in seen:
            raise RulesInvalid(f"two rules are called `{rule.id}`")
        seen.add(rule.id)
    return checked


@cache
def builtin_rules() -> tuple[Rule, ...]:
    """The rules that come with Holdgate."""
    folder = resources.files("holdgate.scan") / "rules"
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".yaml")), key=lambda item: item.name)
    # Their patterns are compiled by tests, and here when they first fire: a thousand take longer than all else.
    return check_rules(
        _rule(item, where) for file in files for item, where in _items(file.read_text("utf-8"), file.name)
    )


def compile_latin1(pattern: str) -> Any:
    """`pattern` for RE2 over bytes, a byte a character."""
    return re2.compile(pattern.encode("ascii"), latin1_options())


def latin1_options() -> Any:
    """Options of every pattern: bytes, quiet, enough memory that a hostile text does not flush the automaton."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = 32 << 20
    return options


def _items(text: str, source: str) -> Iterator[tuple[Any, str]]:
    """What a file lists, and how to call each in messages."""
    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  both are safe loaders
    except yaml.YAMLError as error:
        raise RulesInvalid(f"`{source}` is not YAML: {error}") from error
    if (
        not isinstance(document, dict)
        or set(document) != {"family", "rules"}
        or not isinstance(document["rules"], list)
    ):
        raise RulesInvalid(f"`{source}` needs `family` and a list of `rules`")
    for index, item in enumerate(document["rules"]):
        yield item, f"{source}[{index}]"


@contextmanager
def _naming(item: Any, where: str) -> Iterator[None]:
    """Errors inside begin with `where` and the rule's id."""
    try:
        yield
    except RulesInvalid as error:
        name = item.get("id") if isinstance(item, Mapping) else None
        raise RulesInvalid(f"`{where}`{f' ({name})' if isinstance(name, str) else ''}: {error}") from error


def _rule(item: Any, where: str) -> Rule:
    with _naming(item, where):
        return _checked(item)


def _checked(item: Any) -> Rule:
    _check_form(item)
    fields = {key: value for key, value in item.items() if key not in {"named", "examples"}}
    if "named" in item:
        fields = {**named_value(item["named"]), **fields}
    elif "max_len" not in item:
        fields["max_len"] = _longest(item["regex"])
    try:
        fields["category"] = Category(item["category"])
        fields["severity"] = Severity(item["severity"])
    except ValueError as error:
        raise RulesInvalid(f"{error}; categories: {', '.join(Category)}; severities: {', '.join(Severity)}") from error
    default = ENTROPY_DEFAULT if fields["category"] is Category.SECRET else 0.0
    fields["entropy"] = float(item.get("entropy", default))
    fields["stop"] = _texts(item, "stop", PATTERNS_MAX)
    fields["keywords"] = tuple(word.lower() for word in _texts(item, "keywords", KEYWORDS_MAX))
    examples = item.get("examples", {})
    if not set(examples) <= {"true", "false", True, False}:
        raise RulesInvalid("`examples` holds the lists `true` and `false`, nothing else")
    # YAML reads the bare words as booleans, JSON as texts.
    named = {str(key).lower(): value for key, value in examples.items()}
    fields["examples"] = Examples(_texts(named, "true", EXAMPLES_MAX), _texts(named, "false", EXAMPLES_MAX))
    rule = Rule(**fields)
    _check_bounds(rule)
    return rule


def _longest(regex: str) -> int:
    length = patterns.longest(regex)
    if length is None:
        _compiled("regex", regex)
        raise RulesInvalid("`regex` has no longest match; write its repeats as `{n,m}`, or say `max_len`")
    return length


def _check_form(item: Any) -> None:
    if not isinstance(item, Mapping):
        raise RulesInvalid("a rule is a mapping of fields")
    if missing := [key for key in _REQUIRED if key not in item]:
        raise RulesInvalid(f"`{'`, `'.join(missing)}` is missing")
    if unknown := sorted(str(key) for key in item if key not in _FIELDS):
        raise RulesInvalid(f"`{unknown[0]}` is no field of a rule; those are: {', '.join(_FIELDS)}")
    for key, value in item.items():
        if not isinstance(value, _FIELDS[key]) or (isinstance(value, bool) and bool not in _FIELDS[key]):
            raise RulesInvalid(f"`{key}` must be of the type {_FIELDS[key][-1].__name__}")
    if "named" in item and any(key in item for key in ("regex", "anchor", "group", "before", "max_len")):
        raise RulesInvalid("`named` stands for `regex`, `anchor`, `group`, `before` and `max_len`; leave those out")
    if "named" not in item and "regex" not in item:
        raise RulesInvalid("a rule needs `regex` or `named`")
    if not _ID.match(item["id"]) or len(item["id"]) > ID_CHARS_MAX:
        raise RulesInvalid(f"`id` is lower-case words joined by `-`, `_` or `.`, at most {ID_CHARS_MAX} characters")


def _check_bounds(rule: Rule) -> None:
    if not 0 < rule.max_len <= patterns.MATCH_BYTES_MAX:
        raise RulesInvalid(f"`max_len` must be 1 to {patterns.MATCH_BYTES_MAX}")
    if not 0 <= rule.before <= BEFORE_BYTES_MAX:
        raise RulesInvalid(f"`before` must be 0 to {BEFORE_BYTES_MAX}")
    if not 0 < rule.near <= NEAR_BYTES_MAX:
        raise RulesInvalid(f"`near` must be 1 to {NEAR_BYTES_MAX}")
    if not 0.0 <= rule.entropy <= ENTROPY_MAX:
        raise RulesInvalid(f"`entropy` must be 0 to {ENTROPY_MAX} bits a character")
    if rule.anchor is None and rule.max_len > ANCHOR_BYTES_MAX:
        raise RulesInvalid(f"a rule whose `max_len` is over {ANCHOR_BYTES_MAX} needs an `anchor`")
    if rule.validator is not None and rule.validator not in VALIDATORS:
        raise RulesInvalid(f"there is no validator `{rule.validator}`; those are: {', '.join(sorted(VALIDATORS))}")


def _check_patterns(rule: Rule) -> None:
    named = {"regex": rule.regex, "anchor": rule.anchor, "context": rule.context, "unless": rule.unless}
    for name, pattern in [*named.items(), *(("stop", stop) for stop in rule.stop)]:
        if pattern is None:
            continue
        compiled = _compiled(name, pattern)
        if name == "regex" and rule.group is not None and not 0 <= rule.group <= compiled.groups:
            raise RulesInvalid(f"`group` is {rule.group}, and `regex` has {compiled.groups}")


def _compiled(name: str, pattern: str) -> Any:
    if not pattern or len(pattern) > patterns.PATTERN_CHARS_MAX or not pattern.isascii():
        raise RulesInvalid(f"`{name}` must be 1 to {patterns.PATTERN_CHARS_MAX} ASCII characters")
    try:
        return compile_latin1(pattern)
    except re2.error as error:
        raise RulesInvalid(f"`{name}` does not compile: {_said(error)}") from error


def _texts(item: Mapping[str, Any], key: str, items_max: int) -> tuple[str, ...]:
    values = item.get(key, [])
    if not isinstance(values, list) or len(values) > items_max:
        raise RulesInvalid(f"`{key}` is a list of at most {items_max} texts")
    if not all(isinstance(value, str) and 0 < len(value) <= patterns.PATTERN_CHARS_MAX for value in values):
        raise RulesInvalid(f"each of `{key}` is a text of 1 to {patterns.PATTERN_CHARS_MAX} characters")
    return tuple(values)


def _said(error: Exception) -> str:
    text = error.args[0] if error.args else error
    return text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)
