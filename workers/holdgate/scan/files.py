"""The search of a file: what it is by its content, and the texts in it, archives and office documents included.

What always holds: name and media type are claims and open nothing; what no reader here knows to its last byte is
`Unscannable`, never clean; what comes out of an archive is bounded in bytes, members and depth, and is never written
anywhere; what lies between the members of an archive, or behind an image, is looked at like a member.

Text in UTF-8, UTF-16, UTF-32 or one byte a character; JSON, lines of JSON and CSV with the names of their values; zip,
gzip, bzip2, xz and tar; office documents, which are zips of XML. Of images what is written beside the pixels,
and what stands bare among them.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace

from holdgate.kernel.canonical import Json, parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.scan import images
from holdgate.scan.archives import ArchiveDamaged, Part, parts_of
from holdgate.scan.engine import Budget, Meter
from holdgate.scan.errors import ScanIncomplete, Unscannable
from holdgate.scan.findings import Finding
from holdgate.scan.scanner import Scanner
from holdgate.scan.views import escape
from holdgate.scan.xmltext import is_xml, joined_text

DEPTH_MAX = 3
"""Archives inside each other."""
MEMBERS_MAX = 2_000
PACKED_BYTES_MAX = 2 * 1024 * 1024
"""Of which each may become two dozen: what a larger archive holds more than that is not unpacked in memory."""
FILE_BUDGET = Budget(decoded_factor=24, decoded_base=4 * 1024 * 1024, work_per_byte=200)
"""Two dozen bytes out of one that was packed: more than texts gain, and far less than a bomb."""
LINES_MAX = 200_000
_TELLING = re.compile(
    r"(?i)pass|pwd|secret|token|key|credential|auth|pin|birth|dob|ssn|social|tax|national|passport|iban|account|card|phone"
)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b")) + b"\x7f"
_BARE = dict.fromkeys(_CONTROLS)
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"))
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BOMS_SHORT = tuple((mark, "utf-16") for mark in _WIDE_MARKS)
_CONTROLS_SHARE_MAX = 0.02
_HIGH_SHARE_MAX = 0.3
"""Of control characters in a text, and of bytes beyond ASCII where each is a character. What has more is no text."""


def scan_file(
    scanner: Scanner, name: str, data: bytes, media_type: str | None = None, meter: Meter | None = None
) -> list[Finding]:
    """Findings in a file. `path`: the members that lead to it, and in JSON the pointer; `via` begins with `file`.

    `meter`: of the scan that the file is a part of. Unscannable for what cannot be read to its last byte,
    ScanIncomplete for what unpacks to more than may be.
    """
    walk = _Walk(scanner, meter or meter_of(len(data)))
    # A value that lies in two views, or in a container's bytes and in its member, counts once for each place.
    return list(dict.fromkeys(walk.file(Part(name, data), media_type, "", "file", DEPTH_MAX)))


def meter_of(size: int) -> Meter:
    """For files of so many bytes together."""
    return Meter(FILE_BUDGET, min(size, PACKED_BYTES_MAX))


class _Walk:
    """One file and what is in it. Counts members over all depths."""

    def __init__(self, scanner: Scanner, meter: Meter) -> None:
        self._scanner = scanner
        self._meter = meter
        self._members = 0

    def file(self, part: Part, media_type: str | None, path: str, via: str, depth: int) -> Iterator[Finding]:
        data = part.data
        self._meter.spend(len(data))
        if not data.strip(b"\0"):
            return
        if part.is_field:
            yield from self._found(self._scanner.scan(data), path, via)
            return
        if (packed := parts_of(data, self._meter)) is not None:
            yield from self._archive(*packed, path, via, depth)
        elif (notes := images.notes_of(data)) is not None:
            yield from self._image(data, notes, path, via, depth)
        elif (text := text_of(data)) is not None:
            yield from self._text(part.name, media_type, text, path, via)
            if isinstance(text, str) and data.startswith(_WIDE_MARKS) and not text.isascii():
                # Two bytes at its begin make characters of another script of a text that has none.
                yield from self._found(self._scanner.scan(data), path, f"{via}>bytes")
        else:
            raise Unscannable(f"a file of {len(data)} bytes is neither text nor of a kind that can be read")

    def _archive(self, kind: str, parts: Iterator[Part], path: str, via: str, depth: int) -> Iterator[Finding]:
        if not depth:
            raise ScanIncomplete(f"archives lie in each other deeper than {DEPTH_MAX}")
        names: list[str] = []
        try:
            for part in parts:
                self._members += bool(part.name)
                if self._members > MEMBERS_MAX:
                    raise ScanIncomplete(f"an archive has more than {MEMBERS_MAX} members")
                names.append(part.name)
                below = f"{path}/{escape(part.name)}" if part.name else path
                yield from self.file(part, None, below, f"{via}>{kind}", depth - 1)
        except ArchiveDamaged as error:
            raise Unscannable(str(error)) from error
        yield from self._found(self._scanner.scan("\n".join(names)), path, f"{via}>{kind}>names")

    def _image(self, data: bytes, notes: images.Notes, path: str, via: str, depth: int) -> Iterator[Finding]:
        noted = list(self._notes(notes.notes, path, via))
        yield from noted
        told = {finding.detector for finding in noted}
        among = self._scanner.scan_binary(data[: len(data) - len(notes.behind)])
        yield from self._found([finding for finding in among if finding.detector not in told], path, f"{via}>image")
        if notes.behind.strip(b"\0"):
            yield from self.file(Part("", notes.behind), None, path, f"{via}>image", depth)

    def _notes(self, notes: tuple[bytes, ...], path: str, via: str) -> Iterator[Finding]:
        for note in notes:
            self._meter.decoded(len(note))
            yield from self._found(self._scanner.scan(note), path, f"{via}>image")
            if b"\0" in note:
                # Text of two bytes a character, and what separates the parts of a structure.
                yield from self._found(self._scanner.scan(note.replace(b"\0", b"")), path, f"{via}>image")

    def _text(self, name: str, media_type: str | None, text: str | bytes, path: str, via: str) -> Iterator[Finding]:
        if isinstance(text, str) and (document := _document(text)) is not None:
            # All of a document is in its keys and values, escapes undone; the same words raw would be found twice.
            yield from self._found(self._scanner.scan_value(document), path, via)
            return
        yield from self._found(self._scanner.scan(text), path, via)
        if not isinstance(text, str):
            return
        if (bare := text.translate(_BARE)) != text:
            yield from self._found(self._scanner.scan(bare), path, f"{via}>controls")
        if is_xml(text):
            joined = joined_text(text)
            self._meter.decoded(len(joined))
            yield from self._found(self._scanner.scan(joined), path, f"{via}>xml")
        elif _is_table(name, media_type):
            # What cannot be read as rows was looked at as a text.
            with contextlib.suppress(csv.Error):
                yield from self._found(self._scanner.scan_value(_rows(text)), path, f"{via}>csv")

    @staticmethod
    def _found(findings: list[Finding], path: str, via: str) -> Iterator[Finding]:
        for finding in findings:
            yield replace(finding, path=path + finding.path, via=f"{via}>{finding.via}")


def text_of(data: bytes) -> str | bytes | None:
    """The text of `data`; as bytes where each is a character; None for what is not text."""
    for bom, encoding in (*_BOMS, *_BOMS_SHORT):
        if data.startswith(bom):
            return _decoded(data, encoding)
    if b"\0" in data[:4096] and (wide := _wide(data)) is not None:
        return wide
    if len(data) - len(data.translate(None, _CONTROLS)) > _CONTROLS_SHARE_MAX * len(data):
        return None
    if (text := _decoded(data, "utf-8")) is not None:
        return text
    high = len(data.translate(None, bytes(range(128))))
    return data if high <= _HIGH_SHARE_MAX * len(data) else None


def _wide(data: bytes) -> str | None:
    """Text of two or four bytes a character without a mark at its begin, as far as it is mostly of ASCII."""
    for encoding, width, low in (("utf-32-le", 4, 0), ("utf-32-be", 4, 3), ("utf-16-le", 2, 0), ("utf-16-be", 2, 1)):
        if len(data) % width == 0 and data[low::width].count(0) == 0 and _zeros(data, width, low) >= 0.7:
            return _decoded(data, encoding)
    return None


def _zeros(data: bytes, width: int, low: int) -> float:
    """Share of zeros among the bytes that are zero in ASCII."""
    others = [data[place::width] for place in range(width) if place != low]
    return sum(part.count(0) for part in others) / max(1, sum(map(len, others)))


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _document(text: str) -> Json | None:
    """The JSON document, or the list of those that stand in its lines; None where it is neither."""
    stripped = text.lstrip()
    if not stripped.startswith(("{", "[", '"')):
        return None
    try:
        return parse_json(text.encode("utf-8", "surrogatepass"))
    except (MalformedJson, UnicodeEncodeError):
        lines = text.split("\n", LINES_MAX)
    if len(lines) < 2 or len(lines) > LINES_MAX:
        return None
    try:
        # An empty line keeps its number.
        return [parse_json(line.encode()) if line.strip() else None for line in lines]
    except (MalformedJson, UnicodeEncodeError):
        return None


def _is_table(name: str, media_type: str | None) -> bool:
    kind = (media_type or "").partition(";")[0].strip().lower()
    return name.lower().endswith((".csv", ".tsv")) or kind in {"text/csv", "text/tab-separated-values"}


def _rows(text: str) -> Json:
    """Values with the names of their columns, of those columns whose name says what is in them."""
    head = text[:4096].partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t|", key=head.count))
    names = _unique(next(rows, []))
    telling = [place for place, name in enumerate(names) if _TELLING.search(name)]
    if not telling:
        return []
    kept: list[Json] = []
    for row in rows:
        kept.append({names[place]: row[place] for place in telling if place < len(row)})
        if len(kept) > LINES_MAX:
            raise ScanIncomplete(f"a table has more than {LINES_MAX} rows")
    return kept


def _unique(names: list[str]) -> list[str]:
    return [name if names.index(name) == place else f"{name} {place}" for place, name in enumerate(names)]
