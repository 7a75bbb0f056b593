"""The pattern engine: RE2 sets over pieces of the text (`sets.py`), then each rule that fired confirms and locates.

What always holds: each piece carries a sentinel that must be found, because RE2's set answers the same for "nothing
matches" and "out of memory"; a piece without it is an `EngineFailed`, never a clean piece. Work is counted in bytes
looked at and bounded; so are time and the number of findings. Text goes in as latin-1 bytes, one byte a character, so
that offsets are offsets in the text; what latin-1 cannot say becomes `?`, which no vendor's format contains.

What a rule costs, and so what makes a good anchor. The sets read each byte once a kind, whatever the number of rules;
a rule costs when its anchor fires: then its `regex` reads the piece (about 10 us), and each match is looked at in
Python (about 5 us, plus its validator). So an anchor should begin with letters of its own (`\\bghp_`), at least three,
and fire on less than one piece of ordinary text in a hundred. Gaps and long counts behind a word need not be avoided:
`anchors.py` cuts them off in the set, and `regex` checks them; but a word of every text (`send `, `token`) with a gap
behind it is then such a word alone. Gaps of up to eight bytes are kept: what can stand there and tells more belongs
there. Long counts without a word boundary ahead are the worst: each letter may begin one. A byte that each match has
and few texts do is looked up first. `python -m bench.scan --anchors` names the rules that cost.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from holdgate.kernel.patterns import ANCHOR_BYTES_MAX
from holdgate.scan.confirm import CompiledRule, holds
from holdgate.scan.errors import EngineFailed, ScanIncomplete, ScanTimedOut
from holdgate.scan.findings import Category, Severity
from holdgate.scan.ruleset import Rule
from holdgate.scan.sets import SENTINEL, AnchorSet, PartedSet, set_anchor

PIECE_BYTES = 4096
GROUP_BYTES = 4 * PIECE_BYTES
"""Pieces that are looked at before what fired in them is: a rule that fires in neighbours reads them at once."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one scan, with all its views, may cost. What lies beyond it is an error, never a clean text.

    `work_per_byte`: bytes looked at for each byte of text, above a free `work_base`. `decoded_factor`: bytes that may
    come out of decoding for each byte of text, above a free `decoded_base`; `depth_max`: decoders inside each other.
    """

    seconds: float = 5.0
    work_per_byte: int = 200
    work_base: int = 4 * 1024 * 1024
    findings_max: int = 50_000
    text_chars_max: int = 64 * 1024 * 1024
    decoded_factor: int = 8
    decoded_base: int = 1024 * 1024
    depth_max: int = 3


@dataclass(frozen=True, slots=True)
class Hit:
    """A confirmed match of a rule: offsets of the value."""

    detector: str
    category: Category
    severity: Severity
    start: int
    end: int


class _Ends(threading.local):
    """When the scans that run on this thread have to end, at the latest."""

    at = math.inf


_ENDS = _Ends()


@contextmanager
def all_within(seconds: float) -> Iterator[None]:
    """All scans on this thread share these seconds, beside the time that each has."""
    before = _ENDS.at
    _ENDS.at = min(before, time.monotonic() + seconds)
    try:
        yield
    finally:
        _ENDS.at = before


class Meter:
    """What is left of a budget. One for a scan: all views of a text share it."""

    __slots__ = ("_budget", "_deadline", "_decoded_left", "_findings_left", "_work_left")

    def __init__(self, budget: Budget, text_bytes: int = 0) -> None:
        self._budget = budget
        self._work_left = budget.work_base
        self._decoded_left = budget.decoded_base
        self._findings_left = budget.findings_max
        self._deadline = min(time.monotonic() + budget.seconds, _ENDS.at)
        self.grant(text_bytes)

    def grant(self, text_bytes: int) -> None:
        """More text has come: what its bytes may cost is added."""
        self._work_left += self._budget.work_per_byte * text_bytes
        self._decoded_left += self._budget.decoded_factor * text_bytes

    def waited(self, seconds: float) -> None:
        """So long the text was waited for; that is not time of the scan."""
        self._deadline += seconds

    def spend(self, work: int) -> None:
        """So many bytes were or will be looked at. ScanIncomplete, ScanTimedOut."""
        self._work_left -= work
        if self._work_left < 0:
            raise ScanIncomplete("the text costs more work than its budget")
        if time.monotonic() > self._deadline:
            raise ScanTimedOut

    def decoded(self, size: int) -> None:
        """So many bytes came out of a decoder and will be looked at too. ScanIncomplete."""
        self._decoded_left -= size
        if self._decoded_left < 0:
            raise ScanIncomplete("the text decodes to more than its budget")

    def found(self) -> None:
        """One more hit. ScanIncomplete."""
        self._findings_left -= 1
        if self._findings_left < 0:
            raise ScanIncomplete("the text has more findings than the budget")


class Engine:
    """Compiled rules. Stateless between calls; threads may share one. `fast`: with hyperscan where that passes."""

    def __init__(self, rules: Sequence[Rule], budget: Budget | None = None, *, fast: bool = False) -> None:
        self.budget = budget or Budget()
        self._rules = tuple(map(CompiledRule, rules))
        self._sentinel = len(self._rules)
        anchors = list(map(set_anchor, rules))
        self._set: AnchorSet = PartedSet(rules, anchors)
        if fast:
            from holdgate.scan.fast import fast_set

            self._set = fast_set(rules, anchors, self._set) or self._set

    def hits(self, data: bytes, meter: Meter | None = None) -> Iterator[Hit]:
        """Confirmed matches in `data` (latin-1), piece by piece; may repeat and overlap.

        `meter`: of the scan that this text is a view of; without one the text is a scan of its own.
        """
        if len(data) > self.budget.text_chars_max:
            raise ScanIncomplete("the text is longer than the budget")
        yield from self.hits_between(data, 0, len(data), meter or Meter(self.budget, len(data)))

    def hits_between(self, data: bytes, first: int, last: int, meter: Meter) -> Iterator[Hit]:
        """Confirmed matches that begin from about `first` to before about `last`; `data` is seen around them."""
        for start in range(first, last, GROUP_BYTES):
            ranges: dict[int, list[list[int]]] = {}
            for piece in range(start, min(start + GROUP_BYTES, last), PIECE_BYTES):
                meter.spend(PIECE_BYTES)
                for number in self.fired(data, piece):
                    found = ranges.setdefault(number, [])
                    if found and found[-1][1] == piece:
                        found[-1][1] += PIECE_BYTES
                    else:
                        found.append([piece, piece + PIECE_BYTES])
            for number in sorted(ranges):
                for begin, end in ranges[number]:
                    yield from self._confirm(self._rules[number], data, begin, end, meter)

    def fired(self, data: bytes, start: int) -> list[int]:
        """Numbers of the rules whose anchor is in the piece that begins at `start`. EngineFailed."""
        # A byte more ahead, for what asks whether a word begins.
        fired = self._set.Match(data[max(0, start - 1) : start + PIECE_BYTES + ANCHOR_BYTES_MAX] + SENTINEL)
        if not fired or self._sentinel not in fired:
            raise EngineFailed
        fired.remove(self._sentinel)
        return fired

    def _confirm(self, compiled: CompiledRule, data: bytes, start: int, last: int, meter: Meter) -> Iterator[Hit]:
        """Hits of a rule that begin from `before` bytes ahead of `start` to before `last`: the pieces it fired in."""
        if not compiled.ready:
            compiled.compile()
        rule = compiled.rule
        position, last = max(0, start - rule.before), min(len(data), last)
        end = min(len(data), last + ANCHOR_BYTES_MAX + rule.max_len)
        # A byte is looked up a hundred times as fast as a pattern.
        if any(data.find(byte, position, end) < 0 for byte in compiled.required):
            return
        while position < last:
            spans = compiled.pattern.spans(data, position, end)
            whole = spans[0] if spans else (last, end)
            meter.spend(whole[1] - position)
            if whole[0] >= last:
                return
            span = next(spans[group] for group in compiled.groups if spans[group][0] >= 0)
            if holds(compiled, data, whole, span):
                meter.found()
                yield Hit(rule.id, rule.category, rule.severity, *span)
                position = max(span[1], position + 1)
            else:
                position = span[0] if span[0] > whole[0] else max(span[1], position + 1)
