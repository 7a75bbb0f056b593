"""PNG pictures with a palette of 64 colours: a fifth of the size, with no library for it.

Reads what Chromium writes (8 bits, RGB or RGBA, not interlaced); PNG specification, third edition, sections 9 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = 64
CHANNELS = {2: 3, 6: 4}
Colour = tuple[int, int, int]


def shrink(png: bytes) -> bytes:
    """The same picture in at most COLOURS colours; ValueError when it is none that can be read here."""
    chunks = list(_chunks(png))
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if depth != 8 or kind not in CHANNELS or interlaced:
        raise ValueError("not a picture as Chromium writes it")
    data = zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
    channels = CHANNELS[kind]
    rows = [_colours(row, channels) for row in _rows(data, width * channels, channels)]
    palette = [colour for colour, _ in Counter(colour for row in rows for colour in row).most_common(COLOURS)]
    known = {colour: number for number, colour in enumerate(palette)}
    packed = bytearray()
    for row in rows:
        packed.append(0)
        for colour in row:
            if colour not in known:
                known[colour] = _nearest(colour, palette)
            packed.append(known[colour])
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    body = zlib.compress(bytes(packed), 9)
    parts = [(b"IHDR", header), (b"PLTE", bytes(part for colour in palette for part in colour)), (b"IDAT", body)]
    return SIGNATURE + b"".join(_chunk(*part) for part in (*parts, (b"IEND", b"")))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += length + 12


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _rows(data: bytes, length: int, channels: int) -> Iterator[bytes]:
    """The rows without their filters."""
    above = bytes(length)
    for at in range(0, len(data), length + 1):
        above = _unfiltered(data[at], bytearray(data[at + 1 : at + 1 + length]), above, channels)
        yield above


def _unfiltered(kind: int, row: bytearray, above: bytes, channels: int) -> bytes:
    for at in range(len(row)):
        left = row[at - channels] if at >= channels else 0
        up, corner = above[at], above[at - channels] if at >= channels else 0
        guess = (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]
        row[at] = (row[at] + guess) & 255
    return bytes(row)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


def _colours(row: bytes, channels: int) -> list[Colour]:
    return [(row[at], row[at + 1], row[at + 2]) for at in range(0, len(row), channels)]


def _nearest(colour: Colour, palette: list[Colour]) -> int:
    def distance(number: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(colour, palette[number], strict=True))

    return min(range(len(palette)), key=distance)
