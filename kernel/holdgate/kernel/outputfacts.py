"""What output rules may look at, and what comes of it: records that cross processes.

`as_dict` gives plain values, `from_dict` takes them back and raises `InvalidInput` when they are not of the record's
shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from holdgate.kernel.dataclass import DataClass
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import Digest, Tenant
from holdgate.kernel.outputrules import OutputVerdict
from holdgate.kernel.plain import as_text

DESTINATION_LABEL = "destination"

Finding = tuple[str, str, str]
"""(detector, category, severity)."""


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """All that output rules may look at. Never the output itself.

    `findings` are the kinds that were found; a kind may stand there more than once. `fingerprints`: empty, or for each
    of `findings` the fingerprints of all values behind it (empty: not told), so that who wants a verdict about single
    values of a kind names it once a value. `destination`: the job's label of that name. `input_class`: the data class
    of what the job was given, None where nobody knows. `shadow_detectors`: built-in detectors that only count unless a
    bundle enforces them.
    """

    tenant: Tenant
    topic: str
    labels: Mapping[str, str]
    classification: str | None
    findings: tuple[Finding, ...] = ()
    fingerprints: tuple[tuple[str, ...], ...] = ()
    destination: str | None = None
    input_class: str | None = None
    shadow_detectors: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "tenant": self.tenant,
            "topic": self.topic,
            "labels": dict(self.labels),
            "classification": self.classification,
            "findings": [list(finding) for finding in self.findings],
            "fingerprints": [list(values) for values in self.fingerprints],
            "destination": self.destination,
            "input_class": self.input_class,
            "shadow_detectors": list(self.shadow_detectors),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The facts of `as_dict`; InvalidInput when they are not."""
        try:
            facts = cls(
                tenant=Tenant(as_text(value["tenant"])),
                topic=as_text(value["topic"]),
                labels={as_text(key): as_text(item) for key, item in dict(value["labels"]).items()},
                classification=_text_or_none(value["classification"]),
                findings=tuple(_finding(item) for item in value["findings"]),
                fingerprints=tuple(tuple(map(as_text, values)) for values in value.get("fingerprints", ())),
                destination=_text_or_none(value.get("destination")),
                input_class=_text_or_none(value.get("input_class")),
                shadow_detectors=tuple(map(as_text, value.get("shadow_detectors", ()))),
            )
            if facts.fingerprints and len(facts.fingerprints) != len(facts.findings):
                raise InvalidInput("not output facts: fingerprints of other findings")
            return facts
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("not output facts") from error


@dataclass(frozen=True, slots=True)
class OutputDecision:
    """What happens to one result. `findings` are verdicts in the order of the findings that were given.

    `data_class`: the highest of the input's and of what was found. `marks`: what to say about a result that is let
    through, such as `untrusted_instructions`. `shadowed`: findings that only count, and `ignored`: those of detectors
    that are off, not to be shown at all; both have the verdict `allow`. `allowed_by`: ids of the `allow_findings` used.
    """

    verdict: OutputVerdict
    findings: tuple[OutputVerdict, ...]
    rules: tuple[str, ...]
    reason: str
    snapshot: Digest
    data_class: DataClass = DataClass.RESTRICTED
    marks: tuple[str, ...] = ()
    shadowed: tuple[Finding, ...] = ()
    ignored: tuple[Finding, ...] = ()
    allowed_by: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "verdict": str(self.verdict),
            "findings": [str(verdict) for verdict in self.findings],
            "rules": list(self.rules),
            "reason": self.reason,
            "snapshot": self.snapshot,
            "data_class": str(self.data_class),
            "marks": list(self.marks),
            "shadowed": [list(finding) for finding in self.shadowed],
            "ignored": [list(finding) for finding in self.ignored],
            "allowed_by": list(self.allowed_by),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The decision of `as_dict`; InvalidInput when it is not one."""
        try:
            if set(value) != {item.name for item in fields(cls)}:
                raise InvalidInput("not an output decision")
            return cls(
                verdict=OutputVerdict(value["verdict"]),
                findings=tuple(map(OutputVerdict, value["findings"])),
                rules=tuple(map(as_text, value["rules"])),
                reason=as_text(value["reason"]),
                snapshot=Digest(as_text(value["snapshot"])),
                data_class=DataClass(value["data_class"]),
                marks=tuple(map(as_text, value["marks"])),
                shadowed=tuple(map(_finding, value["shadowed"])),
                ignored=tuple(map(_finding, value["ignored"])),
                allowed_by=tuple(map(as_text, value["allowed_by"])),
            )
        except (TypeError, ValueError) as error:
            raise InvalidInput("not an output decision") from error


def _text_or_none(value: Any) -> str | None:
    return None if value is None else as_text(value)


def _finding(value: Any) -> Finding:
    detector, category, severity = value
    return as_text(detector), as_text(category), as_text(severity)
