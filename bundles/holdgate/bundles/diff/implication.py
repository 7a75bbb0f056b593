"""When one condition is true only where another is, as far as that can be read from how they are written.

What always holds: where `implies` is true, the outer condition is true wherever the inner one is, and has no answer or
is true wherever the inner one has none. Only `&&` and comparisons of one thing with a number are understood; all else
must be written the same. Pure.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator
from functools import lru_cache

CACHED_MAX = 4096
_COMPARISON = re.compile(r"([A-Za-z_][\w.]*)\s*(<=|>=|==|<|>)\s*(-?\d+)")
_OPENING, _CLOSING = "([{", ")]}"
_QUOTES = "\"'"
_ABOVE, _BELOW = {">": operator.gt, ">=": operator.ge}, {"<": operator.lt, "<=": operator.le}


@lru_cache(maxsize=CACHED_MAX)
def implies(inner: str, outer: str) -> bool:
    """Whether every part of `outer` follows from some part of `inner`. Both are expressions that were checked."""
    if inner == outer:
        return True
    known = _parts(inner)
    return all(any(_follows(given, wanted) for given in known) for wanted in _parts(outer))


def _follows(given: str, wanted: str) -> bool:
    if given == wanted:
        return True
    one, other = _COMPARISON.fullmatch(given), _COMPARISON.fullmatch(wanted)
    if one is None or other is None or one[1] != other[1]:
        return False
    sign, least, number, bound = one[2], other[2], int(one[3]), int(other[3])
    if sign == "==":
        return bool({**_ABOVE, **_BELOW, "==": operator.eq}[least](number, bound))
    if sign in _ABOVE and least in _ABOVE:
        return number > bound or (number == bound and not (sign == ">=" and least == ">"))
    if sign in _BELOW and least in _BELOW:
        return number < bound or (number == bound and not (sign == "<=" and least == "<"))
    return False


@lru_cache(maxsize=CACHED_MAX)
def _parts(source: str) -> tuple[str, ...]:
    """What is joined by `&&` at the top; the whole where something else binds there, or text is not plain."""
    if "\\" in source or '"""' in source or "'''" in source or "//" in source:
        return (source.strip(),)
    parts: list[str] = []
    start = 0
    for place, sign in _top_level(source):
        if sign in "|?":
            return (source.strip(),)
        if source.startswith("&&", place):
            parts.append(source[start:place].strip())
            start = place + 2
    return (*parts, source[start:].strip())


def _top_level(source: str) -> Iterator[tuple[int, str]]:
    """Characters that stand in no brackets and no text."""
    depth, quote = 0, ""
    for place, sign in enumerate(source):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in _QUOTES:
            quote = sign
        elif sign in _OPENING:
            depth += 1
        elif sign in _CLOSING:
            depth -= 1
        elif depth == 0:
            yield place, sign
