"""Characters written as others: JSON and source escapes, percent, HTML references, look-alikes. All undone at once.

What always holds: only the parts of a text around what is undone are copied; an escape that stands for nothing stays.
Undoing all kinds in one pass makes one layer where an order for each would make a factorial of them; what is still
escaped then is undone in the next layer.
"""

from __future__ import annotations

import html
from functools import cache
from typing import Any

import re2

from holdgate.scan.engine import Meter
from holdgate.scan.findings import View
from holdgate.scan.ruleset import latin1_options
from holdgate.scan.views.layer import Builder, Layer
from holdgate.scan.views.normal import lookalike_pattern, read

SIDE_BYTES = 128
TOKEN_BYTES_MAX = 8 * 1024
"""How far a part reaches beyond an escape: the whole token that it stands in, as long as tokens get."""
_ENDS = (b" ", b'"', b"\n")
_BACKSLASH = (
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\u\{[0-9a-fA-F]{1,6}\}"
    r"|\\U[0-9a-fA-F]{8}|\\x[0-9a-fA-F]{2}|\\[0-3][0-7]{2}|\\[\"'\\/bfnrt0]"
)
_PERCENT = r"%(?:[uU][0-9a-fA-F]{4}|[0-9a-fA-F]{2})"
_REFERENCE = r"&(?:#[0-9]{2,7};?|#[xX][0-9a-fA-F]{2,6};?|[A-Za-z][A-Za-z0-9]{1,30};)"
_PAIR_BYTES = 12
_SIMPLE = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0"}


def undone(layer: Layer, meter: Meter) -> Layer | None:
    """The parts of `layer` around what can be undone, with all of it undone; None where there is nothing."""
    data = layer.data
    pattern = _pattern_for(data)
    if pattern is None:
        return None
    builder = Builder()
    at = stop = 0  # `at`: copied so far; `stop`: where the part ends unless something to undo comes before it
    for match in pattern.finditer(data):
        start, end = match.span()
        text, label = _undo(match.group())
        if text is None:
            continue
        if start > stop or not builder.size:
            builder.copy(data, at, stop)
            builder.gap(stop)
            at = max(stop, _part_start(data, start))
        builder.copy(data, at, start)
        builder.add(text, start, end, label)
        at = end
        if end + SIDE_BYTES > stop:
            stop = _part_end(data, end)
            meter.decoded(stop - start)
    if at:
        builder.copy(data, at, stop)
    return builder.layer(layer) if at else None


def undo(data: bytes) -> bytes:
    """`data` with all that can be undone undone."""
    pattern = _pattern_for(data)
    if pattern is None:
        return data
    return b"".join(_undone_parts(data, pattern))


def _undone_parts(data: bytes, pattern: Any) -> list[bytes]:
    parts, at = [], 0
    for match in pattern.finditer(data):
        text, _ = _undo(match.group())
        if text is not None:
            parts += [data[at : match.start()], text]
            at = match.end()
    return [*parts, data[at:]]


def _pattern_for(data: bytes) -> Any:
    if not data.isascii():
        return _pattern(ascii_only=False)
    return _pattern(ascii_only=True) if b"\\" in data or b"%" in data or b"&" in data else None


@cache
def _pattern(*, ascii_only: bool) -> Any:
    kinds = (
        (_BACKSLASH, _PERCENT, _REFERENCE) if ascii_only else (_BACKSLASH, _PERCENT, _REFERENCE, lookalike_pattern())
    )
    return re2.compile("|".join(kinds).encode("ascii"), latin1_options())


def _part_start(data: bytes, start: int) -> int:
    side, low = max(0, start - SIDE_BYTES), max(0, start - TOKEN_BYTES_MAX)
    return max((data.rfind(mark, low, side) + 1 for mark in _ENDS), default=0) or low if side else 0


def _part_end(data: bytes, end: int) -> int:
    side, high = min(len(data), end + SIDE_BYTES), min(len(data), end + TOKEN_BYTES_MAX)
    return min((at for mark in _ENDS if (at := data.find(mark, side, high)) >= 0), default=high)


def _undo(match: bytes) -> tuple[bytes | None, str]:
    """What `match` stands for, None where for itself; and the kind of the escape."""
    first = match[:1]
    if first == b"\\":
        return _undo_backslash(match[1:]), View.UNICODE if match[1:2] in b"uUx" else View.JSON
    if first == b"%":
        return _character(match[2:], 16) if match[1:2] in b"uU" else bytes.fromhex(match[1:].decode()), View.PERCENT
    if first == b"&":
        text = html.unescape(reference := match.decode("ascii"))
        return None if text == reference else text.encode("utf-8", "surrogatepass"), View.HTML
    return read(match), View.NORMAL


def _undo_backslash(rest: bytes) -> bytes | None:
    kind = rest[:1]
    if kind in b"uUx":
        if len(rest) == _PAIR_BYTES - 1:
            high, low = int(rest[1:5], 16), int(rest[7:11], 16)
            return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).encode()
        return _character(rest[1:].strip(b"{}"), 16)
    return _character(rest, 8) if len(rest) == 3 else _SIMPLE.get(kind, kind)


def _character(digits: bytes, base: int) -> bytes | None:
    number = int(digits, base)
    return None if number > 0x10FFFF else chr(number).encode("utf-8", "surrogatepass")
