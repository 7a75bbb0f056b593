"""Characters written as others: JSON and source escapes, percent, HTML references, look-alikes. All undone at once.

What always holds: only the parts of a text around what is undone are copied; an escape that stands for nothing stays.
Undoing all kinds in one pass makes one layer where an order for each would make a factorial of them; what is still
escaped then is undone in the next layer.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import cache
from heapq import merge
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
    r"|\\U[0-9a-fA-F]{8}|\\x[0-9a-fA-F]{2}|\\[0-3][0-7]{2}|\\[bfnrt0]|\\[!-/:-@\[-`{-~]"
)
_PERCENT = r"%(?:[uU][0-9a-fA-F]{4}|[0-9a-fA-F]{2})"
_REFERENCE = r"&(?:#[0-9]{2,7};?|#[xX][0-9a-fA-F]{2,6};?|[A-Za-z][A-Za-z0-9]{1,30};)"
_QUOTED = r"=3D|=[0-9A-F]{2}(?:=[0-9A-F]{2}){2,}"
"""As in mails (RFC 2045, section 6.7): the sign itself, or several together, which hardly stand for themselves."""
_ESCAPE = re.compile("|".join((_BACKSLASH, _PERCENT, _REFERENCE, _QUOTED)).encode("ascii"))
_PAIR_BYTES = 12
_REMEMBERED_MAX = 1024
_WORK_OF_UNDOING = 256
"""What one undoing costs, in bytes looked at."""
_CHARGED_AT_ONCE = 1024
_MARKS = (b"\\", b"%", b"&")
_DENSE_BYTES = 256
"""With an escape in so many bytes the text is undone as a whole, and the map is left for later."""
_RARE = re.compile("|".join((_PERCENT, _REFERENCE, _QUOTED)).encode("ascii"))
_COMMON = ((b'\\"', b'"'), (b"\\n", b"\n"), (b"\\/", b"/"), (b"\\t", b"\t"), (b"\\r", b"\r"), (b"\\'", b"'"))
_SIMPLE = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0"}


def undone(layer: Layer, meter: Meter) -> Layer | None:
    """The parts of `layer` around what can be undone, with all of it undone; None where there is nothing."""
    data = layer.data
    # What is no text has marks, and hardly an escape.
    if layer.textual and sum(map(data.count, _MARKS)) * _DENSE_BYTES > len(data):
        text = _quickly(data)
        if text is None:
            text = undo(data, meter)
        meter.decoded(len(text))
        return (
            Layer(text, layer, lambda: copy_undone(Builder(), data, 0, len(data), meter).map(), textual=layer.textual)
            if text != data
            else None
        )
    return _around(layer, meter)


def _around(layer: Layer, meter: Meter) -> Layer | None:
    data = layer.data
    builder = Builder()
    at = stop = 0  # `at`: copied so far; `stop`: where the part ends unless something to undo comes before it
    for start, end, text, label in _undoings(data, meter):
        if start > stop or not at:
            builder.copy(data, at, stop)
            builder.gap(stop)
            at = max(stop, _part_start(data, start))
        builder.copy(data, at, start)
        builder.add(text, start, end, label)
        at = end
        if end + SIDE_BYTES > stop:
            end = _part_end(data, end)
            meter.decoded(end - max(start, stop))
            stop = end
    if not at:
        return None
    builder.copy(data, at, stop)
    return builder.layer(layer, textual=layer.textual)


def copy_undone(builder: Builder, data: bytes, start: int, end: int, meter: Meter | None = None) -> Builder:
    """Add `start` to `end` of `data`, the parent's, with all that can be undone undone."""
    at = start
    for first, last, text, label in _undoings(data[start:end], meter):
        builder.copy(data, at, start + first)
        builder.add(text, start + first, start + last, label)
        at = start + last
    builder.copy(data, at, end)
    return builder


def _quickly(data: bytes) -> bytes | None:
    """`data` with everything undone, where there are but the commonest escapes in it; else None."""
    if b"\0" in data or _RARE.search(data) or not (data.isascii() or _lookalike().search(data) is None):
        return None
    text = data.replace(b"\\\\", b"\0")
    for escape, character in _COMMON:
        text = text.replace(escape, character)
    return None if b"\\" in text else text.replace(b"\0", b"\\")


def undo(data: bytes, meter: Meter | None = None) -> bytes:
    """`data` with all that can be undone undone."""
    parts, at = [], 0
    for start, end, text, _ in _undoings(data, meter):
        parts += [data[at:start], text]
        at = end
    return b"".join([*parts, data[at:]])


def _undoings(data: bytes, meter: Meter | None) -> Iterator[tuple[int, int, bytes, str]]:
    """What can be undone, in order and without overlap: start, end, what it stands for, how it was written."""
    found: Iterator[tuple[int, int, bytes]] = iter(())
    if any(mark in data for mark in _MARKS) or (b"=" in data and _quoted().search(data)):
        found = ((match.start(), match.end(), match[0]) for match in _ESCAPE.finditer(data))
    if not data.isascii():
        alike = ((match.start(), match.end(), match[0]) for match in _lookalike().finditer(data))
        found = merge(found, alike)
    known: dict[bytes, tuple[bytes | None, str]] = {}
    at = 0
    for number, (start, end, match) in enumerate(found, 1):
        if meter is not None and number % _CHARGED_AT_ONCE == 0:
            meter.spend(_CHARGED_AT_ONCE * _WORK_OF_UNDOING)
        undoing = known.get(match)
        if undoing is None:
            undoing = _undo(match)
            if len(known) < _REMEMBERED_MAX:
                known[match] = undoing
        if undoing[0] is not None and start >= at:
            yield start, end, undoing[0], undoing[1]
            at = end


@cache
def _quoted() -> Any:
    return re2.compile(_QUOTED.encode("ascii"), latin1_options())


@cache
def _lookalike() -> Any:
    return re2.compile(lookalike_pattern().encode("ascii"), latin1_options())


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
    if first == b"=":
        return bytes.fromhex(match.replace(b"=", b"").decode("ascii")), View.PERCENT
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
