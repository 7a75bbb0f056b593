"""The pattern engine: one RE2 set over pieces of the text, then each rule that fired confirms and locates.

What always holds: each piece carries a sentinel that must be found, because RE2's set answers the same for "nothing
matches" and "out of memory"; a piece without it is an `EngineFailed`, never a clean piece. Work is counted in bytes
looked at and bounded; so are time and the number of findings. Text goes in as latin-1 bytes, one byte a character, so
that offsets are offsets in the text; what latin-1 cannot say becomes `?`, which no vendor's format contains.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import re2

from holdgate.scan.errors import EngineFailed, ScanIncomplete, ScanTimedOut
from holdgate.scan.findings import Category, Severity
from holdgate.scan.ruleset import ANCHOR_BYTES_MAX, Rule, compile_latin1, latin1_options
from holdgate.scan.validators import VALIDATORS, entropy

PIECE_BYTES = 2048
SENTINEL = b"\n\x00holdgate sentinel\x00"
TAG_OPENING = b"[redacted:"
_TAG = re.compile(rb"\[redacted:[a-z_]{1,24}:[0-9a-f]{16}\]")
_TAG_BYTES_MAX = 64
_BLOB_SIDE = 40
_BLOB_ENTROPY = 4.3
_BLOB = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one scan, with all its views, may cost. What lies beyond it is an error, never a clean text.

    `work_per_byte`: bytes looked at for each byte of text, above a free `work_base`. `decoded_factor`: bytes that may
    come out of decoding for each byte of text, above a free `decoded_base`; `depth_max`: decoders inside each other.
    """

    seconds: float = 5.0
    work_per_byte: int = 200
    work_base: int = 4 * 1024 * 1024
    findings_max: int = 20_000
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


class Meter:
    """What is left of a budget. One for a scan: all views of a text share it."""

    __slots__ = ("_budget", "_deadline", "_decoded_left", "_findings_left", "_work_left")

    def __init__(self, budget: Budget, text_bytes: int = 0) -> None:
        self._budget = budget
        self._work_left = budget.work_base
        self._decoded_left = budget.decoded_base
        self._findings_left = budget.findings_max
        self._deadline = time.monotonic() + budget.seconds
        self.grant(text_bytes)

    def grant(self, text_bytes: int) -> None:
        """More text has come: what its bytes may cost is added."""
        self._work_left += self._budget.work_per_byte * text_bytes
        self._decoded_left += self._budget.decoded_factor * text_bytes

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


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: Rule
    pattern: Any
    stops: tuple[Any, ...]
    validate: Callable[[str], bool] | None


class Engine:
    """Compiled rules. Stateless between calls."""

    def __init__(self, rules: Sequence[Rule], budget: Budget | None = None, *, fast: bool = False) -> None:
        self.budget = budget or Budget()
        self.fast = fast
        self._rules = tuple(
            _Compiled(
                rule,
                compile_latin1(rule.regex),
                tuple(map(compile_latin1, rule.stop)),
                VALIDATORS[rule.validator] if rule.validator else None,
            )
            for rule in rules
        )
        self._set = re2.Set.SearchSet(latin1_options())
        for rule in rules:
            self._set.Add((rule.anchor or rule.regex).encode("ascii"))
        self._sentinel = self._set.Add(SENTINEL.replace(b"\x00", b"\\x00"))
        self._set.Compile()
        if self._set.Match(SENTINEL) != [self._sentinel]:
            raise EngineFailed("the pattern engine does not find its own sentinel")

    def hits(self, data: bytes, meter: Meter | None = None) -> Iterator[Hit]:
        """Confirmed matches in `data` (latin-1), piece by piece; may repeat and overlap.

        `meter`: of the scan that this text is a view of; without one the text is a scan of its own.
        """
        if len(data) > self.budget.text_chars_max:
            raise ScanIncomplete("the text is longer than the budget")
        meter = meter or Meter(self.budget, len(data))
        for start in range(0, len(data), PIECE_BYTES):
            fired = self._fired(data[start : start + PIECE_BYTES + ANCHOR_BYTES_MAX])
            meter.spend(PIECE_BYTES)
            for index in fired:
                yield from self._confirm(self._rules[index], data, start, meter)

    def _fired(self, piece: bytes) -> list[int]:
        fired: list[int] = self._set.Match(piece + SENTINEL)
        if not fired or self._sentinel not in fired:
            raise EngineFailed
        fired.remove(self._sentinel)
        return fired

    def _confirm(self, compiled: _Compiled, data: bytes, start: int, meter: Meter) -> Iterator[Hit]:
        rule = compiled.rule
        position = max(0, start - rule.before)
        last = start + PIECE_BYTES
        end = last + ANCHOR_BYTES_MAX + rule.max_len
        while position < last:
            match = compiled.pattern.search(data, position, end)
            meter.spend((match.end() if match else min(end, len(data))) - position)
            if match is None or match.start() >= last:
                return
            span = _value_span(match)
            if self._holds(compiled, data, span):
                meter.found()
                yield Hit(rule.id, rule.category, rule.severity, *span)
                position = max(span[1], position + 1)
            else:
                position = span[0] if span[0] > match.start() else max(span[1], position + 1)

    def _holds(self, compiled: _Compiled, data: bytes, span: tuple[int, int]) -> bool:
        if _in_blob(data, span) or _in_tag(data, span):
            return False
        raw = data[span[0] : span[1]]
        value = raw.decode("latin-1")
        if compiled.rule.entropy and entropy(value) < compiled.rule.entropy:
            return False
        if any(stop.search(raw) for stop in compiled.stops):
            return False
        return compiled.validate is None or compiled.validate(value)


def _value_span(match: Any) -> tuple[int, int]:
    groups = match.re.groups
    span: tuple[int, int] = next((match.span(n) for n in range(1, groups + 1) if match.span(n)[0] >= 0), match.span())
    return span


def _in_blob(data: bytes, span: tuple[int, int]) -> bool:
    """Whether the match lies inside a long run of base64: prefixes of a few letters turn up there by chance."""
    start, end = span
    return _is_blob(data[max(0, start - _BLOB_SIDE) : start]) or _is_blob(data[end : end + _BLOB_SIDE])


def _in_tag(data: bytes, span: tuple[int, int]) -> bool:
    """Whether the match lies inside the tag of an earlier redaction, which names a secret and holds none."""
    start, end = span
    opening = data.rfind(TAG_OPENING, max(0, start - _TAG_BYTES_MAX), start)
    tag = _TAG.match(data, opening) if opening >= 0 else None
    return tag is not None and end <= tag.end()


def _is_blob(side: bytes) -> bool:
    """Chance looks like chance: a path of words, though of the same letters, has less entropy."""
    return (
        len(side) == _BLOB_SIDE
        and _BLOB.issuperset(side)
        and not (side.islower() or side.isupper() or side.isalpha())
        and entropy(side.decode("ascii")) >= _BLOB_ENTROPY
    )
