"""The search of a file that a run left beside its value, and its redaction where it is a text.

What always holds: a file that cannot be read, or not within its budget, is a finding of its own; a redacted file was
scanned again as what it was before; a name that holds a secret is shown with a tag in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from holdgate.scan.errors import RedactionIncomplete, ScanIncomplete, Unscannable
from holdgate.scan.findings import Finding
from holdgate.scan.output import DESCRIBED_MAX, UNSCANNABLE, Artifact, FindingKind, Inspection, Keep, kind_of
from holdgate.scan.redact import Redactor
from holdgate.scan.scanner import Scanner
from holdgate.scan.views import escape


class ArtifactInspector:
    """Inspects and redacts files; each of `scanners` sees every file."""

    def __init__(self, scanners: Sequence[Scanner], redactor: Redactor) -> None:
        self._scanners = tuple(scanners)
        self._redactor = redactor

    def inspect(self, artifact: Artifact) -> Inspection:
        """What is in it; the kind `unscannable` where that cannot be said. ScanError when it may be said later."""
        try:
            findings = self._found(artifact)
        except (Unscannable, ScanIncomplete) as error:
            whole = {**_shown(UNSCANNABLE), "path": self._place(artifact, ""), "via": "file"}
            return Inspection((UNSCANNABLE,), (whole,), 1, (error.code,))
        kinds = tuple(sorted(set(map(kind_of, findings))))
        return Inspection(kinds, tuple(self._described(artifact, findings[:DESCRIBED_MAX])), len(findings))

    def redact(self, artifact: Artifact, keep: Keep) -> Artifact:
        """Without any finding but those to `keep`; RedactionIncomplete where that cannot be done."""
        if not self._to_go(self._found(artifact), keep):
            return artifact
        if not _is_text(artifact.data):
            raise RedactionIncomplete("a file that is not a text holds a finding")
        redacted = replace(artifact, data=self._redacted(artifact.data, keep))
        if self._to_go(self._found(redacted), keep):
            raise RedactionIncomplete
        return redacted

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

    def _found(self, artifact: Artifact) -> list[Finding]:
        from holdgate.scan.files import scan_file  # most runs leave no file: what reads them is loaded for the first

        return [
            finding
            for scanner in self._scanners
            for finding in scan_file(scanner, artifact.name, artifact.data, artifact.media_type)
        ]

    def _described(self, artifact: Artifact, findings: Sequence[Finding]) -> list[dict[str, Any]]:
        places = {path: self._place(artifact, path) for path in {finding.path for finding in findings}}
        return [
            {
                **_shown(kind_of(finding)),
                "path": places[finding.path],
                "via": str(finding.via),
                "start": finding.start,
                "end": finding.end,
            }
            for finding in findings
        ]

    def _place(self, artifact: Artifact, path: str) -> str:
        """Names of files and of what is in them are the worker's words, so they are searched like its texts."""
        place = f"{escape(artifact.name)}{path}"
        found = [finding for scanner in self._scanners for finding in scanner.scan(place)]
        return "/artifacts/" + self._redactor.redact_text(place, found)


def _shown(kind: FindingKind) -> dict[str, Any]:
    return {"detector": kind[0], "category": kind[1], "severity": kind[2]}


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
