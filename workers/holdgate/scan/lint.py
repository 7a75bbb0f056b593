"""What is wrong with rules, before any text is looked at with them: for the built-in ones and for custom detectors.

What always holds: rules without an error load into the engine, find their own true examples through all of it and none
of their false ones, and cost no more than rules may. Pure: the same rules have the same problems.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import re2

from holdgate.kernel.patterns import compiled, longest, pattern_problems
from holdgate.scan.anchors import cheap_anchor
from holdgate.scan.engine import PIECE_BYTES, Engine
from holdgate.scan.errors import RulesInvalid
from holdgate.scan.examples import made
from holdgate.scan.findings import SECRETS
from holdgate.scan.ordinary import ordinary_text
from holdgate.scan.ruleset import Rule, compile_latin1, latin1_options

if TYPE_CHECKING:
    from random import Random  # noqa: TID251  the type of an argument

ORDINARY_BYTES = 128 * 1024
FIRES_MAX = 0.1
"""In which share of the pieces of ordinary text an anchor may fire."""
LONG_BYTES_MIN = 4096
"""From this `max_len` on a `regex` behind an anchor may repeat without a bound: RE2 counts to 1000, and the engine ends
its window at `max_len` anyway. Blocks of keys and signed tokens need it."""
_UNBOUNDED = "a repeat without a bound"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a rule: in which field, and what to do. With an `error` the rule is not to be used."""

    rule: str
    field: str
    says: str
    level: Literal["error", "warning"] = "error"


def lint_rules(rules: Sequence[Rule], chance: Random, *, builtin: bool = False) -> list[Problem]:
    """Every problem of `rules`, in their order. `builtin`: also what only rules that come with Holdgate must have.

    `chance` makes the secret parts of examples; a seeded one makes the same, whatever other rules there are.
    """
    problems = [*_repeated(rules), *(problem for rule in rules for problem in _pattern_problems(rule))]
    broken = {problem.rule for problem in problems}
    sound = [rule for rule in rules if rule.id not in broken]
    problems += _fired_on_ordinary(sound)
    engine, seed = Engine(sound), chance.getrandbits(64)
    for rule in sound:
        problems += _example_problems(rule, engine, type(chance)(f"{seed} {rule.id}"), builtin)
        if builtin and rule.category in SECRETS and not rule.docs.startswith("https://"):
            problems.append(Problem(rule.id, "docs", "say where the format is documented: an https address"))
    order = {rule.id: place for place, rule in reversed(list(enumerate(rules)))}
    return sorted(problems, key=lambda problem: order[problem.rule])


def _repeated(rules: Iterable[Rule]) -> Iterator[Problem]:
    for name, count in Counter(rule.id for rule in rules).items():
        if count > 1:
            yield Problem(name, "id", f"{count} rules have this id; give each its own")


def _pattern_problems(rule: Rule) -> Iterator[Problem]:
    long = rule.anchor is not None and rule.max_len >= LONG_BYTES_MIN
    found = pattern_problems(
        # What repeats without a bound on purpose has no length to check; the rest of it is checked beside its anchor.
        (rule.anchor or "") if long and _is_endless(rule.regex) else rule.regex,
        rule.max_len,
        anchor=rule.anchor,
        before=rule.before,
        group=None if long else rule.group,
        context=rule.context,
        near=rule.near,
        stop=rule.stop,
    )
    for field, says in found:
        yield Problem(rule.id, field, says)
    if rule.unless is not None and not _compiles(rule.unless):
        yield Problem(rule.id, "unless", "RE2 does not compile it; use classes, groups and bounded repeats")
    if long and not _compiles(rule.regex):
        yield Problem(rule.id, "regex", "RE2 does not compile it; use classes, groups and repeats")


def _is_endless(pattern: str) -> bool:
    return longest(pattern) is None


def _compiles(pattern: str) -> bool:
    try:
        compiled(pattern)
        re.compile(pattern.encode("ascii"))
    except (re2.error, re.error, UnicodeEncodeError):
        return False
    return True


def _fired_on_ordinary(rules: Sequence[Rule]) -> Iterator[Problem]:
    """Anchors that fire on ordinary text: each time the rule's regex reads the piece, which costs all texts."""
    found = re2.Set.SearchSet(latin1_options())
    for rule in rules:
        found.Add(cheap_anchor(rule.anchor or rule.regex).encode("ascii"))
    found.Compile()
    pieces = _ordinary_pieces()
    fired = Counter(index for piece in pieces for index in found.Match(piece) or ())
    for index, count in sorted(fired.items()):
        rule = rules[index]
        if count > FIRES_MAX * len(pieces) and not rule.keywords:
            share = round(100 * count / len(pieces))
            field = "regex" if rule.anchor is None else "anchor"
            yield Problem(
                rule.id,
                field,
                f"fires in {share} of 100 pieces of ordinary text; begin it with letters of the format, or name "
                "`keywords`",
                "warning",
            )


@cache
def _ordinary_pieces() -> tuple[bytes, ...]:
    text = ordinary_text(ORDINARY_BYTES).encode("ascii")
    return tuple(text[start : start + PIECE_BYTES] for start in range(0, len(text), PIECE_BYTES))


def _example_problems(rule: Rule, engine: Engine, chance: Random, builtin: bool) -> Iterator[Problem]:
    if not rule.examples.true:
        level: Literal["error", "warning"] = "error" if builtin else "warning"
        yield Problem(rule.id, "examples", "has none under `true`; write one text that it must find", level)
    agree = _agreement(rule)
    for wanted, templates in ((True, rule.examples.true), (False, rule.examples.false)):
        for template in templates:
            try:
                data = made(template, chance).encode("latin-1", "replace")
            except RulesInvalid as error:
                yield Problem(rule.id, "examples", f"`{template}`: {error}")
                continue
            if (rule.id in {hit.detector for hit in engine.hits(data)}) is not wanted:
                yield Problem(rule.id, "examples", _unexpected(rule, template, data, wanted))
            if not agree(data):
                yield Problem(rule.id, "regex", f"RE2 and `re` read it differently in `{template}`; write it plainer")


def _unexpected(rule: Rule, template: str, data: bytes, wanted: bool) -> str:
    """Which part of a rule stands in the way of an example."""
    if not wanted:
        return f"`{template}` is found and must not be; tighten `regex`, or add `stop`, `entropy` or `unless`"
    if rule.anchor is not None and not compile_latin1(rule.anchor).search(data):
        return f"`{template}` is not found: the `anchor` does not match it; make it match what `regex` does"
    if not compile_latin1(rule.regex).search(data):
        return f"`{template}` is not found: the `regex` does not match it"
    return (
        f"`{template}` is not found, though `regex` matches: look at `before`, `max_len`, `keywords`, `context`, "
        "`unless`, `entropy`, `stop` and `validator`"
    )


def _agreement(rule: Rule) -> Callable[[bytes], bool]:
    one, other = compile_latin1(rule.regex), re.compile(rule.regex.encode("ascii"))

    def agree(data: bytes) -> bool:
        return _spans(one.search(data)) == _spans(other.search(data))

    return agree


def _spans(match: Any) -> list[tuple[int, int]] | None:
    return None if match is None else [match.span(number) for number in range(match.re.groups + 1)]
