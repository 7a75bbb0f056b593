"""What is written in an image beside its pixels: EXIF, XMP, comments, names of profiles. Pixels are not looked at.

What always holds: an image is one only where its structure holds to its end; what lies behind that end is given back,
to be looked at as a file of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from holdgate.scan.errors import Unscannable

NOTE_BYTES_MAX = 1024 * 1024
"""Of one packed comment, unpacked."""
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"fdAT", b"tRNS"))
_PNG_PACKED = frozenset((b"zTXt", b"iTXt", b"iCCP"))


@dataclass(frozen=True, slots=True)
class Notes:
    """`notes`: what is written in the image; `behind`: bytes after its end."""

    notes: tuple[bytes, ...]
    behind: bytes


def notes_of(data: bytes) -> Notes | None:
    """What is written in an image; None for what is none. Unscannable where its structure breaks off."""
    for magic, read in _READERS:
        if data.startswith(magic) and (magic != b"RIFF" or data[8:12] == b"WEBP"):
            try:
                return read(data)
            except (IndexError, zlib.error) as error:
                raise Unscannable("an image breaks off or is damaged") from error
    return None


def _png(data: bytes) -> Notes:
    notes: list[bytes] = []
    position = len(_PNG)
    while True:
        size = _number(data, position, 4, "big")
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + size]
        position += 12 + size
        if position > len(data):
            raise IndexError
        if kind == b"IEND":
            return Notes((*notes, body), data[position:])
        if kind not in _PNG_PIXELS:
            notes.append(body)
            if kind in _PNG_PACKED:
                notes.extend(_unpacked(kind, body))


def _unpacked(kind: bytes, body: bytes) -> Iterator[bytes]:
    """What is packed behind the names of a chunk (PNG, sections 11.3.2.3 and 11.3.3)."""
    rest = body.partition(b"\0")[2]
    if kind == b"iTXt":
        if not rest.startswith(b"\1"):
            return  # it is not packed; the text itself was looked at
        rest = b"\0" + rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(rest[1:], NOTE_BYTES_MAX)
    except zlib.error:
        raise Unscannable("a packed comment in an image is damaged") from None
    if stream.unconsumed_tail:
        raise Unscannable("a comment in an image unpacks to more than may be")
    yield text


def _jpeg(data: bytes) -> Notes:
    notes: list[bytes] = []
    position = 2
    while True:
        if data[position] != 0xFF:
            raise IndexError
        marker = data[position + 1]
        if marker == 0xD9:
            return Notes(tuple(notes), data[position + 2 :])
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        size = _number(data, position + 2, 2, "big")
        notes.append(data[position + 4 : position + 2 + size])
        position += 2 + max(size, 2)
        if marker == 0xDA:
            position = _after_pixels(data, position)


def _after_pixels(data: bytes, position: int) -> int:
    """Where the next marker is that is not a part of the packed pixels."""
    while True:
        position = data.find(b"\xff", position)
        if position < 0:
            raise IndexError
        following = data[position + 1]
        if following and not 0xD0 <= following <= 0xD7:
            return position
        position += 2


def _gif(data: bytes) -> Notes:
    notes: list[bytes] = []
    flags = data[10]
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while data[position] != 0x3B:
        if data[position] == 0x21:
            position, text = _gif_blocks(data, position + 2)
            notes.append(text)
        elif data[position] == 0x2C:
            flags = data[position + 9]
            position += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
            position, _pixels = _gif_blocks(data, position)
        else:
            raise IndexError
    return Notes(tuple(notes), data[position + 1 :])


def _gif_blocks(data: bytes, position: int) -> tuple[int, bytes]:
    blocks: list[bytes] = []
    while size := data[position]:
        blocks.append(data[position + 1 : position + 1 + size])
        position += 1 + size
    return position + 1, b"".join(blocks)


def _webp(data: bytes) -> Notes:
    end = 8 + _number(data, 4, 4, "little")
    if end > len(data):
        raise IndexError
    notes: list[bytes] = []
    position = 12
    while position < end:
        kind, size = data[position : position + 4], _number(data, position + 4, 4, "little")
        if kind not in {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"}:
            notes.append(data[position + 8 : position + 8 + size])
        position += 8 + size + size % 2
    return Notes(tuple(notes), data[end:])


def _number(data: bytes, position: int, size: int, order: str) -> int:
    raw = data[position : position + size]
    if len(raw) < size:
        raise IndexError
    return int.from_bytes(raw, "big" if order == "big" else "little")


_READERS: tuple[tuple[bytes, Callable[[bytes], Notes]], ...] = (
    (_PNG, _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"RIFF", _webp),
)
