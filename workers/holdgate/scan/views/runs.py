"""Runs of encoded bytes: base64, numbers, wide characters, what is packed. Read as wholes, where there is text in them.

What always holds: a run is decoded only where a cheap pattern says that there is text in it (chance has it at one place
in 32,768), so identifiers and hashes cost nothing; what comes out is counted before it is kept; what is not text is
looked at by sure rules only.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import re2

from holdgate.scan.engine import Meter
from holdgate.scan.findings import View
from holdgate.scan.ruleset import latin1_options
from holdgate.scan.views.layer import Builder, Layer, Run
from holdgate.scan.views.numbers import number_runs, unhexed, unnumbered
from holdgate.scan.views.packed import packed_runs, unpacked

_TEXT_SHARE_MIN = 0.75
_LONG_BYTES = 4096
_SIDE_BYTES = 64
"""Of a run this long that is no text around what was found in it, no more than this on each side is decoded."""
_HEAD_BYTES = 128
_PACKED_BASE64 = re.compile(rb"H4sI|UEs|Qlpo|[/_]Td6|JVBERi|N3q8|UmFyIR|KLUv|0M8R4")
_ZLIB_BASE64 = re.compile(rb"e[JANF]")
_AHEAD = re.compile(rb"[A-Za-z0-9+/_-](?:\r?\n[ \t]*)?")
"""A letter of a run, and the end of the line that may follow it."""
_LETTER = r"[A-Za-z0-9+/_-]"
_GROUP = r"[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]"
_APART = r"(?:[ \t]{1,2}|\\?\r?\n[ \t]*|[\"'][ \t]*[,+.&]?\s*[\"'])"
_PADDED = r"(?:[A-Za-f][AQgw]==|[A-Za-f][A-HQ-Xg-nw-z0-3][AEIMQUYcgkosw048]=)"
_BASE64 = (
    # Five times three bytes below 128: in each group, three of the four letters have a bit that must be 0.
    rf"{_GROUP}(?:(?:{_APART}|{_PADDED})?{_GROUP}){{4,}}"
    # The first bytes of gzip and zlib.
    rf"|H4sI{_LETTER}{{16}}|\be(?:J[w-z]|A[E-H]|N[o-r]|F[4-7]){_LETTER}{{16}}"
    # Of containers: zip, bzip2, xz; pdf, 7z, rar, zstandard, old office documents.
    rf"|(?:UEs(?:DB|FB)[A-Z]|Qlpo[M-O]{_LETTER}FBWSZTW|[/_]Td6WFoA|JVBERi0|N3q8ryc|UmFyIRoH|KLUv[/_]|0M8R4KGxG){_LETTER}{{40}}"
)
_BASE64_RUN = re.compile(
    rb"[A-Za-z0-9+/_-]+(?:\r?\n[ \t]*(?:(?=[A-Za-z+/_-]{0,80}(?:[0-9]|[a-z][A-Z]))[A-Za-z0-9+/_-]+"
    rb"|[A-Za-z0-9+/_-]+(?:={1,2}|(?=\s*(?:$|[\r\n\"'\\<),;])))))*={0,2}"
)
"""Goes on over the end of a line where the next does not look like a word, or has nothing else in it."""
_PIECE = re.compile(rb"([A-Za-z0-9+/_-]+)(={0,2})")
_NO_WORD = re.compile(rb"[A-Za-z+/_-]{0,80}(?:[0-9]|[a-z][A-Z])")
_PIECE_END = re.compile(_APART.encode("ascii"))
_LONG = r"[A-Za-z0-9+/_-]{31,}[G-Zg-z+/_]"
_BASE32 = re.compile(rb"[A-Z2-7]{31,}={0,6}")
_PADDING = re.compile(rb"=+")
_BASE64_JUNK = re.compile(rb"[\"'][ \t]*[,+.&]?\s*[\"']|[^A-Za-z0-9+/_-]+")
_URLSAFE = bytes.maketrans(b"-_", b"+/")
_TEXT_BYTES = bytes((9, 10, 13, 30, *range(32, 127)))
_WIDE = re.compile(
    rb"(?:[\t\n\r\x20-\x7e]\x00{3}){6,}|(?:\x00{3}[\t\n\r\x20-\x7e]){6,}"
    rb"|(?:[\t\n\r\x20-\x7e]\x00){6,}|(?:\x00[\t\n\r\x20-\x7e]){6,}"
)


def decoded(layer: Layer, meter: Meter) -> list[Layer]:
    """Layers of all that is encoded in `layer`: one for the texts of each decoder and one for what is not text."""
    builders: dict[tuple[View, bool], Builder] = {}
    for run in _runs(layer, meter):
        builder = builders.setdefault((run.view, _is_text(run.data)), Builder())
        builder.gap(run.start)
        builder.add(run.data, run.start, run.end, run.view, run.width)
    made = (builder.layer(layer, textual=textual) for (_, textual), builder in builders.items())
    return [each for each in made if each is not None]


def decode(view: str, data: bytes) -> bytes:
    """What a run that `decoded` found stands for; ValueError when it stands for nothing."""
    match view:
        case View.BASE64:
            return _unbase64(data)
        case View.BASE32:
            return _unbase32(data)
        case View.HEX:
            return unhexed(data)
        case View.NUMBERS:
            return unnumbered(data)
        case View.UTF:
            return data.replace(b"\x00", b"")
        case View.GZIP | View.ZLIB:
            return unpacked(data)
        case _:
            raise ValueError(f"no decoder is called `{view}`")


def _runs(layer: Layer, meter: Meter) -> Iterator[Run]:
    data = layer.data
    yield from _base64_runs(layer, meter)
    yield from _long_runs(layer, meter)
    yield from number_runs(layer, meter)
    yield from packed_runs(layer, meter)
    if b"\x00" in data:
        for match in _WIDE.finditer(data):
            text = match.group().replace(b"\x00", b"")
            meter.decoded(len(text))
            yield Run(match.start(), match.end(), text, View.UTF, len(match.group()) // len(text))


def _base64_runs(layer: Layer, meter: Meter) -> Iterator[Run]:
    """Each run at each alignment at which there is text in it."""
    data, stop, letters, at = layer.data, 0, 0, 0
    seen: set[int] = set()
    for match in _compiled(_BASE64).finditer(data):
        start = match.start()
        meter.spend(match.end() - start)
        if start >= stop:
            stop, letters = _base64_end(data, start, match.end()), 0
            seen.clear()
        else:
            letters += len(_BASE64_JUNK.sub(b"", data[at:start]))
        at = start
        if letters % 4 in seen or layer.is_copied(start, stop):
            continue
        if (part := _part(data, start, match.end(), stop)) is not None:
            meter.decoded(len(part.data))
            yield part
            continue
        seen.add(letters % 4)
        yield from _with_head(Run(start, stop, _unbase64(data[start:stop]), View.BASE64), data, meter)


def _base64_end(data: bytes, start: int, known: int) -> int:
    """Where the run ends that begins at `start` and goes on to `known` at least: as a whole, or in equal pieces."""
    whole = _BASE64_RUN.match(data, start)
    stop = whole.end() if whole else known
    if stop >= known:
        return stop
    piece, sizes = _PIECE.match(data, start), set[int]()
    while piece is not None and not (sizes and len(piece[1]) > max(sizes)):
        is_last = bool(sizes) and len(piece[1]) < max(sizes) and not piece[2]
        if is_last and not _NO_WORD.match(piece[1]):
            break
        at = stop = piece.end()
        if is_last:
            break
        if piece.start() > start:
            sizes.add(len(piece[1]))
        if apart := _PIECE_END.match(data, at):
            at = apart.end()
        piece = _PIECE.match(data, at)
    return max(stop, known)


def _part(data: bytes, start: int, end: int, stop: int) -> Run | None:
    """What stands around `start` to `end`, in a long run to `stop`, where that is no text: most often it is chance.

    None where the run is to be decoded as a whole.
    """
    if stop - start <= _LONG_BYTES or _is_packed(data[start : start + _HEAD_BYTES]):
        return None
    end = min(stop, end + _SIDE_BYTES)
    if _is_text(_unbase64(data[start:end])):
        return None
    start = _groups_ahead(data, start)
    return Run(start, end, _unbase64(data[start:end]), View.BASE64)


def _groups_ahead(data: bytes, start: int) -> int:
    """Where the first whole group of four letters begins that stands in the same run not far ahead of `start`."""
    first, at, letters = start, start, 0
    for letter in reversed(list(_AHEAD.finditer(data, max(0, start - _SIDE_BYTES), start))):
        if letter.end() != at:
            break
        at, letters = letter.start(), letters + 1
        first = at if letters % 4 == 0 else first
    return first


def _is_packed(head: bytes) -> bool:
    """Whether what begins with `head` may be packed. Two bytes of zlib are chance where no stream follows."""
    if _ZLIB_BASE64.match(head) is None:
        return _PACKED_BASE64.match(head) is not None
    try:
        zlib.decompressobj().decompress(_unbase64(head))
    except zlib.error:
        return False
    return True


def _long_runs(layer: Layer, meter: Meter) -> Iterator[Run]:
    """Runs of text without a stretch of ASCII: in other scripts, or with something between the letters."""
    stop = 0
    for match in _compiled(_LONG).finditer(layer.data):
        start, end = match.span()
        if start < stop:
            continue
        stop = end = max(end, whole.end()) if (whole := _BASE64_RUN.match(layer.data, start)) else end
        meter.spend(end - start)
        if (other := _BASE32.match(layer.data, start)) and not layer.is_copied(start, other.end()):
            text = _unbase32(other[0])
            meter.decoded(len(text))
            if text.isascii() and _is_text(text):
                yield Run(start, other.end(), text, View.BASE32)
        text = _unbase64(layer.data[start:end])
        if not text.isascii() and _is_utf8(text) and not layer.is_copied(start, end):
            meter.decoded(len(text))
            yield Run(start, end, text, View.BASE64)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _with_head(run: Run, data: bytes, meter: Meter) -> Iterator[Run]:
    """`run`, and once more with the group ahead: a byte above 127 is in that, and text may stand behind the byte."""
    meter.decoded(len(run.data))
    yield run
    start = run.start - 4
    if start >= 0 and not _BASE64_JUNK.search(data[start : run.start]):
        meter.decoded(len(run.data))
        yield Run(start, run.end, _unbase64(data[start : run.end]), View.BASE64)


def _unbase64(data: bytes) -> bytes:
    """Each part that ends in padding by itself."""
    parts = []
    for part in _PADDING.split(data):
        letters = _BASE64_JUNK.sub(b"", part).translate(_URLSAFE)
        if len(letters) % 4 == 1:
            letters = letters[:-1]
        parts.append(binascii.a2b_base64(letters + b"=" * (-len(letters) % 4)))
    return b"".join(parts)


def _unbase32(data: bytes) -> bytes:
    letters = data.rstrip(b"=")
    letters = letters[: len(letters) - (len(letters) % 8 in {1, 3, 6})]
    return base64.b32decode(letters + b"=" * (-len(letters) % 8))


def _is_text(data: bytes) -> bool:
    """Whether nearly all of it can be read; text in UTF-8 counts."""
    if not data:
        return False
    if not data.isascii() and _is_utf8(data):
        data = data.decode("utf-8").encode("ascii", "ignore") or b" "
    return len(data.translate(None, _TEXT_BYTES)) <= (1 - _TEXT_SHARE_MIN) * len(data)


@cache
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern.encode("ascii"), latin1_options())
