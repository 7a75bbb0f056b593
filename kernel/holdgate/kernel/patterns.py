"""What must hold of a pattern before a text is looked at with it: for detectors of bundles and for built-in rules.

What always holds of a pattern that passed: RE2 compiles it and Python's `re` reads it, so that it means the same to an
engine and to who checks engines; no repeat is without a bound, so that its longest match is known and a text can be
looked at in pieces; it has neither look-around nor references, and its compiled form is of a bounded size. RE2 takes
linear time, so that no text can make one of them slow. Pure.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

import re2

from holdgate.kernel.errors import InvalidInput

__all__ = [
    "ANCHOR_BYTES_MAX",
    "BEFORE_BYTES_MAX",
    "MATCH_BYTES_MAX",
    "NEAR_BYTES_MAX",
    "PATTERN_CHARS_MAX",
    "SHORTEST_MIN",
    "SIZE_MAX",
    "check_pattern",
    "compiled",
    "longest",
    "parsed",
    "pattern_problems",
    "shortest",
    "unbounded",
    "walk",
]

ANCHOR_BYTES_MAX = 256
"""How long a match of an anchor may be: pieces of a text overlap by this much."""
MATCH_BYTES_MAX = 16 * 1024
BEFORE_BYTES_MAX = 64
NEAR_BYTES_MAX = 256
PATTERN_CHARS_MAX = 1000
GROUPS_MAX = 64
"""Opening brackets: readers of patterns go down into each."""
SIZE_MAX = 20_000
"""Instructions of one compiled pattern."""
SHORTEST_MIN = 3
"""Bytes that what is looked for first has at least: less is in every text, which then costs more than its budget."""
_RE: Any = import_module("re._parser")  # the parser of `re` has no public name
_UNBOUNDED: Any = import_module("re._constants").MAXREPEAT
_NOT_HERE = {
    "ASSERT": "look-around",
    "ASSERT_NOT": "look-around",
    "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "a reference to a group",
    "GROUPREF_IGNORE": "a reference to a group",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
}
_PRINTABLE = re.compile(r"[ -~]+\Z")


def pattern_problems(
    regex: str,
    max_len: int,
    *,
    anchor: str | None = None,
    before: int = 0,
    group: int | None = None,
    context: str | None = None,
    near: int = NEAR_BYTES_MAX,
    stop: tuple[str, ...] = (),
) -> Iterator[tuple[str, str]]:
    """Every (field, reason) for which a rule with these fields cannot be looked with. Nothing: it can."""
    yield from _number_problems(max_len, before, near)
    patterns = [("regex", regex), ("anchor", anchor), ("context", context), *(("stop", item) for item in stop)]
    found = [(name, problem) for name, item in patterns if item is not None and (problem := _problem(item)) is not None]
    yield from found
    if not found:
        yield from _length_problems(regex, max_len, anchor, context, near)
        groups = compiled(regex).groups
        if group is not None and not 0 <= group <= groups:
            yield "group", f"the regex has {groups} groups"


def check_pattern(pattern: str) -> None:
    """InvalidInput, with the reason and what to write, when `pattern` by itself cannot be looked with."""
    problem = _problem(pattern)
    if problem is not None:
        raise InvalidInput(problem)


def compiled(pattern: str) -> Any:
    """`pattern` for RE2 over bytes, a byte a character; `re2.error` when it refuses it."""
    return re2.compile(pattern.encode("ascii"), _options())


def longest(pattern: str) -> int | None:
    """How many characters a match can have at most; None without a bound or when `re` cannot read the pattern."""
    return None if (widths := _widths(pattern)) is None or unbounded(pattern) else widths[1]


def shortest(pattern: str) -> int | None:
    """How many characters a match has at least; None when `re` cannot read the pattern."""
    return None if (widths := _widths(pattern)) is None else widths[0]


def unbounded(pattern: str) -> bool:
    """Whether a repeat of `pattern` has no bound; `re.error` when `re` cannot read it."""
    return any(code in _RE._REPEATCODES and arguments[1] is _UNBOUNDED for code, arguments in walk(parsed(pattern)))


@lru_cache(maxsize=16)  # each check of a pattern reads it again; a tree is never changed
def parsed(pattern: str) -> Any:
    """The tree of `pattern`; `re.error` when `re` refuses it or doubts how it is meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        try:
            return _RE.parse(pattern)
        except FutureWarning as warning:
            raise re.error(str(warning), pattern) from warning
        except (OverflowError, RecursionError) as error:
            raise re.error("nested too deeply, or a repeat too large", pattern) from error


def walk(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every node of a tree, `(code, arguments)`, outermost first."""
    for code, arguments in tree:
        yield code, arguments
        for part in arguments if isinstance(arguments, tuple) else (arguments,):
            for branch in part if isinstance(part, list) else (part,):
                if isinstance(branch, _RE.SubPattern):
                    yield from walk(branch)


def _number_problems(max_len: int, before: int, near: int) -> Iterator[tuple[str, str]]:
    for name, value, least, most in (
        ("max_len", max_len, 1, MATCH_BYTES_MAX),
        ("before", before, 0, BEFORE_BYTES_MAX),
        ("near", near, 1, NEAR_BYTES_MAX),
    ):
        if not least <= value <= most:
            yield name, f"{least} to {most} bytes are expected"


def _length_problems(
    regex: str, max_len: int, anchor: str | None, context: str | None, near: int
) -> Iterator[tuple[str, str]]:
    """What of lengths does not fit. All patterns are known to have a longest match."""
    most = longest(regex) or 0
    if most > max_len:
        yield "max_len", f"a match can have {most} bytes"
    first, name = (regex, "regex") if anchor is None else (anchor, "anchor")
    most_first = longest(first) or 0
    if most_first > ANCHOR_BYTES_MAX:
        what = "give an `anchor`, its beginning" if anchor is None else "shorten it"
        yield name, f"a match can have {most_first} bytes, more than {ANCHOR_BYTES_MAX} are not looked for; {what}"
    if (shortest(first) or 0) < SHORTEST_MIN:
        yield name, f"a match can have less than {SHORTEST_MIN} bytes, which every text has; look for more of it"
    if context is not None and (longest(context) or 0) > near:
        yield "context", f"a match can have more than the {near} bytes that `near` says"


def _problem(pattern: str) -> str | None:
    """Why a pattern by itself cannot be looked with."""
    if len(pattern) > PATTERN_CHARS_MAX or _PRINTABLE.match(pattern) is None:
        return f"1 to {PATTERN_CHARS_MAX} printable ASCII characters are expected; write others as `\\xNN`"
    if pattern.count("(") > GROUPS_MAX:
        return f"more than {GROUPS_MAX} groups"
    try:
        codes = [(str(code), arguments) for code, arguments in walk(parsed(pattern))]
    except re.error as error:
        return f"not a pattern that can be read in one way only: {error.msg}"
    for code, _ in codes:
        if code in _NOT_HERE:
            return f"{_NOT_HERE[code]} is not possible here; use `keywords`, `context`, `group` or `stop`"
    if unbounded(pattern):
        return "a repeat without a bound; write `{0,64}` for `*`, `{1,64}` for `+`"
    try:
        size = compiled(pattern).programsize
    except re2.error as error:
        return f"RE2 does not compile it: {_said(error)}"
    return f"too large once compiled: {size} of {SIZE_MAX}; shorten its repeats" if size > SIZE_MAX else None


def _widths(pattern: str) -> tuple[int, int] | None:
    try:
        least, most = parsed(pattern).getwidth()
    except re.error:
        return None
    return int(least), int(most)


@cache
def _options() -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    return options


def _said(error: Exception) -> str:
    text = error.args[0] if error.args else error
    return text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)
