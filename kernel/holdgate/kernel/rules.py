"""Rules as the kernel holds them: frozen, checked, and free of how they were written down.

`ruleform.parse_rules` makes them from a document; `policy.compile_policy` makes a policy of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from holdgate.kernel.conditions import Condition
from holdgate.kernel.detectors import Detector
from holdgate.kernel.match import Match
from holdgate.kernel.outputrules import AllowFinding, Destination, DetectorMode, OutputRule, OutputVerdict
from holdgate.kernel.records import NO_CONSTRAINTS, ApprovalRequirement, Constraints, Over, Remediation, Verdict

__all__ = [
    "AllowFinding",
    "BundleRules",
    "Combining",
    "Destination",
    "Detector",
    "DetectorMode",
    "OutputRule",
    "OutputVerdict",
    "RateLimit",
    "Rule",
]


class Combining(StrEnum):
    """Which matching rules of one bundle count. Over bundles the strictest always wins."""

    DENY_OVERRIDES = "deny-overrides"
    FIRST_APPLICABLE = "first-applicable"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The `throttle` of a rule: at most `limit` jobs in `per_s` seconds for each combination of the `key` fields."""

    limit: int
    per_s: int
    key: tuple[str, ...]
    over: Over


@dataclass(frozen=True, slots=True)
class Rule:
    """Matches when `match` holds, `unless` (written `not`) does not hold as a whole, and `when` is true."""

    id: str
    bundle: str
    decision: Verdict
    reason: str
    match: Match
    unless: Match | None = None
    when: Condition | None = None
    constraints: Constraints = NO_CONSTRAINTS
    remediations: tuple[Remediation, ...] = ()
    approval: ApprovalRequirement | None = None
    throttle: RateLimit | None = None


@dataclass(frozen=True, slots=True)
class BundleRules:
    """All that one bundle says, in the order in which it was written."""

    name: str
    combining: Combining
    rules: tuple[Rule, ...]
    output_rules: tuple[OutputRule, ...] = ()
    allow_findings: tuple[AllowFinding, ...] = ()
    destinations: tuple[Destination, ...] = ()
    detectors: tuple[Detector, ...] = ()
    detector_modes: tuple[DetectorMode, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Of everything in it that has one; they are unique over all bundles."""
        rules = (*(rule.id for rule in self.rules), *(rule.id for rule in self.output_rules))
        return (*rules, *(item.id for item in self.allow_findings), *(item.id for item in self.detectors))
