"""All anchors as a few RE2 sets. An automaton of them all would have the product of what each kind remembers.

A set must remember how far it is in each of its patterns, so that one of words, prefixes, long runs and numbers of
persons together meets a new state at almost every byte of a text that it has not seen (0.2 MB/s with 570 rules). Apart,
each has met its few states soon; what is read is the text once a kind.

What always holds: each set finds the sentinel, or the answer is that nothing ran.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, cast

import re2

from holdgate.scan.anchors import cheap_anchor
from holdgate.scan.confirm import latin1
from holdgate.scan.errors import EngineFailed, RulesInvalid
from holdgate.scan.findings import Category
from holdgate.scan.ruleset import Rule

SET_MEMORY_BYTES = 12 * 1024 * 1024
"""Of one set's automaton, which keeps what it has seen; ordinary text takes one or two."""
SHARED_MAX = 16
"""Sets that all scanners of a process share; those of the built-in rules are about seven."""
RUN_MIN = 9
SENTINEL = b"\n\x00holdgate sentinel\x00"
SENTINEL_PATTERN = SENTINEL.replace(b"\x00", b"\\x00").replace(b"\n", b"\\n")
_COUNT = re.compile(r"\{(?:\d+,)?(\d+)\}")


class AnchorSet(Protocol):
    """All anchors, to be looked for at once; behind them, as the last, the sentinel."""

    def Match(self, text: bytes) -> list[int] | None:  # noqa: N802  the name that RE2 gives it
        """Which of them are in `text`; nothing at all when it did not run."""


class PartedSet:
    """Anchors in sets by kind."""

    def __init__(self, rules: Sequence[Rule], anchors: Sequence[str]) -> None:
        kinds: dict[str, list[int]] = {}
        for number, (rule, anchor) in enumerate(zip(rules, anchors, strict=True)):
            kinds.setdefault(_kind(rule, anchor), []).append(number)
        numbered: list[list[int]] = list(kinds.values()) or [[]]
        self._sentinel = len(anchors)
        self._parts = [
            (re2_set(tuple(anchors[number] for number in numbers)).Match, len(numbers), numbers) for numbers in numbered
        ]

    def Match(self, text: bytes) -> list[int]:  # noqa: N802  the name that RE2 gives it
        """Which anchors are in `text`, and the sentinel when each set found it."""
        found: list[int] = []
        for match, sentinel, numbers in self._parts:
            fired = match(text)
            if not fired or sentinel not in fired:
                return []
            if len(fired) > 1:
                found += [numbers[index] for index in fired if index != sentinel]
        found.append(self._sentinel)
        return found


def set_anchor(rule: Rule) -> str:
    """What is looked for in place of a rule's anchor: that, cut where its automaton would grow.

    Orders are prose, of words that every text has: what follows them, over a gap, is what tells. They stay whole, in an
    automaton of their own.
    """
    anchor = rule.anchor or rule.regex
    return anchor if rule.category is Category.UNTRUSTED_INSTRUCTIONS else cheap_anchor(anchor)


@lru_cache(maxsize=SHARED_MAX)  # no search changes what another finds; to make one takes time and memory
def re2_set(anchors: tuple[str, ...]) -> AnchorSet:
    """One set of `anchors` and the sentinel. EngineFailed, RulesInvalid."""
    found = re2.Set.SearchSet(latin1(SET_MEMORY_BYTES))
    try:
        for anchor in anchors:
            found.Add(anchor.encode("ascii"))
    except re2.error as error:
        raise RulesInvalid(f"an anchor does not compile; lint the rules: {error}") from error
    found.Add(SENTINEL_PATTERN)
    found.Compile()
    # An anchor may fire on it, too: a tenant's own may be any letters.
    if len(anchors) not in (found.Match(SENTINEL) or ()):
        raise EngineFailed("the pattern engine does not find its own sentinel")
    return cast("AnchorSet", found._set)  # without the wrapper, which only turns texts into bytes


def _kind(rule: Rule, anchor: str) -> str:
    """What an anchor makes its automaton remember."""
    if rule.category in {Category.PII, Category.UNTRUSTED_INSTRUCTIONS}:
        return str(rule.category)
    if any(int(count) >= RUN_MIN for count in _COUNT.findall(anchor)):
        return "run"
    return "words" if "(?i" in anchor else "prefix"
