"""One file's way through the scanner, to findings with places or to why there are none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from holdgate.scan import Category, Finding, ScanError, Scanner, Severity, Unscannable
from holdgate.scan.files import scan_file, text_of
from holdgate.scheduler.cli.scan.places import Lines, Place
from holdgate.scheduler.cli.scan.sources import Source, Unread, read_source

SEVERITIES = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for, and how. `raw`: the text as it is, nothing decoded."""

    severity_min: Severity = Severity.LOW
    categories: frozenset[Category] = frozenset()
    raw: bool = False
    bytes_max: int = 32 * 1024 * 1024

    def wants(self, finding: Finding) -> bool:
        """Whether `finding` is told."""
        if self.categories and finding.category not in self.categories:
            return False
        return SEVERITIES.index(finding.severity) >= SEVERITIES.index(self.severity_min)


@dataclass(frozen=True, slots=True)
class Found:
    """A finding in a file. `place` is None in a member of an archive, where lines say nothing."""

    file: str
    finding: Finding
    place: Place | None


@dataclass(frozen=True, slots=True)
class Looked:
    """What a scan of one file came to. `problem`: why it is not known to be clean.

    `is_skipped`: it is of a kind that is not read here, and nobody named it.
    """

    file: str
    bytes_read: int = 0
    found: tuple[Found, ...] = ()
    problem: str | None = None
    is_skipped: bool = False


def look_at(scanner: Scanner, source: Source, wanted: Wanted) -> Looked:
    """Scan one file; never raises for what is in it."""
    try:
        data = read_source(source, wanted.bytes_max)
    except Unread as error:
        return Looked(source.name, problem=str(error))
    try:
        found = tuple(_found(scanner, source.name, data, wanted))
    except Unscannable as error:
        return Looked(source.name, len(data), problem=str(error), is_skipped=not source.is_named)
    except ScanError as error:
        return Looked(source.name, len(data), problem=str(error))
    return Looked(source.name, len(data), found)


def findings_of(scanner: Scanner, text: str | bytes, wanted: Wanted) -> list[Finding]:
    """Those in `text` that are wanted, sorted by place."""
    findings = scanner.scan_raw(text) if wanted.raw else scanner.scan(text)
    return [finding for finding in findings if wanted.wants(finding)]


def _found(scanner: Scanner, name: str, data: bytes, wanted: Wanted) -> Iterator[Found]:
    text = text_of(data)
    if text is None:
        if wanted.raw:
            raise Unscannable("not text, and nothing is unpacked with `--raw`")
        found = scan_file(scanner, name, data)
        yield from (Found(name, finding, None) for finding in found if wanted.wants(finding))
        return
    findings = findings_of(scanner, text, wanted)
    lines = Lines(text) if findings else None
    for finding in findings:
        yield Found(name, finding, None if lines is None else lines.place_of(finding))
