"""The search of everything that a run left: return value, log lines, error text, the worker's word, files.

What always holds: one pass sees all texts, so a key block spread over log lines is one finding; what `redact` returns
was scanned again and holds none of the kinds that were to go, nor one that nobody decided about; what a worker says
that it took out itself counts as found.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from holdgate.kernel.canonical import Json, canonical_bytes, parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.scan.artifacts import ArtifactInspector
from holdgate.scan.engine import all_within
from holdgate.scan.errors import RedactionIncomplete, Unscannable
from holdgate.scan.findings import Finding, View
from holdgate.scan.known import KnownSecrets
from holdgate.scan.output import DESCRIBED_MAX, Artifact, FindingKind, Inspection, Keep, Output, kind_of
from holdgate.scan.redact import Redactor
from holdgate.scan.scanner import Scanner

_OWN_NAMES = frozenset(
    ("/value", "/logs", "/error", "/error/type", "/error/message", "/error/trace", "/code", "/artifacts")
)
NAME_CHARS_MAX = 120
REDACTION_SCANS = 2
"""Of the whole output."""
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9._-]+")
"""What a tag has in it and the name of a file may not."""


class OutputInspector:
    """Inspects and redacts outputs. `fingerprint_key` keys the fingerprints: 16 to 64 bytes.

    `custom`: a scanner with further detectors alone, whose findings count beside those of `scanner`. `known`: secrets
    each of which has one tag, in whatever form it is found.
    """

    def __init__(
        self,
        scanner: Scanner,
        fingerprint_key: bytes,
        custom: Scanner | None = None,
        known: KnownSecrets | None = None,
    ) -> None:
        self._scanners = (scanner,) if custom is None else (scanner, custom)
        self._seconds = scanner.seconds
        self._redactor = Redactor(fingerprint_key, None if known is None else known.secret_of)
        self._files = ArtifactInspector(self._scanners, self._redactor)

    def inspect(self, output: Output) -> Inspection:
        """What is in `output`. ScanError when that cannot be said. Takes no longer than one scan may."""
        with all_within(self._seconds):
            return self._inspected(output)

    def redact(self, output: Output, keep: Keep | None = None) -> Output:
        """`output` without any finding but those to `keep`. RedactionIncomplete when one is left.

        Everything is scanned before and after, so it may take twice as long.
        """
        with all_within(REDACTION_SCANS * self._seconds):
            return self._redacted(output, keep or Keep())

    def _inspected(self, output: Output) -> Inspection:
        document = _document(output)
        findings = self._found(document)
        kinds, total = set(map(kind_of, findings)), len(findings) + len(output.reported)
        described = [_taken_out(kind) for kind in output.reported]
        if findings:
            described += self._redactor.describe(document, findings[:DESCRIBED_MAX], findings)
        unscannable: list[str] = []
        for file in self._files.inspect(output.artifacts, self._shown_names(output, findings)):
            kinds.update(file.kinds)
            described += file.described
            total += file.total
            unscannable += file.unscannable
        kinds.update(output.reported)
        return Inspection(tuple(sorted(kinds)), tuple(described[:DESCRIBED_MAX]), total, tuple(unscannable))

    def _redacted(self, output: Output, kept: Keep) -> Output:
        document = _document(output)
        redacted = self._redactor.redact_value(document, self._to_go(document, kept))
        if self._to_go(redacted, kept):
            raise RedactionIncomplete
        files = tuple(self._files.redact(output.artifacts, kept))
        return _output(redacted, replace(output, artifacts=files))

    def _shown_names(self, output: Output, findings: Sequence[Finding]) -> list[str]:
        """Of files, as they may be shown; `findings` are those in the document."""
        return [
            self._redactor.redact_text(
                each.name, [finding for finding in findings if finding.path == f"/artifacts/{place}/0"]
            )
            for place, each in enumerate(output.artifacts)
        ]

    def _to_go(self, document: Json, keep: Keep) -> list[Finding]:
        findings = [finding for finding in self._found(document) if kind_of(finding) not in keep.kinds]
        if not keep.values:
            return findings
        described = self._redactor.describe(document, findings)
        pairs = zip(findings, described, strict=True)
        return [each for each, shown in pairs if not keep.holds(kind_of(each), shown.get("fingerprint"))]

    def _found(self, document: Json) -> list[Finding]:
        found = dict.fromkeys(each for scanner in self._scanners for each in scanner.scan_value(document))
        # A name of ours beside a piece of a secret may be read as another piece of it.
        return [each for each in found if each.path not in _OWN_NAMES or not each.via.startswith(View.KEY)]


def _taken_out(kind: FindingKind) -> dict[str, Any]:
    return {"detector": kind[0], "category": kind[1], "severity": kind[2], "path": "", "via": "worker"}


def _document(output: Output) -> dict[str, Json]:
    document: dict[str, Json] = {}
    if output.value is not None:
        try:
            document["value"] = parse_json(output.value)
        except MalformedJson as error:
            raise Unscannable(str(error)) from error
    if output.logs:
        document["logs"] = list(output.logs)
    if output.error is not None:
        document["error"] = dict(output.error)
    if output.code is not None:
        document["code"] = output.code
    if output.artifacts:
        document["artifacts"] = [[each.name, each.media_type] for each in output.artifacts]
    return document


def _output(document: Json, before: Output) -> Output:
    if not isinstance(document, dict):
        raise RedactionIncomplete("the redacted output is not what it was")
    logs, error = document.get("logs", []), document.get("error")
    return replace(
        before,
        value=None if before.value is None else canonical_bytes(document["value"]),
        logs=tuple(str(line) for line in logs) if isinstance(logs, list) else (),
        error={key: str(text) for key, text in error.items()} if isinstance(error, dict) else None,
        code=None if before.code is None else str(document["code"]),
        artifacts=_renamed(before.artifacts, document.get("artifacts", [])),
    )


def _renamed(artifacts: Collection[Artifact], names: Json) -> tuple[Artifact, ...]:
    """With the names and types that are left of them; two of one name are told apart."""
    if not isinstance(names, list) or len(names) != len(artifacts):
        raise RedactionIncomplete("the redacted output is not what it was")
    used: set[str] = set()
    renamed: list[Artifact] = []
    for artifact, pair in zip(artifacts, names, strict=True):
        name, media_type = pair if isinstance(pair, list) else (None, None)
        if not isinstance(name, str):
            raise RedactionIncomplete("the redacted output is not what it was")
        if name != artifact.name:
            name = _UNNAMEABLE.sub("-", name).strip("-")[:NAME_CHARS_MAX]
        unused, number = name, 2
        while unused in used:
            unused, number = f"{name}-{number}", number + 1
        used.add(unused)
        renamed.append(replace(artifact, name=unused, media_type=None if media_type is None else str(media_type)))
    return tuple(renamed)
