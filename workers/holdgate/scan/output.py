"""Everything that a run left behind, and what was found in it: the shapes in which both travel.

What always holds: of what was found nothing but kinds, places and keyed fingerprints is here, never a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from holdgate.scan.findings import Finding

FindingKind: TypeAlias = tuple[str, str, str]
"""(detector, category, severity): what a policy looks at."""
UNSCANNABLE: FindingKind = ("unscannable", "unscannable", "high")
"""What cannot be read, or not within its budget: nobody knows what is in it."""
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

    The paths of `described` begin with `/value`, `/logs`, `/error`, `/code` or `/artifacts/<name>`; what a worker took
    out itself has none. `unscannable`: error codes of what could not be scanned.
    """

    kinds: tuple[FindingKind, ...] = ()
    described: tuple[dict[str, Any], ...] = ()
    total: int = 0
    unscannable: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kinds": [list(kind) for kind in self.kinds],
            "described": list(self.described),
            "total": self.total,
            "unscannable": list(self.unscannable),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Inspection:
        """The inspection of `as_dict`."""
        return cls(
            kinds=tuple(map(_kind, value["kinds"])),
            described=tuple(value["described"]),
            total=value["total"],
            unscannable=tuple(value["unscannable"]),
        )


@dataclass(frozen=True, slots=True)
class Keep:
    """What a redaction leaves as it is: all findings of `kinds`, and of others the `values` with these fingerprints."""

    kinds: frozenset[FindingKind] = frozenset()
    values: frozenset[tuple[FindingKind, str]] = frozenset()

    def holds(self, kind: FindingKind, fingerprint: str | None) -> bool:
        """Whether a finding of `kind` stays."""
        return kind in self.kinds or (fingerprint is not None and (kind, fingerprint) in self.values)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kinds": [list(kind) for kind in self.kinds],
            "values": [[list(kind), value] for kind, value in self.values],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Keep:
        """The one of `as_dict`."""
        return cls(
            frozenset(map(_kind, value["kinds"])),
            frozenset((_kind(kind), text) for kind, text in value["values"]),
        )


def kind_of(finding: Finding) -> FindingKind:
    """What a policy looks at."""
    return finding.detector, str(finding.category), str(finding.severity)


def _kind(value: Sequence[str]) -> FindingKind:
    detector, category, severity = value
    return detector, category, severity
