"""Everything that a run left behind, looked at as one document: return value, log lines, error text.

What always holds: one pass sees all of it, so a key block spread over log lines is one finding; what `replace` returns
was scanned again and holds none of the kinds that were to go, nor one that nobody decided about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from holdgate.kernel.canonical import Json, canonical_bytes, parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.scan.errors import RedactionIncomplete, Unscannable
from holdgate.scan.findings import Finding
from holdgate.scan.redact import Redactor
from holdgate.scan.scanner import Scanner

FindingKind: TypeAlias = tuple[str, str, str]
"""(detector, category, severity): what a policy looks at."""
DESCRIBED_MAX = 500
"""Findings that are kept one by one; all of them are counted and replaced."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a run left beside its value. `name`: unique within the output; `media_type`: what the worker says."""

    name: str
    media_type: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Output:
    """What a run left. `value`: JSON or None; `error`: texts by name; `code`: the worker's word for the end.

    `reported`: kinds of findings that the worker took out itself before it sent this; they count as found.
    """

    value: bytes | None = None
    logs: tuple[str, ...] = ()
    error: Mapping[str, str] | None = None
    code: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    reported: tuple[FindingKind, ...] = ()

    def size(self) -> int:
        """Characters and bytes to look at, roughly."""
        texts = (*self.logs, *(self.error or {}).values())
        files = sum(len(each.data) for each in self.artifacts)
        return len(self.value or b"") + sum(map(len, texts)) + len(texts) + files

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "value": self.value,
            "logs": list(self.logs),
            "error": None if self.error is None else dict(self.error),
            "code": self.code,
            "artifacts": [[each.name, each.media_type, each.data] for each in self.artifacts],
            "reported": [list(kind) for kind in self.reported],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Output:
        """The output of `as_dict`."""
        return cls(
            value=value["value"],
            logs=tuple(value["logs"]),
            error=value["error"],
            code=value["code"],
            # What was sealed by an earlier release has neither.
            artifacts=tuple(Artifact(*each) for each in value.get("artifacts", ())),
            reported=tuple(
                (detector, category, severity) for detector, category, severity in value.get("reported", ())
            ),
        )


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found. `kinds` are the different kinds, sorted; `described` at most `DESCRIBED_MAX` findings of `total`.

    The paths of `described` begin with `/value`, `/logs` or `/error`.
    """

    kinds: tuple[FindingKind, ...] = ()
    described: tuple[dict[str, Any], ...] = ()
    total: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"kinds": [list(kind) for kind in self.kinds], "described": list(self.described), "total": self.total}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Inspection:
        """The inspection of `as_dict`."""
        kinds = tuple((detector, category, severity) for detector, category, severity in value["kinds"])
        return cls(kinds=kinds, described=tuple(value["described"]), total=value["total"])


class OutputInspector:
    """Inspects and redacts outputs. `fingerprint_key` keys the fingerprints: 16 to 64 bytes."""

    def __init__(self, scanner: Scanner, fingerprint_key: bytes) -> None:
        self._scanner = scanner
        self._redactor = Redactor(fingerprint_key)

    def inspect(self, output: Output) -> Inspection:
        """What is in `output`. ScanError when that cannot be said."""
        document = _document(output)
        findings = self._scanner.scan_value(document)
        if not findings:
            return Inspection()
        return Inspection(
            kinds=tuple(sorted(set(map(kind_of, findings)))),
            described=tuple(self._redactor.describe(document, findings[:DESCRIBED_MAX], findings)),
            total=len(findings),
        )

    def redact(self, output: Output, keep: Sequence[FindingKind] = ()) -> Output:
        """`output` without any finding but those of the kinds to `keep`. RedactionIncomplete when one is left."""
        document = _document(output)
        kept = set(keep)
        findings = [finding for finding in self._scanner.scan_value(document) if kind_of(finding) not in kept]
        redacted = self._redactor.redact_value(document, findings)
        if any(kind_of(finding) not in kept for finding in self._scanner.scan_value(redacted)):
            raise RedactionIncomplete
        return _output(redacted, output)


def kind_of(finding: Finding) -> FindingKind:
    """What a policy looks at."""
    return finding.detector, str(finding.category), str(finding.severity)


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
    return document


def _output(document: Json, before: Output) -> Output:
    if not isinstance(document, dict):
        raise RedactionIncomplete("the redacted output is not what it was")
    logs, error = document.get("logs", []), document.get("error")
    return Output(
        value=None if before.value is None else canonical_bytes(document["value"]),
        logs=tuple(str(line) for line in logs) if isinstance(logs, list) else (),
        error={key: str(text) for key, text in error.items()} if isinstance(error, dict) else None,
        code=None if before.code is None else str(document["code"]),
        artifacts=before.artifacts,
        reported=before.reported,
    )
