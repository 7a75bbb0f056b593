"""Two decisions about one job, compared: which of them lets more through. Pure; for replay and for shadowing.

They are judged by the orders by which a diff and a publish judge (`diff.strictness`): one respect in which the second
is looser makes it wider, whatever else it says. What always holds: a difference that cannot be shown to be tighter is
never called so. One thing is not compared where the rules that decided before are not at hand, since nobody was asked
for it: who would have released a job over its rate limit that had to be approved anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from holdgate.bundles.diff.strictness import (
    APPROVAL,
    THROTTLE,
    VERDICT,
    Demands,
    Limit,
    Loosening,
    demands_of,
    limits_of,
    loosenings,
)
from holdgate.kernel.policy import STRICTNESS, Policy
from holdgate.kernel.records import (
    NO_CONSTRAINTS,
    ApprovalRequirement,
    Constraints,
    Decision,
    Job,
    Throttle,
    Verdict,
)
from holdgate.kernel.rules import Rule


class Outcome(StrEnum):
    """How the second decision stands to the first; what lets more through comes first."""

    WIDER = "wider"
    OTHER = "other"
    TIGHTER = "tighter"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a decision holds a job to beside its verdict, as it stands on it."""

    constraints: Constraints = NO_CONSTRAINTS
    approvals: tuple[ApprovalRequirement, ...] = ()
    throttles: tuple[Throttle, ...] = ()

    @classmethod
    def of(cls, decision: Decision) -> Terms:
        """Those of `decision`."""
        if decision.constraints is NO_CONSTRAINTS and not (decision.approvals or decision.throttles):
            return NO_TERMS
        return cls(decision.constraints, decision.approvals, decision.throttles)


NO_TERMS = Terms()
_SAME: tuple[Outcome, tuple[str, ...]] = (Outcome.SAME, ())
_NO_RULES: Mapping[str, Rule] = {}


def compare_decisions(
    before: Decision, after: Decision, job: Job, *, now: Policy, was: Policy | None = None
) -> tuple[Outcome, tuple[str, ...]]:
    """How `after`, by `now`, stands to `before`, by `was`, of which nobody need know; both are about `job`.

    With the names of the terms that differ, or that are looser where the verdict is stricter.
    """
    return compare_recorded(before.verdict, before, after, job, now=now, was=was)


def compare_recorded(
    verdict: Verdict,
    terms: Terms | Decision | None,
    after: Decision,
    job: Job,
    *,
    now: Policy,
    was: Policy | None = None,
) -> tuple[Outcome, tuple[str, ...]]:
    """The same, of a decision of which its verdict and `terms` are known; None: only verdicts are compared."""
    if verdict is after.verdict:
        if terms is None or verdict is Verdict.DENY or _are_alike(terms, after, in_full=was is None):
            return _SAME
    elif verdict is Verdict.DENY:
        return Outcome.WIDER, ()
    elif after.verdict is Verdict.DENY:
        return Outcome.TIGHTER, ()
    elif terms is None:
        return _by_verdict(verdict, after.verdict), ()
    rules = _NO_RULES if was is None else _limiting(was, job, terms.throttles)
    limits = limits_of(terms.throttles, terms.approvals, rules)
    wanted = demands_of(after, _limiting(now, job, after.throttles))
    return _judged(Demands(verdict, terms.approvals, _with_keys(limits, wanted.limits), terms.constraints), wanted)


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


def _are_alike(terms: Terms | Decision, after: Decision, *, in_full: bool) -> bool:
    """Whether the decisions say the very same; most do. `in_full`: there is nothing else to be known of the first."""
    first, second = terms.constraints, after.constraints
    return (
        (first is second or first == second)
        and terms.approvals == after.approvals
        and terms.throttles == after.throttles
        and (in_full or not after.throttles)
    )


def _by_verdict(before: Verdict, after: Verdict) -> Outcome:
    """Where the terms of the first are not known: what they held the job to may be lost under a stricter verdict."""
    if STRICTNESS[after] > STRICTNESS[before]:
        return Outcome.WIDER
    return Outcome.TIGHTER if before is Verdict.ALLOW else Outcome.OTHER


def _judged(before: Demands, after: Demands) -> tuple[Outcome, tuple[str, ...]]:
    looser, tighter = loosenings(before, after), loosenings(after, before, unknown=True)
    if looser:
        is_sure = bool(loosenings(before, after, unknown=True))
        outcome = Outcome.WIDER if is_sure else Outcome.OTHER
    else:
        outcome = Outcome.TIGHTER if tighter else Outcome.SAME
    if before.verdict is after.verdict:
        return outcome, _names([*looser, *tighter])
    if STRICTNESS[after.verdict] > STRICTNESS[before.verdict]:
        return outcome, ()
    return outcome, _names(looser)


def _with_keys(limits: tuple[Limit, ...], known: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """A limit that fills the bucket of a known one counts by the same key."""
    if all(item.key is not None for item in limits):
        return limits
    keys = {item.bucket: item.key for item in known}
    return tuple([item if item.key is not None else replace(item, key=keys.get(item.bucket)) for item in limits])


def _names(found: Iterable[Loosening]) -> tuple[str, ...]:
    names = {APPROVAL: "approvals", THROTTLE: "throttles", VERDICT: "verdict"}
    return tuple(sorted({names.get(item.aspect, "constraints") for item in found}))


def _limiting(policy: Policy, job: Job, throttles: tuple[Throttle, ...]) -> Mapping[str, Rule]:
    """The rules by which these rate limits are on a decision about `job`."""
    if not throttles:
        return _NO_RULES
    asked = (policy.compiled[number].rule for number in policy.index.candidates(job))
    return {rule.id: rule for rule in asked if rule.throttle is not None}
