"""The search of a file that a run left beside its value, and its redaction where it is a text.

What always holds: a file that cannot be read, or not within its budget, is a finding of its own; a redacted file was
scanned again as what it was before; no name in a file is shown with a secret in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

from holdgate.scan.engine import Meter
from holdgate.scan.errors import RedactionIncomplete, ScanIncomplete, Unscannable
from holdgate.scan.findings import Finding, View
from holdgate.scan.output import DESCRIBED_MAX, UNSCANNABLE, Artifact, FindingKind, Inspection, Keep, kind_of
from holdgate.scan.redact import PATH_CHARS_MAX, Redactor
from holdgate.scan.scanner import Scanner
from holdgate.scan.views import escape, unescape

_NAMES = "names"
"""The view of the names of what is in an archive."""
_HIDDEN = "[redacted]"
_ANY = "/*"


class ArtifactInspector:
    """Inspects and redacts files; each of `scanners` sees every file."""

    def __init__(self, scanners: Sequence[Scanner], redactor: Redactor) -> None:
        self._scanners = tuple(scanners)
        self._redactor = redactor

    def inspect(self, artifacts: Sequence[Artifact], names: Sequence[str]) -> Iterator[Inspection]:
        """What is in each; the kind `unscannable` where that cannot be said. ScanError when it may be said later.

        `names`: theirs, as they may be shown. All of them share one budget.
        """
        meters = self._meters(artifacts)
        for artifact, name in zip(artifacts, names, strict=True):
            try:
                findings = self._found(artifact, meters)
            except (Unscannable, ScanIncomplete) as error:
                whole = {**_shown(UNSCANNABLE), "path": _place([name]), "via": "file"}
                yield Inspection((UNSCANNABLE,), (whole,), 1, (error.code,))
            else:
                kinds = tuple(sorted(set(map(kind_of, findings))))
                yield Inspection(kinds, tuple(self._described(name, findings)), len(findings))

    def redact(self, artifacts: Sequence[Artifact], keep: Keep) -> Iterator[Artifact]:
        """Without any finding but those to `keep`; RedactionIncomplete where that cannot be done."""
        before, after = self._meters(artifacts), self._meters(artifacts)
        for artifact in artifacts:
            if not self._to_go(self._found(artifact, before), keep):
                yield artifact
                continue
            if not _is_text(artifact.data):
                raise RedactionIncomplete("a file that is not a text holds a finding")
            redacted = replace(artifact, data=self._redacted(artifact.data, keep))
            if self._to_go(self._found(redacted, after), keep):
                raise RedactionIncomplete
            yield redacted

    def _redacted(self, data: bytes, keep: Keep) -> bytes:
        """A JSON document stays one, and every other byte stays as it is."""
        try:
            found = [finding for scanner in self._scanners for finding in scanner.scan_json(data)]
        except Unscannable:
            found = [finding for scanner in self._scanners for finding in scanner.scan(data)]
            return self._redactor.redact_bytes(data, self._to_go(found, keep))
        return self._redactor.redact_json(data, self._to_go(found, keep))

    def _to_go(self, findings: Sequence[Finding], keep: Keep) -> list[Finding]:
        # Places in files have no fingerprint: what is kept by its value alone is kept nowhere in them.
        return [finding for finding in findings if kind_of(finding) not in keep.kinds]

    def _meters(self, artifacts: Sequence[Artifact]) -> list[Meter]:
        """For each scanner what all of the files may cost it."""
        if not artifacts:
            return []
        from holdgate.scan.files import meter_of  # most runs leave no file: what reads them is loaded for the first

        size = sum(len(each.data) for each in artifacts)
        return [meter_of(size) for _ in self._scanners]

    def _found(self, artifact: Artifact, meters: Sequence[Meter]) -> list[Finding]:
        from holdgate.scan.files import scan_file

        return [
            finding
            for scanner, meter in zip(self._scanners, meters, strict=True)
            for finding in scan_file(scanner, artifact.name, artifact.data, artifact.media_type, meter)
        ]

    def _described(self, name: str, findings: Sequence[Finding]) -> list[dict[str, Any]]:
        shown = findings[:DESCRIBED_MAX]
        hidden = _hidden(findings)
        places = {path: self._shown_place(name, path, hidden) for path in {finding.path for finding in shown}}
        return [
            {
                **_shown(kind_of(finding)),
                "path": places[finding.path],
                "via": str(finding.via),
                "start": finding.start,
                "end": finding.end,
            }
            for finding in shown
        ]

    def _shown_place(self, name: str, path: str, hidden: Set[str]) -> str:
        """Names in a file are the worker's words, so they are searched: each, and all as they will be read.

        No more than the file's own name where something is left in them then.
        """
        if len(path) > PATH_CHARS_MAX:
            return _place([name])
        tokens = [name]
        for before, token in pairwise(accumulate(path.split("/"), "{}/{}".format)):
            tokens.append(_HIDDEN if not hidden.isdisjoint((token, before + _ANY)) else self._redacted_name(token))
        place = _place(tokens)
        return _place([name]) if self._in_text("/".join(tokens)) or self._in_text(place) else place

    def _redacted_name(self, path: str) -> str:
        token = unescape(path.rpartition("/")[2])
        return self._redactor.redact_text(token, self._in_text(token))

    def _in_text(self, text: str) -> list[Finding]:
        return [finding for scanner in self._scanners for finding in scanner.scan(text)]


def _hidden(findings: Sequence[Finding]) -> frozenset[str]:
    """Paths whose last name is a part of something that was found; with `_ANY` behind it, of each name there."""
    hidden: set[str] = set()
    for finding in findings:
        via = finding.via.split(">")
        if View.KEY in via:
            hidden.add(finding.path)
        elif _NAMES in via and View.JOINED in via:
            hidden.add(finding.path + _ANY)
    return frozenset(hidden)


def _place(tokens: Sequence[str]) -> str:
    return "/artifacts" + "".join("/" + escape(token) for token in tokens)


def _shown(kind: FindingKind) -> dict[str, Any]:
    return {"detector": kind[0], "category": kind[1], "severity": kind[2]}


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
