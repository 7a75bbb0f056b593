"""Rules as the kernel holds them: frozen, checked, and free of how they were written down.

`ruleform.parse_rules` makes them from a document; `policy.compile_policy` makes a policy of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from holdgate.kernel.conditions import Condition
from holdgate.kernel.match import Match
from holdgate.kernel.records import NO_CONSTRAINTS, ApprovalRequirement, Constraints, Over, Remediation, Verdict


class Combining(StrEnum):
    """Which matching rules of one bundle count. Over bundles the strictest always wins."""

    DENY_OVERRIDES = "deny-overrides"
    FIRST_APPLICABLE = "first-applicable"


class OutputVerdict(StrEnum):
    """What happens to a result, strictest first."""

    QUARANTINE = "quarantine"
    REDACT = "redact"
    ALLOW = "allow"


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
class OutputRule:
    """What to do with findings of these kinds. All fields must hold; an empty one is not looked at."""

    id: str
    bundle: str
    verdict: OutputVerdict
    reason: str
    categories: frozenset[str] = frozenset()
    detectors: frozenset[str] = frozenset()
    severities: frozenset[str] = frozenset()
    topics: tuple[str, ...] = ()
    labels: tuple[tuple[str, frozenset[str]], ...] = ()
    classifications: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BundleRules:
    """All rules of one bundle, in the order in which they were written."""

    name: str
    combining: Combining
    rules: tuple[Rule, ...]
    output_rules: tuple[OutputRule, ...] = ()
