"""Rules as data: what a rules file may hold, read strictly. One file a family, under `rules/`.

What always holds: an unknown key, a repeated id, a pattern that RE2 or the bounds refuse ends the loading; no rule is
left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import re2
import yaml

from holdgate.scan.errors import RulesInvalid
from holdgate.scan.findings import Category, Severity
from holdgate.scan.validators import VALIDATORS

ANCHOR_BYTES_MAX = 256
"""How long a match of an anchor may be: pieces overlap by this much, so that no anchor falls between two of them."""
MATCH_BYTES_MAX = 16 * 1024
BEFORE_BYTES_MAX = 64
PATTERN_CHARS_MAX = 1000
ENTROPY_DEFAULT = 2.3
"""Of a secret whose rule names none: rows of one letter and the like stand for a secret in examples."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One detector.

    `anchor`: what the multi-pattern engine looks for; at most `ANCHOR_BYTES_MAX` bytes match. Without one, `regex`.
    `regex`: confirms and locates, from `before` bytes ahead of the anchor's piece to `max_len` bytes behind it.
    The value is the first group that took part, else the whole match. `entropy`: bits a character at least.
    """

    id: str
    category: Category
    severity: Severity
    regex: str
    max_len: int
    anchor: str | None = None
    before: int = 0
    entropy: float = 0.0
    validator: str | None = None
    stop: tuple[str, ...] = ()


_KEYS = {"id", "category", "severity", "regex", "max_len", "anchor", "before", "entropy", "validator", "stop"}
_REQUIRED = {"id", "category", "severity", "regex", "max_len"}


def parse_rules(text: str, source: str) -> list[Rule]:
    """The rules of one file; RulesInvalid says where and why."""
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
    return [_rule(item, f"{source}[{index}]") for index, item in enumerate(document["rules"])]


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
    return check_rules(rule for item in files for rule in parse_rules(item.read_text("utf-8"), item.name))


def _rule(item: Any, where: str) -> Rule:
    if not isinstance(item, Mapping) or not _REQUIRED <= set(item) <= _KEYS:
        raise RulesInvalid(f"`{where}` needs {sorted(_REQUIRED)} and may have {sorted(_KEYS - _REQUIRED)}")
    try:
        rule = Rule(
            **{
                **item,
                "category": Category(item["category"]),
                "severity": Severity(item["severity"]),
                "entropy": float(item.get("entropy", ENTROPY_DEFAULT if item["category"] == Category.SECRET else 0.0)),
                "stop": tuple(item.get("stop", ())),
            }
        )
    except (TypeError, ValueError) as error:
        raise RulesInvalid(f"`{where}`: {error}") from error
    _check(rule, where)
    return rule


def _check(rule: Rule, where: str) -> None:
    if not 0 < rule.max_len <= MATCH_BYTES_MAX or not 0 <= rule.before <= BEFORE_BYTES_MAX:
        raise RulesInvalid(f"`{where}`: `max_len` or `before` is out of bounds")
    if rule.anchor is None and rule.max_len > ANCHOR_BYTES_MAX:
        raise RulesInvalid(f"`{where}`: a rule over {ANCHOR_BYTES_MAX} bytes needs an `anchor`")
    if rule.validator is not None and rule.validator not in VALIDATORS:
        raise RulesInvalid(f"`{where}`: unknown validator `{rule.validator}`")
    for pattern in (rule.regex, rule.anchor or "", *rule.stop):
        if len(pattern) > PATTERN_CHARS_MAX or not pattern.isascii():
            raise RulesInvalid(f"`{where}`: a pattern is over {PATTERN_CHARS_MAX} characters or not ASCII")
        try:
            compile_latin1(pattern)
        except re2.error as error:
            raise RulesInvalid(f"`{where}`: {error}") from error


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
