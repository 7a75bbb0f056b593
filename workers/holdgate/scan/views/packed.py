"""Compressed bytes and containers: gzip wherever it begins; zlib, zip, bzip2 and xz where a run begins with it.

What always holds: what comes out is counted before it is kept; behind a stream that ends, or that is none after all,
the search goes on; a container that cannot be read to its end, in a run that was decoded, is `Unscannable`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from holdgate.scan.engine import Meter
from holdgate.scan.errors import Unscannable
from holdgate.scan.findings import View
from holdgate.scan.views.layer import Layer, Run

_CHUNK_BYTES = 64 * 1024
_FIRST_BYTES = 512
"""Most of what only looks like gzip is known for it by then."""
_WORK_OF_TRY = 2048
_PARTS_MAX = 2000
_GZIP = re.compile(rb"\x1f\x8b\x08|\x1f\xc2\x8b\x08")
_AS_TEXT = b"\x1f\xc2"
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_READ = (b"PK\x03\x04", b"PK\x05\x06", *(b"BZh%d1AY&SY" % level for level in range(1, 10)), b"\xfd7zXZ\0")
"""What containers begin with that are read here, and ..."""
_REFUSED = (b"%PDF-", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
"""... those that are not."""


def packed_runs(layer: Layer, meter: Meter) -> Iterator[Run]:
    """What is compressed or packed in `layer`, unpacked. ScanIncomplete, Unscannable."""
    data, stop = layer.data, 0
    for match in _GZIP.finditer(data):
        start = match.start()
        if start >= stop and not layer.is_copied(start, match.end()):
            end = layer.piece_end(start) if layer.of_runs else len(data)
            text, stop = _gunzipped(data, start, end, meter)
            if text:
                yield Run(start, stop, text, View.GZIP)
            # Where nothing came out, or it broke off, a stream may begin at once behind the sign.
            stop = stop if text and stop < end else match.end()
    if not (layer.of_runs or layer.parent is None):
        return
    for start in layer.starts:
        if data.startswith(_ZLIB, start) and int.from_bytes(data[start : start + 2]) % 31 == 0:
            end = layer.piece_end(start)
            if text := _inflated(data, start, end, meter)[0]:
                yield Run(start, end, text, View.ZLIB)
        elif data.startswith(_READ, start) or (layer.of_runs and data.startswith(_REFUSED, start)):
            yield from _members(layer, start, meter)


def unpacked(data: bytes) -> bytes:
    """What a run that was compressed stands for."""
    packed = _as_bytes(data)
    return _inflated(packed, 0, len(packed), None)[0]


def _gunzipped(data: bytes, start: int, end: int, meter: Meter) -> tuple[bytes, int]:
    """What comes out of the stream at `start`, and where it ends; `end` where it breaks off."""
    meter.spend(_WORK_OF_TRY)
    if not data.startswith(_AS_TEXT, start):
        return _inflated(data, start, end, meter)
    meter.spend(end - start)
    packed = _as_bytes(data[start:end])
    text, stop = _inflated(packed, 0, len(packed), meter)
    return text, min(end, start + len(packed[:stop].decode("latin-1").encode("utf-8")))


def _as_bytes(packed: bytes) -> bytes:
    """Bytes that were written as the characters of the same numbers, as bytes again."""
    if packed.startswith(_AS_TEXT):
        return packed.decode("utf-8", "ignore").encode("latin-1", "ignore")
    return packed


def _inflated(data: bytes, start: int, end: int, meter: Meter | None) -> tuple[bytes, int]:
    """As much of it as there is, and where it ended; `end` where it was cut off or is damaged."""
    inflater = zlib.decompressobj(wbits=47)
    parts: list[bytes] = []
    at, size = start, _FIRST_BYTES
    while not inflater.eof and (at < end or inflater.unconsumed_tail):
        given = inflater.unconsumed_tail
        if not given:
            given, size = data[at : min(end, at + size)], _CHUNK_BYTES
            at += len(given)
        try:
            parts.append(inflater.decompress(given, _CHUNK_BYTES))
        except zlib.error:
            return b"".join(parts), end
        if meter is not None:
            meter.decoded(len(parts[-1]))
    return b"".join(parts), at - len(inflater.unused_data) if inflater.eof else end


def _members(layer: Layer, start: int, meter: Meter) -> Iterator[Run]:
    """What is in the container that begins at `start`, its names as one text."""
    from holdgate.scan.archives import ArchiveDamaged, parts_of  # few texts have any; it loads four decoders

    end, names = layer.piece_end(start), []
    found = parts_of(layer.data[start:end], meter)
    try:
        for number, part in enumerate(found[1] if found else ()):
            if number > _PARTS_MAX:
                raise Unscannable(f"a container in a text has more than {_PARTS_MAX} parts")
            names.append(part.name)
            if part.data:
                yield Run(start, end, part.data, View.FILE)
    except ArchiveDamaged as error:
        raise Unscannable(f"a text holds a container that cannot be read: {error}") from error
    if text := "\n".join(filter(None, names)).encode():
        yield Run(start, end, text, View.FILE)
