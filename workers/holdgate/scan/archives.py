"""What is packed in an archive, piece by piece, in memory.

What always holds: a reader gives no more bytes than the meter lets come out; every byte of an archive that belongs to
no member is given as a part too; names are names and nothing is opened by them.
"""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from holdgate.scan.engine import Meter
from holdgate.scan.errors import Unscannable

PIECE_BYTES = 256 * 1024
MEMORY_BYTES_MAX = 64 * 1024 * 1024
"""What an xz stream may ask for."""
NAME_CHARS_MAX = 1024
FIELD_BYTES_MAX = 96
_DESCRIPTOR_BYTES_MAX = 24
_LOCAL_HEADER = b"PK\x03\x04"
_LOCAL_BYTES = 30
_UTF8_NAME = 0x800
_END_RECORD = b"PK\x05\x06"
_END_RECORD_BYTES = 22
_GZIP = b"\x1f\x8b"
_TAR_TEXTS = ((0, 100), (157, 257), (265, 297), (297, 329))
_TAR_MAGIC, _TAR_OLD, _TAR_USTAR = 257, 345, 500
_REFUSED = (
    (b"PK\x07\x08", "a zip in several pieces"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x28\xb5\x2f\xfd", "zstandard"),
    (b"%PDF-", "pdf"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or encrypted office document"),
)


class ArchiveDamaged(Exception):
    """An archive cannot be read to its end. Becomes `Unscannable` where it is known which file it is."""


@dataclass(frozen=True, slots=True)
class Part:
    """A member of an archive, or what lies between its members (`name` empty).

    `is_field`: a short field of the format's own, such as times and owners, which need not be a text.
    """

    name: str
    data: bytes
    is_field: bool = False


def parts_of(data: bytes, meter: Meter) -> tuple[str, Iterator[Part]] | None:
    """The kind of archive and its parts, read one by one; None for what is none. Unscannable for kinds not read here.

    The parts raise ArchiveDamaged, or ScanIncomplete where more comes out than may.
    """
    for magic, kind in _REFUSED:
        if data.startswith(magic) or (kind == "pdf" and magic in data[:1024]):
            raise Unscannable(f"files of the kind `{kind}` are not read")
    for magic, name, read in _READERS:
        if data.startswith(magic):
            return name, read(data, meter)
    if data[257:262] == b"ustar":
        return "tar", _tar(data, meter)
    return None


def _zip(data: bytes, meter: Meter) -> Iterator[Part]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            for info in infos:
                yield from _named(info.orig_filename, _member(data, info, meter))
            start = getattr(archive, "start_dir", len(data))
            for comment in (archive.comment, *(info.comment for info in infos)):
                yield Part("", comment)
            for info in infos:
                yield _field(info.extra)
                yield _field(_local_extra(data, info.header_offset))
            yield from _between(data[:start], infos)
            yield from _behind(data, start)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, *_DAMAGED) as error:
        # NotImplementedError: the library's word for a zip of a later version.
        raise ArchiveDamaged(f"a zip cannot be read to its end: {type(error).__name__}") from error


def _member(data: bytes, info: zipfile.ZipInfo, meter: Meter) -> bytes:
    """All that lies where the directory says that a member does: none of it is behind its end, or left unread."""
    if info.flag_bits & 1:
        raise ArchiveDamaged("a member of a zip is encrypted")
    start = _member_start(data, info)
    packed = data[start : start + info.compress_size]
    if info.compress_type == zipfile.ZIP_STORED:
        meter.decoded(len(packed))
        whole = packed
    elif info.compress_type in _DECODERS:
        stream = _DECODERS[info.compress_type]()
        whole = _drained(stream, packed, meter)
        if stream.unused_data:
            raise zipfile.BadZipFile("something lies behind a member, within it")
    else:
        raise ArchiveDamaged(f"a member of a zip is packed in a way that is not read: {info.compress_type}")
    if len(whole) != info.file_size or zlib.crc32(whole) != info.CRC:
        raise zipfile.BadZipFile("a member is not what the directory says")
    return whole


def _member_start(data: bytes, info: zipfile.ZipInfo) -> int:
    """Behind the header in front of a member, which has the member's name as the directory has it, and no other."""
    start = info.header_offset + _LOCAL_BYTES
    local = data[info.header_offset : start]
    names, extra = (int.from_bytes(local[place : place + 2], "little") for place in (26, 28))
    # Which of the two encodings a name has is said by the directory too (APPNOTE, appendix D).
    name = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8_NAME else "cp437")
    if not local.startswith(_LOCAL_HEADER) or data[start : start + names] != name:
        raise zipfile.BadZipFile("a member is not where the directory says, or has another name there")
    return start + names + extra


def _behind(data: bytes, directory: int) -> Iterator[Part]:
    """What lies between the directory, which begins at `directory`, and its end record, and behind that."""
    record = data.rfind(_END_RECORD)
    size, comment = (
        int.from_bytes(data[record + place : record + place + width], "little") for place, width in ((12, 4), (20, 2))
    )
    yield _field(data[directory + size : record])
    yield Part("", data[record + _END_RECORD_BYTES + comment :])


def _field(extra: bytes) -> Part:
    """Padding aside they are short; a long one has to be something that can be read."""
    return Part("", extra, is_field=len(extra) - extra.count(0) <= FIELD_BYTES_MAX)


def _local_extra(data: bytes, offset: int) -> bytes:
    """The field in front of a member, which may be another than the directory has."""
    names, extra = (int.from_bytes(data[offset + place : offset + place + 2], "little") for place in (26, 28))
    return data[offset + _LOCAL_BYTES + names : offset + _LOCAL_BYTES + names + extra]


def _between(data: bytes, infos: list[zipfile.ZipInfo]) -> Iterator[Part]:
    """What lies in front of, between and behind the members, where a member that no directory names would lie."""
    position = 0
    for info in sorted(infos, key=lambda item: item.header_offset):
        if info.header_offset > position:
            yield _gap(data[position : info.header_offset])
        position = max(position, _member_start(data, info) + info.compress_size)
    yield _gap(data[position:])


def _gap(between: bytes) -> Part:
    """The sizes of a member may stand behind it (APPNOTE, section 4.3.9)."""
    return Part("", between, is_field=len(between) <= _DESCRIPTOR_BYTES_MAX)


def _tar(data: bytes, meter: Meter) -> Iterator[Part]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for info in archive:
                notes = "\n".join((info.linkname, info.uname, info.gname, *map(str, info.pax_headers.values())))
                yield Part("", notes.encode("utf-8", "surrogateescape"))
                opened = archive.extractfile(info) if info.isfile() else None
                yield from _named(info.name, b"" if opened is None else _limited(opened.read, meter))
                yield Part("", _unread(data[info.offset : info.offset_data]), is_field=True)
                if opened is not None:
                    end = info.offset_data + info.size
                    yield Part("", data[end : end + -info.size % tarfile.BLOCKSIZE].strip(b"\0"))
            if archive.offset < len(data):
                yield Part("", data[archive.offset :].strip(b"\0"))
    except (tarfile.TarError, ValueError, *_DAMAGED) as error:
        raise ArchiveDamaged(f"a tar cannot be read to its end: {type(error).__name__}") from error


def _unread(header: bytes) -> bytes:
    """What of the first block ahead of a member belongs to no field of texts that is read (POSIX pax, ustar)."""
    behind = [header[start:end].partition(b"\0")[2] for start, end in _TAR_TEXTS]
    rest = header[_TAR_USTAR if header.startswith(b"ustar\0", _TAR_MAGIC) else _TAR_OLD : tarfile.BLOCKSIZE]
    return b"\n".join(part.strip(b"\0") for part in (*behind, rest)).strip()


def _stream(new: Callable[[], Any]) -> Callable[[bytes, Meter], Iterator[Part]]:
    """A reader of streams that hold one text, several of them one behind the other."""

    def read(data: bytes, meter: Meter) -> Iterator[Part]:
        whole = bytearray()
        magic = data[:2]
        while data[:2] == magic:
            yield from _gzip_fields(data)
            stream = new()
            try:
                whole += _drained(stream, data, meter)
            except _DAMAGED as error:
                raise ArchiveDamaged(f"a packed stream cannot be read: {type(error).__name__}") from error
            data = stream.unused_data
        yield Part("", bytes(whole))
        yield Part("", data)

    return read


def _drained(stream: Any, data: bytes, meter: Meter) -> bytes:
    """All that comes out of a packed stream. ArchiveDamaged where it does not end."""
    whole = bytearray()
    piece = stream.decompress(data, PIECE_BYTES)
    while piece or not stream.eof:
        if not piece and not _more(stream):
            raise ArchiveDamaged("a packed stream ends before its end")
        meter.decoded(len(piece))
        whole += piece
        rest = getattr(stream, "unconsumed_tail", b"")
        piece = b"" if stream.eof else stream.decompress(rest, PIECE_BYTES)
    return bytes(whole)


def _gzip_fields(data: bytes) -> Iterator[Part]:
    """What stands in front of a packed stream (RFC 1952, section 2.3): extra fields, name, comment."""
    if data[:2] != _GZIP or len(data) < 10:
        return
    flags, position = data[3], 10
    if flags & 4:
        size = int.from_bytes(data[position : position + 2], "little")
        yield _field(data[position + 2 : position + 2 + size])
        position += 2 + size
    for flag in (8, 16):
        if flags & flag:
            end = data.find(b"\0", position)
            yield Part("", data[position : end if end >= 0 else None])
            position = end + 1


def _more(stream: Any) -> bool:
    """Whether input is left that the stream has not looked at."""
    return bool(getattr(stream, "unconsumed_tail", b"")) or not getattr(stream, "needs_input", True)


def _limited(read: Callable[[int], bytes], meter: Meter) -> bytes:
    whole = bytearray()
    while piece := read(PIECE_BYTES):
        meter.decoded(len(piece))
        whole += piece
    return bytes(whole)


def _named(name: str, data: bytes) -> Iterator[Part]:
    """A member, and its name where that is longer than is told."""
    if len(name) > NAME_CHARS_MAX:
        yield Part("", name.encode("utf-8", "surrogateescape"))
    yield Part(_name(name), data)


def _name(name: str) -> str:
    return name[:NAME_CHARS_MAX].encode("utf-8", "replace").decode("utf-8") or "-"


_DAMAGED = (zlib.error, lzma.LZMAError, EOFError, OSError)
_DECODERS: dict[int, Callable[[], Any]] = {
    zipfile.ZIP_DEFLATED: lambda: zlib.decompressobj(-zlib.MAX_WBITS),
    zipfile.ZIP_BZIP2: bz2.BZ2Decompressor,
}
_READERS: tuple[tuple[bytes, str, Callable[[bytes, Meter], Iterator[Part]]], ...] = (
    (b"PK\x03\x04", "zip", _zip),
    (b"PK\x05\x06", "zip", _zip),
    (_GZIP, "gzip", _stream(lambda: zlib.decompressobj(31))),
    (b"BZh", "bzip2", _stream(bz2.BZ2Decompressor)),
    (b"\xfd7zXZ\0", "xz", _stream(lambda: lzma.LZMADecompressor(memlimit=MEMORY_BYTES_MAX))),
)
