"""The pattern engine: one RE2 set over pieces of the text, then each rule that fired confirms and locates.

What always holds: each piece carries a sentinel that must be found, because RE2's set answers the same for "nothing
matches" and "out of memory"; a piece without it is an `EngineFailed`, never a clean piece. Work is counted in bytes
looked at and bounded; so are time and the number of findings. Text goes in as latin-1 bytes, one byte a character, so
that offsets are offsets in the text; what latin-1 cannot say becomes `?`, which no vendor's format contains.

What a rule costs, and so what makes a good anchor. The set reads each byte once, whatever the number of rules; a rule
costs when its anchor fires: then its `regex` reads the piece (about 6 us), and each match is looked at in Python (about
3 us, plus its validator). So an anchor should begin with letters of its own (`\\bghp_`), at least three, and fire on
less than one piece of ordinary text in a hundred. Gaps and long counts behind a word need not be avoided: `anchors.py`
cuts them off in the set, and `regex` checks them. What has no letters (numbers) fires everywhere: give it `keywords`,
which are looked up in the piece before the `regex` runs. `python -m bench.scan --anchors` names the rules that cost.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, cast

import re2

from holdgate.kernel.patterns import ANCHOR_BYTES_MAX, BEFORE_BYTES_MAX, NEAR_BYTES_MAX
from holdgate.scan.anchors import cheap_anchor
from holdgate.scan.errors import EngineFailed, RulesInvalid, ScanIncomplete, ScanTimedOut
from holdgate.scan.findings import Category, Severity
from holdgate.scan.ruleset import Rule
from holdgate.scan.validators import VALIDATORS, entropy

PIECE_BYTES = 2048
SET_MEMORY_BYTES = 32 * 1024 * 1024
"""Of the set's automaton, which keeps what it has seen; ordinary text takes one or two."""
PATTERN_MEMORY_BYTES = 2 * 1024 * 1024
"""Of one rule's automata; beyond it RE2 goes on without them, slower."""
_KEYWORD_REACH = 1024
SENTINEL = b"\n\x00holdgate sentinel\x00"
SENTINEL_PATTERN = SENTINEL.replace(b"\x00", b"\\x00").replace(b"\n", b"\\n")
TAG_OPENING = b"[redacted:"
_TAG = re.compile(rb"\[redacted:[a-z_]{1,24}:[0-9a-f]{16}\]")
_TAG_BYTES_MAX = 64
_BLOB_SIDE = 40
_BLOB_ENTROPY = 4.3
_BLOB = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


class AnchorSet(Protocol):
    """All anchors as one automaton."""

    def Match(self, text: bytes) -> list[int] | None:  # noqa: N802  the name that RE2 gives it
        """Which of them are in `text`; nothing at all when it did not run."""


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


class _Compiled:
    """A rule with its patterns, compiled when it first fires: most rules of most processes never do."""

    __slots__ = ("context", "groups", "pattern", "ready", "rule", "stops", "unless", "validate")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.validate: Callable[[str], bool] | None = VALIDATORS[rule.validator] if rule.validator else None
        self.ready = False
        self.pattern: Any = None
        self.groups: tuple[int, ...] = ()
        self.stops: tuple[Any, ...] = ()
        self.context: Any = None
        self.unless: Any = None

    def compile(self) -> None:
        """Once; a second thread that does it too does no harm."""
        try:
            self.pattern = _compiled(self.rule.regex)
            self.stops = tuple(map(_compiled, self.rule.stop))
            self.context = _compiled(self.rule.context) if self.rule.context is not None else None
            self.unless = _compiled(self.rule.unless) if self.rule.unless is not None else None
        except re2.error as error:
            raise EngineFailed(f"a pattern of the rule `{self.rule.id}` does not compile; lint the rules") from error
        self.groups = _value_groups(self.rule, self.pattern.groups)
        self.ready = True


@dataclass(slots=True)
class _Piece:
    """A piece of the text, from `start` to before `last`: a match belongs to the piece that it begins in."""

    data: bytes
    start: int
    lowered: bytes | None = None

    @property
    def last(self) -> int:
        return self.start + PIECE_BYTES

    def may_hold(self, rule: Rule) -> bool:
        """Whether a keyword of `rule` stands near enough to a match that begins in this piece."""
        if not rule.keywords or rule.max_len > _KEYWORD_REACH:
            return True
        if self.lowered is None:
            before = self.start - BEFORE_BYTES_MAX - NEAR_BYTES_MAX
            self.lowered = self.data[max(0, before) : self.last + _KEYWORD_REACH + NEAR_BYTES_MAX].lower()
        return any(word in self.lowered for word in _words(rule))


class Engine:
    """Compiled rules. Stateless between calls; threads may share one. `fast`: with hyperscan where that passes."""

    def __init__(self, rules: Sequence[Rule], budget: Budget | None = None, *, fast: bool = False) -> None:
        self.budget = budget or Budget()
        self._rules = tuple(map(_Compiled, rules))
        self._sentinel = len(self._rules)
        anchors = [cheap_anchor(rule.anchor or rule.regex) for rule in rules]
        try:
            self._set: AnchorSet = _re2_set(anchors)
        except re2.error as error:
            raise RulesInvalid(f"an anchor does not compile; lint the rules: {error}") from error
        if fast:
            from holdgate.scan.fast import fast_set

            self._set = fast_set(rules, anchors, SENTINEL_PATTERN, self._set) or self._set

    def hits(self, data: bytes, meter: Meter | None = None) -> Iterator[Hit]:
        """Confirmed matches in `data` (latin-1), piece by piece; may repeat and overlap.

        `meter`: of the scan that this text is a view of; without one the text is a scan of its own.
        """
        if len(data) > self.budget.text_chars_max:
            raise ScanIncomplete("the text is longer than the budget")
        yield from self.hits_between(data, 0, len(data), meter or Meter(self.budget, len(data)))

    def hits_between(self, data: bytes, first: int, last: int, meter: Meter) -> Iterator[Hit]:
        """Confirmed matches that begin from about `first` to before about `last`; `data` is seen around them."""
        for start in range(first, last, PIECE_BYTES):
            meter.spend(PIECE_BYTES)
            if fired := self.fired(data, start):
                piece = _Piece(data, start)
                for index in fired:
                    yield from self._confirm(self._rules[index], piece, meter)

    def fired(self, data: bytes, start: int) -> list[int]:
        """Numbers of the rules whose anchor is in the piece that begins at `start`. EngineFailed."""
        # A byte more ahead, for what asks whether a word begins.
        fired = self._set.Match(data[max(0, start - 1) : start + PIECE_BYTES + ANCHOR_BYTES_MAX] + SENTINEL)
        if not fired or self._sentinel not in fired:
            raise EngineFailed
        fired.remove(self._sentinel)
        return fired

    def _confirm(self, compiled: _Compiled, piece: _Piece, meter: Meter) -> Iterator[Hit]:
        rule, data, last = compiled.rule, piece.data, piece.last
        if not piece.may_hold(rule):
            return
        if not compiled.ready:
            compiled.compile()
        position = max(0, piece.start - rule.before)
        end = min(len(data), last + ANCHOR_BYTES_MAX + rule.max_len)
        while position < last:
            match = compiled.pattern.search(data, position, end)
            whole = match.span() if match else (last, end)
            meter.spend(whole[1] - position)
            if whole[0] >= last:
                return
            span = _value_span(compiled, match)
            if _holds(compiled, data, whole, span):
                meter.found()
                yield Hit(rule.id, rule.category, rule.severity, *span)
                position = max(span[1], position + 1)
            else:
                position = span[0] if span[0] > whole[0] else max(span[1], position + 1)


def _re2_set(anchors: Sequence[str]) -> AnchorSet:
    """The set of `anchors` and, behind them, the sentinel."""
    found = re2.Set.SearchSet(_options(SET_MEMORY_BYTES))
    for anchor in anchors:
        found.Add(anchor.encode("ascii"))
    found.Add(SENTINEL_PATTERN)
    found.Compile()
    if found.Match(SENTINEL) != [len(anchors)]:
        raise EngineFailed("the pattern engine does not find its own sentinel")
    return cast("AnchorSet", found)


def _compiled(pattern: str) -> Any:
    return re2.compile(pattern.encode("ascii"), _options(PATTERN_MEMORY_BYTES))


@cache
def _options(memory_bytes: int) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = memory_bytes
    return options


@cache
def _words(rule: Rule) -> tuple[bytes, ...]:
    return tuple(word.lower().encode("latin-1", "replace") for word in rule.keywords)


def _value_groups(rule: Rule, groups: int) -> tuple[int, ...]:
    """The groups that may be the value, in order; the whole match in the end."""
    return (*range(1, groups + 1), 0) if rule.group is None else (rule.group, 0)


def _value_span(compiled: _Compiled, match: Any) -> tuple[int, int]:
    start, end = next(found for group in compiled.groups if (found := match.span(group))[0] >= 0)
    return start, end


def _holds(compiled: _Compiled, data: bytes, match: tuple[int, int], span: tuple[int, int]) -> bool:
    """Whether what was matched is what the rule means. What costs least is asked first."""
    if _in_blob(data, span) or _in_tag(data, span) or not _in_context(compiled, data, match, span):
        return False
    raw = data[span[0] : span[1]]
    if any(stop.search(raw) for stop in compiled.stops):
        return False
    value = raw.decode("latin-1")
    if compiled.rule.entropy and entropy(value) < compiled.rule.entropy:
        return False
    return compiled.validate is None or compiled.validate(value)


def _in_context(compiled: _Compiled, data: bytes, match: tuple[int, int], span: tuple[int, int]) -> bool:
    """Whether what stands around the match is what `keywords`, `context` and `unless` of the rule ask for."""
    rule = compiled.rule
    if rule.keywords:
        around = data[max(0, match[0] - rule.near) : match[1] + rule.near].lower()
        if not any(word in around for word in _words(rule)):
            return False
    if compiled.context is None and compiled.unless is None:
        return True
    ahead = data[max(0, span[0] - rule.near) : span[0]]
    if compiled.unless is not None and compiled.unless.search(ahead):
        return False
    return compiled.context is None or bool(compiled.context.search(ahead))


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
