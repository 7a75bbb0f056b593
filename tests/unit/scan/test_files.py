"""Files: what is read, what hides in them, what cannot be read, and bombs. All of them are made here."""

from __future__ import annotations

import base64
import bz2
import csv
import gzip
import io
import json
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import pytest

from holdgate.scan import Finding, ScanIncomplete, Scanner, Unscannable, files
from holdgate.scan.files import DEPTH_MAX, MEMBERS_MAX, scan_file
from support.secrets import Secrets

MADE = Secrets(31)
SECRET = MADE.chars("abcdefghijklmnopqrstuvwxyz0123456789", 24)
SCANNER = Scanner([SECRET.encode()], rules=())
WITH_RULES = Scanner()
ENCODED = base64.b64encode(SECRET.encode())
TEXT = f"deployed; the password was {SECRET} at the time\n"
NOISE = bytes(MADE.random.randrange(256) for _ in range(5000))


def found(name: str, data: bytes, media_type: str | None = None, scanner: Scanner = SCANNER) -> list[Finding]:
    return scan_file(scanner, name, data, media_type)


def zipped(**members: str | bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return made.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def tar_header() -> bytes:
    """A tar with a secret where the old format of a header has nothing."""
    header = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    header[400 : 400 + len(SECRET)] = SECRET.encode()
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(2 * tarfile.BLOCKSIZE)


def document(*runs: str) -> bytes:
    """A text document whose words are cut into runs, as editors do."""
    body = "".join(f'<w:r><w:rPr><w:b w:val="1"/></w:rPr><w:t>{run}</w:t></w:r>' for run in runs)
    return zipped(word__document=f'<?xml version="1.0"?><w:document><w:p>{body}</w:p></w:document>')


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [(b"IHDR", bytes(13)), *chunks, (b"IDAT", zlib.compress(NOISE)), (b"IEND", b"")]
    made = b"".join(struct.pack(">I", len(body)) + kind + body + bytes(4) for kind, body in parts)
    return b"\x89PNG\r\n\x1a\n" + made


def jpeg(*segments: tuple[int, bytes]) -> bytes:
    made = b"".join(bytes((0xFF, kind)) + struct.pack(">H", len(body) + 2) + body for kind, body in segments)
    pixels = NOISE.replace(b"\xff", b"\xff\0")
    return b"\xff\xd8" + made + b"\xff\xda\0\x08" + bytes(6) + pixels + b"\xff\xd9"


def gif(comment: bytes) -> bytes:
    return b"GIF89a" + bytes(7) + b"\x21\xfe" + bytes((len(comment),)) + comment + b"\0\x3b"


def webp(kind: bytes, body: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def table() -> bytes:
    made = io.StringIO()
    csv.writer(made).writerows([["host", "api key"], ["db-1", SECRET]])
    return made.getvalue().encode()


def with_fields(extra: bytes, comment: bytes = b"") -> bytes:
    """As the programs of Unix and offices write them: times and owners beside each member."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo("a")
        info.extra, info.comment = extra, comment
        archive.writestr(info, "nothing")
    return made.getvalue()


TIMES = struct.pack("<HHBI", 0x5455, 5, 3, 1_700_000_000) + struct.pack("<HHBBIBI", 0x7875, 11, 1, 4, 1000, 4, 1000)
GROWTH = struct.pack("<HH", 0xA220, 500) + b"\x28\xa0" + bytes(498)


def between(data: bytes) -> bytes:
    """A few bytes behind the last member, which are none of its own."""
    whole = zipped(a="harmless")
    place = whole.index(b"PK\x01\x02")
    end = whole.index(b"PK\x05\x06")
    moved = whole[end + 16 : end + 20]
    start = struct.pack("<I", int.from_bytes(moved, "little") + len(data))
    return whole[:place] + data + whole[place : end + 16] + start + whole[end + 20 :]


def named_gzip() -> bytes:
    made = io.BytesIO()
    with gzip.GzipFile(SECRET, "wb", fileobj=made) as opened:
        opened.write(b"harmless")
    return made.getvalue()


def other_in_front() -> bytes:
    """The field in front of the member is not the one in the directory."""
    field = struct.pack("<HH", 0x5455, 500) + NOISE[:500]
    before, _, behind = with_fields(field).rpartition(field)
    return before + bytes(len(field)) + behind


def lying(packed: bytes, whole: bytes, method: int) -> bytes:
    """A zip whose directory says that `packed` is a member and that `whole` is all of it."""
    sizes = struct.pack("<III", zlib.crc32(whole), len(packed), len(whole))
    local = struct.pack("<4s5H", b"PK\x03\x04", 20, 0, method, 0, 0) + sizes + struct.pack("<HH", 1, 0) + b"a" + packed
    entry = (
        struct.pack("<4s6H", b"PK\x01\x02", 20, 20, 0, method, 0, 0) + sizes + struct.pack("<5HII", 1, *[0] * 6) + b"a"
    )
    return local + entry + struct.pack("<4s4HIIH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), len(local), 0)


def deflated(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


READ: list[tuple[str, bytes, str, str]] = [
    ("utf-8", TEXT.encode(), "", "file"),
    ("utf-8 with a mark", TEXT.encode("utf-8-sig"), "", "file"),
    ("utf-16", TEXT.encode("utf-16"), "", "file"),
    ("utf-16 without a mark", TEXT.encode("utf-16-le"), "", "file"),
    ("utf-16, the other way", TEXT.encode("utf-16-be"), "", "file"),
    ("utf-32", TEXT.encode("utf-32"), "", "file"),
    ("utf-32 without a mark", TEXT.encode("utf-32-be"), "", "file"),
    ("latin-1", ("Straße, " + TEXT).encode("latin-1"), "", "file"),
    ("control characters", (TEXT.replace(SECRET, SECRET[:9] + "\x08" + SECRET[9:]) * 1).encode(), "", "file>controls"),
    ("json", json.dumps({"a": [{"b": SECRET}]}).encode(), "/a/0/b", "file"),
    ("lines of json", b'{"n": 1}\n\n' + json.dumps({"p": SECRET}).encode() + b"\n", "/2/p", "file"),
    ("zip", zipped(logs__a=TEXT), "/logs~1a", "file>zip"),
    ("zip in zip", zipped(x=zipped(y=TEXT)), "/x/y", "file>zip>zip"),
    ("gzip", gzip.compress(TEXT.encode()), "", "file>gzip"),
    ("two gzip streams", gzip.compress(b"harmless") + gzip.compress(TEXT.encode()), "", "file>gzip"),
    ("behind a gzip stream", gzip.compress(b"harmless") + base64.b64encode(TEXT.encode()), "", "file>gzip"),
    ("name in a gzip", named_gzip(), "", "file>gzip"),
    ("bzip2", bz2.compress(TEXT.encode()), "", "file>bzip2"),
    ("xz", lzma.compress(TEXT.encode()), "", "file>xz"),
    ("tar", tarred("etc/app.conf", TEXT.encode()), "/etc~1app.conf", "file>tar"),
    (
        "behind a member of a tar",
        tarred("a", b"x").replace(b"x" + bytes(40), b"x" + ENCODED[:40].ljust(40)),
        "",
        "file>tar",
    ),
    ("packed tar", gzip.compress(tarred("a", TEXT.encode())), "/a", "file>gzip>tar"),
    ("a way out of the archive", tarred("../../etc/cron.d/x", TEXT.encode()), "/..~1..~1etc~1cron.d~1x", "file>tar"),
    ("document in runs", document("pass: ", SECRET[:7], SECRET[7:15], SECRET[15:]), "/word~1document", "file>zip>xml"),
    ("entities", document("&#x" + format(ord(SECRET[0]), "x") + ";" + SECRET[1:]), "/word~1document", "file>zip>xml"),
    ("comment of a member", with_fields(TIMES, TEXT.encode()), "", "file>zip"),
    ("field of a member", with_fields(struct.pack("<HH", 0x5455, len(SECRET)) + SECRET.encode()), "", "file>zip"),
    ("name of a member", zipped(**{SECRET: "harmless"}), "", "file>zip>names"),
    ("png text", png((b"tEXt", b"Comment\0" + SECRET.encode())), "", "file>image"),
    ("png packed text", png((b"zTXt", b"Comment\0\0" + zlib.compress(TEXT.encode()))), "", "file>image"),
    ("behind a png", png() + gzip.compress(TEXT.encode()), "", "file>image>gzip"),
    ("jpeg exif", jpeg((0xE1, b"Exif\0\0" + TEXT.encode())), "", "file>image"),
    ("jpeg, two bytes a letter", jpeg((0xE1, b"Exif\0\0" + SECRET.encode("utf-16-le"))), "", "file>image"),
    ("jpeg, in a table", jpeg((0xDB, SECRET.encode())), "", "file>image"),
    ("behind a zip", zipped(a="harmless") + b" " + SECRET.encode(), "", "file>zip"),
    (
        "png text in another language",
        png((b"iTXt", b"C\0\1\0x\0xx\0" + zlib.compress(TEXT.encode()))),
        "",
        "file>image",
    ),
    ("a mark of utf-16 ahead of utf-8", b"\xff\xfe" + TEXT.encode() + b"." * (len(TEXT) % 2), "", "file>bytes"),
    ("bare among the pixels of a png", png((b"PLTE", SECRET.encode())), "", "file>image"),
    ("bare among the pixels of a jpeg", jpeg()[:-2] + SECRET.encode() + b"\xff\xd9", "", "file>image"),
    ("in the header of a tar", tar_header(), "", "file>tar"),
    ("behind the name of a member", zipped(**{f"a_{SECRET}": "harmless"}).replace(b"a_", b"a\0"), "", "file>zip>names"),
    ("in a name without end", zipped(**{"a" * 2000 + SECRET: "harmless"}), "", "file>zip"),
    ("between members", between(SECRET.encode()[:24]), "", "file>zip"),
    ("gif comment", gif(SECRET.encode()), "", "file>image"),
    ("webp xmp", webp(b"XMP ", b"<x>" + SECRET.encode() + b"</x>"), "", "file>image"),
]


@pytest.mark.parametrize(("kind", "data", "path", "via"), READ, ids=[row[0] for row in READ])
def test_a_secret_in_a_file_is_found_and_placed(kind: str, data: bytes, path: str, via: str) -> None:
    hits = found("data.bin", data)
    assert any(hit.path == path and hit.via.startswith(via) for hit in hits), hits
    assert all(hit.via.startswith("file") for hit in hits)


CLEAN: list[tuple[str, bytes]] = [
    ("fields of Unix", with_fields(TIMES)),
    ("room to grow", with_fields(GROWTH)),
    ("empty", b""),
    ("zeros", bytes(1000)),
    ("text", b"nothing to see"),
    ("zip", zipped(a="nothing", b=json.dumps({"n": [1, 2]}))),
    ("document", document("Dear ", "reader")),
    ("png", png((b"tEXt", b"Comment\0hello"))),
    ("jpeg", jpeg((0xFE, b"hello"))),
    ("tar", gzip.compress(tarred("a", b"nothing"))),
]


@pytest.mark.parametrize(("kind", "data"), CLEAN, ids=[row[0] for row in CLEAN])
def test_ordinary_files_are_clean(kind: str, data: bytes) -> None:
    assert scan_file(WITH_RULES, kind, data) == []


def test_the_column_of_a_table_names_its_values() -> None:
    assert {hit.path for hit in found("hosts.csv", table())} == {"", "/0/api key"}


def test_name_and_media_type_are_claims() -> None:
    assert found("harmless.png", TEXT.encode(), "image/png")
    assert found("notes.txt", zipped(a=TEXT), "text/plain")


def encrypted() -> bytes:
    made = bytearray(zipped(a=TEXT))
    made[6] |= 1
    made[made.index(b"PK\x01\x02") + 8] |= 1
    return bytes(made)


UNREADABLE: list[tuple[str, bytes]] = [
    ("noise", NOISE),
    ("an encrypted zip", encrypted()),
    ("noise in a zip", zipped(a=NOISE)),
    ("half a zip", zipped(a=TEXT * 50)[:-30]),
    ("half a gzip", gzip.compress(NOISE)[:-2000]),
    ("a damaged gzip", gzip.compress(TEXT.encode())[:30] + NOISE),
    ("half a png", png((b"tEXt", b"Comment\0hello"))[:-20]),
    ("half a jpeg", jpeg((0xE1, b"Exif"))[:-3]),
    ("noise behind a png", png() + NOISE),
    ("noise in a field that the directory does not have", other_in_front()),
    ("noise behind a gzip", gzip.compress(b"harmless") + NOISE),
    ("noise in a field", with_fields(struct.pack("<HH", 0x5455, 500) + NOISE[:500])),
    ("noise behind a tar", tarred("a", b"x") + NOISE),
    ("words in front of a zip", b"PK\x03\x04" + TEXT.encode() + zipped(a="harmless")),
    ("behind the text of a member", lying(b"hello" + TEXT.encode(), b"hello", zipfile.ZIP_STORED)),
    ("behind the stream of a member", lying(deflated(b"hello") + TEXT.encode(), b"hello", zipfile.ZIP_DEFLATED)),
    ("more of a member than it says", lying(deflated(b"hello" + TEXT.encode()), b"hello", zipfile.ZIP_DEFLATED)),
    (
        "another name ahead of a member",
        lying(b"hello", b"hello", zipfile.ZIP_STORED).replace(b"ahello", b"bhello"),
    ),
    ("a packed comment that is not", png((b"zTXt", b"Comment\0\0" + TEXT.encode()))),
    ("pdf", b"%PDF-1.7\n" + TEXT.encode()),
    ("7z", b"7z\xbc\xaf\x27\x1c" + NOISE),
    ("an old office document", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + NOISE),
    ("entities of its own", zipped(x=f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "{SECRET[:9]}">]><a>&b;</a>')),
    ("a member that no directory names", zipped(b=TEXT)[:80] + zipped(a="harmless")),
    ("utf-16 with a surrogate alone", b"\xff\xfe\x00\xd8\x00\x00"),
]


@pytest.mark.parametrize(("kind", "data"), UNREADABLE, ids=[row[0] for row in UNREADABLE])
def test_what_cannot_be_read_to_its_end_is_not_clean(kind: str, data: bytes) -> None:
    with pytest.raises(Unscannable):
        found(kind, data)


def deep(levels: int) -> bytes:
    data = TEXT.encode()
    for _ in range(levels):
        data = gzip.compress(data)
    return data


def many() -> bytes:
    head = tarred("a", b"")[:512]
    return head * (MEMBERS_MAX + 1) + bytes(1024)


BOMBS: list[tuple[str, Callable[[], bytes]]] = [
    ("deflated zeros", lambda: gzip.compress(bytes(24 * 1024 * 1024))),
    ("zip of zeros", lambda: zipped(a=bytes(24 * 1024 * 1024))),
    ("many members of a tar", lambda: many()),
    ("many members", lambda: zipped(**{f"m{number}": "" for number in range(MEMBERS_MAX + 1)})),
    ("too deep", lambda: deep(DEPTH_MAX + 1)),
    ("bzip2 of one letter", lambda: bz2.compress(b"a" * (24 * 1024 * 1024))),
]


@pytest.mark.parametrize(("kind", "made"), BOMBS, ids=[row[0] for row in BOMBS])
def test_bombs_end_at_a_bound(kind: str, made: Callable[[], bytes]) -> None:
    with pytest.raises(ScanIncomplete):
        found(kind, made())


def test_what_large_archives_unpack_to_has_an_absolute_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(a=base64.b64encode(MADE.random.randbytes(64 * 1024)), b=bytes(5 * 1024 * 1024))
    assert found("x", archive) == []
    monkeypatch.setattr(files, "PACKED_BYTES_MAX", 1000)
    with pytest.raises(ScanIncomplete):
        found("x", archive)


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: zipped(a=data)])
def test_a_bomb_takes_no_more_memory_than_its_bound(pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(bytes(48 * 1024 * 1024))
    tracemalloc.start()
    try:
        with pytest.raises(ScanIncomplete):
            found("x", bomb)
        assert tracemalloc.get_traced_memory()[1] < 32 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_archives_of_many_members_are_read() -> None:
    assert found("x", zipped(**{f"m{number}": "fine" for number in range(MEMBERS_MAX - 1)}, last=TEXT))


def test_archives_down_to_the_bound_are_read() -> None:
    assert found("x", deep(DEPTH_MAX))


def test_findings_hold_no_value() -> None:
    for _, data, _, _ in READ:
        hits = found("x", data)
        assert SECRET not in "".join(f"{hit.detector} {hit.via}" for hit in hits)


def test_encoded_words_in_a_member_are_found() -> None:
    inner = base64.b64encode(TEXT.encode())
    assert found("x", zipped(a=inner))
