"""What happens to a result: the output rules of the bundles over built-in defaults and a floor.

What always holds: a finding that no rule speaks of gets its default; rules may loosen a default but never the floor
(private keys, credentials of the platform, what could not be scanned, what is too large are quarantined whatever a
rule says); the whole result gets the strictest verdict of its findings. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from holdgate.kernel.dataclass import DataClass, class_found, class_of, highest
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import Digest, Tenant
from holdgate.kernel.policy import Policy
from holdgate.kernel.rules import OutputRule, OutputVerdict
from holdgate.kernel.topics import matches

__all__ = ["Finding", "OutputDecision", "OutputFacts", "OutputVerdict", "decide_output"]

STRICTNESS = {OutputVerdict.QUARANTINE: 2, OutputVerdict.REDACT: 1, OutputVerdict.ALLOW: 0}
FLOOR = frozenset({"private_key", "platform_secret", "platform_credential", "unscannable", "oversize"})
"""Categories that are always quarantined."""
DEFAULTS: Mapping[tuple[str, str | None], OutputVerdict] = {
    ("secret", None): OutputVerdict.REDACT,
    ("pii", "email"): OutputVerdict.ALLOW,
    ("pii", None): OutputVerdict.REDACT,
}
"""By category and detector; None is any other detector of the category."""
DEFAULT_UNKNOWN = OutputVerdict.REDACT
"""For a category that nobody thought of."""
CLASSIFICATION_LABEL = "classification"

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
            return cls(
                tenant=Tenant(_text(value["tenant"])),
                topic=_text(value["topic"]),
                labels={_text(key): _text(item) for key, item in dict(value["labels"]).items()},
                classification=_text_or_none(value["classification"]),
                findings=tuple(_finding(item) for item in value["findings"]),
                fingerprints=tuple(tuple(map(_text, values)) for values in value.get("fingerprints", ())),
                destination=_text_or_none(value.get("destination")),
                input_class=_text_or_none(value.get("input_class")),
                shadow_detectors=tuple(map(_text, value.get("shadow_detectors", ()))),
            )
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
                rules=tuple(map(_text, value["rules"])),
                reason=_text(value["reason"]),
                snapshot=Digest(_text(value["snapshot"])),
                data_class=DataClass(value["data_class"]),
                marks=tuple(map(_text, value["marks"])),
                shadowed=tuple(map(_finding, value["shadowed"])),
                ignored=tuple(map(_finding, value["ignored"])),
                allowed_by=tuple(map(_text, value["allowed_by"])),
            )
        except (TypeError, ValueError) as error:
            raise InvalidInput("not an output decision") from error


def decide_output(policy: Policy, facts: OutputFacts) -> OutputDecision:
    """The verdict about a result with these findings: per finding the strictest of its rules, else the default."""
    candidates = [rule for rule in policy.output_rules if _looks_at(rule, facts)]
    verdicts: list[OutputVerdict] = []
    reasons: list[tuple[int, str, str | None]] = []
    used: set[str] = set()
    for finding in facts.findings:
        verdict, reason, rules = _verdict(finding, candidates)
        verdicts.append(verdict)
        reasons.append((-STRICTNESS[verdict], reason, None))
        used.update(rule.id for rule in rules)
    whole = max(verdicts, key=STRICTNESS.__getitem__, default=OutputVerdict.ALLOW)
    return OutputDecision(
        verdict=whole,
        findings=tuple(verdicts),
        rules=tuple(sorted(used)),
        reason=min(reasons)[1] if reasons else "nothing found",
        snapshot=policy.snapshot,
        data_class=_data_class(facts),
    )


def _data_class(facts: OutputFacts) -> DataClass:
    known = class_of(facts.classification if facts.input_class is None else facts.input_class)
    return highest([known, class_found(category for _, category, _ in facts.findings)])


def _verdict(finding: Finding, candidates: list[OutputRule]) -> tuple[OutputVerdict, str, list[OutputRule]]:
    detector, category, severity = finding
    matching = [
        rule
        for rule in candidates
        if (not rule.categories or category in rule.categories)
        and (not rule.detectors or detector in rule.detectors)
        and (not rule.severities or severity in rule.severities)
    ]
    if category in FLOOR:
        return OutputVerdict.QUARANTINE, f"`{category}` is always quarantined", matching
    if not matching:
        default = DEFAULTS.get((category, detector), DEFAULTS.get((category, None), DEFAULT_UNKNOWN))
        return default, f"the default for `{category}`", matching
    deciding = min(matching, key=lambda rule: (-STRICTNESS[rule.verdict], rule.id))
    return deciding.verdict, deciding.reason, matching


def _looks_at(rule: OutputRule, facts: OutputFacts) -> bool:
    return (
        (not rule.tenants or facts.tenant in rule.tenants)
        and (not rule.topics or any(matches(pattern, facts.topic) for pattern in rule.topics))
        and all(facts.labels.get(key) in values for key, values in rule.labels)
        and (not rule.classifications or facts.classification in rule.classifications)
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput("a text was expected")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _finding(value: Any) -> Finding:
    detector, category, severity = value
    return _text(detector), _text(category), _text(severity)
