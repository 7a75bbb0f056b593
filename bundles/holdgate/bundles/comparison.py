"""Two decisions about one job, compared: which of them lets more through. Pure; for replay and for shadowing.

The verdict counts first: a stricter one is tighter, whatever else the decision says. Where the verdict is the same,
its terms count (constraints, approvals, rate limits, what holds within a limit): all of them tighter or equal is
tighter, all looser or equal is wider, and what is neither is `other`. What always holds: a difference that cannot be
shown to be tighter is never called so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from holdgate.kernel.custody import required_approvals
from holdgate.kernel.policy import STRICTNESS, Policy
from holdgate.kernel.records import NO_CONSTRAINTS, ApprovalRequirement, Constraints, Decision, Job, Verdict
from holdgate.kernel.records import Outcome as Entry


class Outcome(StrEnum):
    """How the second decision stands to the first; what lets more through comes first."""

    WIDER = "wider"
    OTHER = "other"
    TIGHTER = "tighter"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a decision holds a job to beside its verdict. Rule ids and reasons are left out: a new name is no change."""

    constraints: Constraints = NO_CONSTRAINTS
    approvals: frozenset[tuple[object, ...]] = frozenset()
    throttles: frozenset[tuple[object, ...]] = frozenset()
    within: Verdict | None = None

    @classmethod
    def of(cls, decision: Decision) -> Terms:
        """Those of `decision`; who must release is what the submit gate would ask for and record."""
        held = decision.verdict is Verdict.REQUIRE_APPROVAL
        if decision.constraints is NO_CONSTRAINTS and not (held or decision.throttles or decision.within):
            return NO_TERMS
        approvals = required_approvals(decision, Entry.HELD)
        return cls(
            decision.constraints,
            frozenset(map(_approval, approvals)),
            frozenset((item.limit, item.per_s, item.over) for item in decision.throttles),
            decision.within,
        )


NO_TERMS = Terms()
_TIGHTER, _EQUAL, _WIDER = 1, 0, -1


def compare_verdicts(before: Verdict, after: Verdict) -> Outcome:
    """By strictness alone."""
    difference = STRICTNESS[after] - STRICTNESS[before]
    return Outcome.SAME if not difference else Outcome.WIDER if difference > 0 else Outcome.TIGHTER


def compare_terms(before: Terms, after: Terms) -> tuple[Outcome, tuple[str, ...]]:
    """How the terms of two decisions of one verdict differ, and the names of the parts that do."""
    if before is after or before == after:
        return Outcome.SAME, ()
    parts = {
        "constraints": _constraints(before.constraints, after.constraints),
        "approvals": _demands(before.approvals, after.approvals),
        "throttles": _demands(before.throttles, after.throttles),
        "within": _within(before.within, after.within),
    }
    differing = {name: sign for name, sign in parts.items() if sign != _EQUAL}
    signs = set(differing.values())
    outcome = Outcome.SAME if not signs else Outcome.OTHER
    if signs == {_TIGHTER}:
        outcome = Outcome.TIGHTER
    elif signs == {_WIDER}:
        outcome = Outcome.WIDER
    return outcome, tuple(differing)


def is_certain(policy: Policy, job: Job, decision: Decision, missing: frozenset[str]) -> bool:
    """Whether `decision` of `policy` would be the same whatever stood in the fields that are `missing` of `job`.

    It is where no rule that would be asked about the job reads one of them, and where a rule that reads none denies. In
    a bundle that combines by first-applicable a rule that reads one could make any other void.
    """
    if policy.reads.isdisjoint(missing):
        return True
    compiled = policy.compiled
    doubtful: set[str] = set()
    for number in policy.index.candidates(job):
        item = compiled[number]
        condition = item.rule.when
        if condition is None or condition.reads.isdisjoint(missing) or not all(holds(job) for holds in item.checks):
            continue
        if item.first_only:
            return False
        doubtful.add(item.rule.id)
    return not doubtful or (decision.verdict is Verdict.DENY and not doubtful.issuperset(decision.deciding or doubtful))


def _approval(item: ApprovalRequirement) -> tuple[object, ...]:
    who = (tuple(sorted(item.roles)), tuple(sorted(item.names)))
    return (*who, item.quorum, item.expires_s, item.escalate_after_s or 0, item.signed)


def _constraints(before: Constraints, after: Constraints) -> int | None:
    # A list against itself is sorted and without repeats: two lists of the same values are the same constraint.
    first, second = before.tightest(before), after.tightest(after)
    if first == second:
        return _EQUAL
    both = first.tightest(second)
    return _TIGHTER if both == second else _WIDER if both == first else None


def _demands(before: frozenset[tuple[object, ...]], after: frozenset[tuple[object, ...]]) -> int | None:
    if before == after:
        return _EQUAL
    return _TIGHTER if before < after else _WIDER if after < before else None


def _within(before: Verdict | None, after: Verdict | None) -> int | None:
    if before is after:
        return _EQUAL
    if before is None or after is None:
        return None
    return _TIGHTER if STRICTNESS[after] < STRICTNESS[before] else _WIDER
