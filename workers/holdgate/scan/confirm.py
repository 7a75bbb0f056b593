"""A rule as it is asked: its compiled patterns, and whether what they matched is what the rule means."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import re2

from holdgate.scan.anchors import rare_bytes
from holdgate.scan.errors import EngineFailed
from holdgate.scan.ruleset import Rule
from holdgate.scan.validators import VALIDATORS, entropy

PATTERN_MEMORY_BYTES = 2 * 1024 * 1024
"""Of one rule's automata; beyond it RE2 goes on without them, slower."""
TAG_OPENING = b"[redacted:"
_TAG = re.compile(rb"\[redacted:[a-z_]{1,24}:[0-9a-f]{16}\]")
_TAG_BYTES_MAX = 64
_BLOB_SIDE = 40
_BLOB_ENTROPY = 4.3
_BLOB = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_SEAMS = frozenset(b"+/")
_UNANCHORED = re2._Anchor.UNANCHORED


class Pattern:
    """A compiled pattern. Its search is that of `re2`'s own class, without the objects that cost more than it."""

    __slots__ = ("_match", "groups", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = re2.compile(pattern.encode("ascii"), latin1(PATTERN_MEMORY_BYTES))
        self.groups: int = self.pattern.groups
        self._match = self.pattern._regexp.Match

    def spans(self, data: bytes, start: int, end: int) -> list[tuple[int, int]]:
        """The spans of the first match and of its groups, (-1, -1) for one that took no part; empty without a match."""
        found: list[tuple[int, int]] = self._match(_UNANCHORED, data, start, end)
        return found if found[0][0] >= 0 else []

    def matches(self, data: bytes) -> bool:
        """Whether there is a match in `data`."""
        return bool(self.spans(data, 0, len(data)))


class CompiledRule:
    """A rule with its patterns, compiled when it first fires: most rules of most processes never do."""

    __slots__ = ("context", "groups", "keywords", "pattern", "ready", "required", "rule", "stops", "unless", "validate")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.validate: Callable[[str], bool] | None = VALIDATORS[rule.validator] if rule.validator else None
        self.ready = False
        self.pattern: Any = None
        self.required: tuple[bytes, ...] = ()
        self.groups: tuple[int, ...] = ()
        self.stops: tuple[Any, ...] = ()
        self.context: Any = None
        self.keywords: Pattern | None = None
        self.unless: Any = None

    def compile(self) -> None:
        """Once; a second thread that does it too does no harm."""
        try:
            self.pattern = Pattern(self.rule.regex)
            self.stops = tuple(map(Pattern, self.rule.stop))
            self.context = Pattern(self.rule.context) if self.rule.context is not None else None
            self.keywords = Pattern(_keywords(self.rule)) if self.rule.keywords else None
            self.unless = Pattern(self.rule.unless) if self.rule.unless is not None else None
        except re2.error as error:
            raise EngineFailed(f"a pattern of the rule `{self.rule.id}` does not compile; lint the rules") from error
        self.groups = _value_groups(self.rule, self.pattern.groups)
        self.required = rare_bytes(self.rule.regex)
        self.ready = True


def holds(compiled: CompiledRule, data: bytes, match: tuple[int, int], span: tuple[int, int]) -> bool:
    """Whether what was matched is what the rule means. What costs least is asked first."""
    if _in_blob(data, span) or _in_tag(data, span) or not _in_context(compiled, data, match, span):
        return False
    raw = data[span[0] : span[1]]
    if any(stop.matches(raw) for stop in compiled.stops):
        return False
    value = raw.decode("latin-1")
    if compiled.rule.entropy and entropy(value) < compiled.rule.entropy:
        return False
    return compiled.validate is None or compiled.validate(value)


@cache
def latin1(memory_bytes: int) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = memory_bytes
    return options


def _keywords(rule: Rule) -> str:
    """A pattern of the words, letter by letter."""
    words = (word.encode("latin-1", "replace") for word in rule.keywords)
    return "(?i)(?:" + "|".join("".join(f"\\x{letter:02x}" for letter in word) for word in words) + ")"


def _value_groups(rule: Rule, groups: int) -> tuple[int, ...]:
    """The groups that may be the value, in order; the whole match in the end."""
    return (*range(1, groups + 1), 0) if rule.group is None else (rule.group, 0)


def _in_context(compiled: CompiledRule, data: bytes, match: tuple[int, int], span: tuple[int, int]) -> bool:
    """Whether what stands around the match is what `keywords`, `context` and `unless` of the rule ask for."""
    rule = compiled.rule
    near = max(0, match[0] - rule.near), min(len(data), match[1] + rule.near)
    if compiled.keywords is not None and not compiled.keywords.spans(data, *near):
        return False
    if compiled.context is None and compiled.unless is None:
        return True
    ahead = data[max(0, span[0] - rule.near) : span[0]]
    if compiled.unless is not None and compiled.unless.matches(ahead):
        return False
    return compiled.context is None or compiled.context.matches(ahead)


def _in_blob(data: bytes, span: tuple[int, int]) -> bool:
    """Whether the match lies inside a long run of base64: prefixes of a few letters turn up there by chance.

    What has a sign of its own, or no small or no capital letters, does not. A slash beside it may begin or end a word:
    there it takes a run on both sides.
    """
    start, end = span
    # Most stand alone, and a byte is looked at in no time.
    if (start == 0 or data[start - 1] not in _BLOB) and (end == len(data) or data[end] not in _BLOB):
        return False
    ahead = _is_blob(data[max(0, start - _BLOB_SIDE) : start])
    if not (ahead or _is_blob(data[end : end + _BLOB_SIDE])):
        return False
    value = data[start:end]
    if not _BLOB.issuperset(value) or value.isupper() or value.islower():
        return False
    if ahead:
        return data[start - 1] not in _SEAMS or _is_blob(data[end : end + _BLOB_SIDE])
    return data[end] not in _SEAMS


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
