"""What stands between letters and is not read: control sequences, control characters, marks, odd blanks, markup.

What always holds: a text is looked at twice more where there is any of it, and not at all where there is none. Without
the sequences of a terminal, a blank for each, every rule looks at it; with nothing at all left of the noise, only sure
rules do, as words that stood apart may stand together then.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import re2

from holdgate.scan.engine import Meter
from holdgate.scan.findings import View
from holdgate.scan.ruleset import latin1_options
from holdgate.scan.views.layer import Builder, Layer, Map

_SEQUENCE = (
    rb"\x1b(?:(?!\[redacted:)\[[0-?]{0,64}[ -/]{0,8}[@-Z\\-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)"
    rb"|[ #%()*+][0-9A-Za-z@]|[0-Z\\-~])|\xc2\x9b[0-?]{0,64}[@-Z\\-~]"
)
"""Of a terminal (ECMA-48): colours and other controls, titles and links, character sets; never the head of a tag."""
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1d\x1f\x7f]|\r[^\n]|\x1e[^\n]"
"""But tab, line feed and what ends a line with it; and but what stands between our own pieces."""
_ASIDE = rb"[\x00-\x08\x0b\x0c\x0e-\x1d\x1f\x7f]+|\r(?!\n)|\x1e(?!\n)"
_WIDE = (
    rb"\xc2[\x80-\xa0]|\xcc[\x80-\xbf]|\xcd[\x80-\xaf]|\xe1\x9a\x80|\xe1\xaa[\xb0-\xbf]|\xe1\xab[\x80-\xbf]"
    rb"|\xe1\xb7[\x80-\xbf]|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe2\x83[\x90-\xbf]|\xe2\xa0\x80"
    rb"|\xe3\x80\x80|\xef\xb8[\xa0-\xaf]"
)
"""Blanks but the plain one, control characters beyond ASCII, and marks that are written over a letter."""
_MARKUP = rb"<(?:/?[A-Za-z][^<>]{0,256}|!--[^<>]{0,256}--)>|[*`]+|~~+"
_NOISE = re.compile(b"|".join((_SEQUENCE, _ASIDE, _WIDE, _MARKUP)))
_COLOURS = re.compile(_SEQUENCE)
_SIGNS = (b"<", b"*", b"`", b"~~")


def without_sequences(layer: Layer, meter: Meter) -> Layer | None:
    """`layer` with a blank for each sequence of a terminal; None where there is none."""
    data = layer.data
    if layer.bare or not layer.textual or (b"\x1b" not in data and b"\xc2\x9b" not in data):
        return None
    return _without(layer, _COLOURS, b" ", meter, textual=layer.textual)


def without_noise(layer: Layer, meter: Meter) -> Layer | None:
    """`layer` with nothing in the place of all that is not read; None where there is none of it."""
    if layer.bare or not layer.textual or not _is_noisy(layer.data):
        return None
    return _without(layer, _NOISE, b"", meter, textual=False)


def quiet(data: bytes) -> bytes:
    """`data` without noise."""
    return _NOISE.sub(b"", data)


def _is_noisy(data: bytes) -> bool:
    return any(sign in data for sign in _SIGNS) or not data.isascii() or _controls().search(data) is not None


def _without(layer: Layer, pattern: re.Pattern[bytes], instead: bytes, meter: Meter, *, textual: bool) -> Layer | None:
    data = layer.data
    text = pattern.sub(instead, data)
    if text == data or not text:
        return None
    meter.decoded(len(text))
    return Layer(text, layer, lambda: _map(data, pattern, instead), textual=textual, bare=True)


def _map(data: bytes, pattern: re.Pattern[bytes], instead: bytes) -> Map:
    builder, at = Builder(), 0
    for match in pattern.finditer(data):
        start, end = match.span()
        builder.copy(data, at, start)
        builder.add(instead, start, end, View.NOISE)
        at = end
    builder.copy(data, at, len(data))
    return builder.map()


@cache
def _controls() -> Any:
    return re2.compile(_CONTROL.encode("ascii"), latin1_options())
