"""One pure function decides: for submit, dispatch, simulate and explain.

What always holds:

1. Every matching rule counts and the strictest wins; the order of rules changes nothing (in a bundle that combines by
   `first-applicable`, only its first matching rule counts).
2. No allowing rule matches: the default of the signed root, which is deny. A throttle allows nothing by itself.
3. A condition that cannot be evaluated counts as true in a rule that forbids, holds or slows down, and as false in a
   rule that allows. The error is on the decision.
4. What the conditions cost together is bounded. Rules are asked strictest first, then by id; where one could not be
   asked for what those before it cost, the decision is a deny: no rule can make another one void by its cost.
5. A run is held to the tightest of the constraints of all rules that count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from holdgate.kernel import limits
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.conditions import TOO_COSTLY, Context
from holdgate.kernel.ids import Digest
from holdgate.kernel.policy import STRICTNESS, CompiledRule, Policy, compile_policy
from holdgate.kernel.records import (
    ALLOWING,
    NO_CONSTRAINTS,
    ApprovalRequirement,
    Decision,
    Job,
    Phase,
    Remediation,
    Throttle,
    Verdict,
)
from holdgate.kernel.rules import RateLimit, Rule
from holdgate.kernel.trace import explained

__all__ = ["NO_RULE", "compile_policy", "evaluate"]

NO_RULE = "no rule allows this"
ALLOWED_BY_DEFAULT = "no rule speaks against this"


class _Asked:
    """What asking the rules about one job brought up."""

    __slots__ = ("context", "errors", "now_ms", "reads_now")

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.context: Context | None = None
        self.errors: list[tuple[Rule, str]] = []
        self.reads_now = False


def evaluate(
    policy: Policy, job: Job, *, now_ms: int, phase: Phase, trace: bool = False, job_hash: Digest | None = None
) -> Decision:
    """The decision about `job` at `now_ms`.

    `job_hash` is computed when it is not given; hashing takes about as long as deciding, so a caller that has the hash
    gives it. `trace` adds a line for every rule that could be for the job's tenant: its cost grows with all rules.
    """
    asked = _Asked(now_ms)
    compiled = policy.compiled
    matching = []
    for number in policy.index.candidates(job):
        item = compiled[number]
        for check in item.checks:
            if not check(job):
                break
        else:
            if item.plain or _holds(item.rule, job, asked):
                matching.append(item)
    counting = _counting(matching)
    decision = _decide(policy, job, counting, asked, phase, job_hash)
    if trace:
        return explained(decision, policy, job, matching, counting, {rule.id: why for rule, why in asked.errors})
    return decision


def _holds(rule: Rule, job: Job, asked: _Asked) -> bool:
    """Whether the rule's `not` and `when`, beside its `match`, count as fulfilled."""
    if rule.unless is not None and rule.unless.holds(job):
        return False
    condition = rule.when
    if condition is None:
        return True
    if asked.context is None:
        asked.context = Context(job, asked.now_ms)
    asked.reads_now = asked.reads_now or condition.reads_now
    answer = asked.context.test(condition)
    if isinstance(answer, bool):
        return answer
    asked.errors.append((rule, answer))
    return rule.decision not in ALLOWING


def _counting(matching: list[CompiledRule]) -> list[Rule]:
    """The matching rules without those that an earlier one of a first-applicable bundle makes void."""
    first: dict[str, int] = {}
    for item in matching:
        if item.first_only:
            bundle = item.rule.bundle
            first[bundle] = min(item.position, first.get(bundle, item.position))
    if not first:
        return [item.rule for item in matching]
    return [item.rule for item in matching if not item.first_only or item.position == first[item.rule.bundle]]


def _decide(
    policy: Policy,
    job: Job,
    counting: list[Rule],
    asked: _Asked,
    phase: Phase,
    job_hash: Digest | None,
) -> Decision:
    is_spent = asked.context is not None and asked.context.is_spent
    verdict, within = (Verdict.DENY, None) if is_spent else _verdict(policy, counting)
    denied = verdict is Verdict.DENY
    deciding: list[Rule] = []
    names: list[str] = []
    other_names: list[str] = []
    throttles: list[Throttle] = []
    constraints = NO_CONSTRAINTS
    for rule in counting:
        if rule.decision is verdict:
            deciding.append(rule)
            names.append(rule.id)
        else:
            other_names.append(rule.id)
        if not denied:
            if rule.constraints is not NO_CONSTRAINTS:
                first = constraints is NO_CONSTRAINTS
                constraints = rule.constraints if first else constraints.tightest(rule.constraints)
            if rule.throttle is not None:
                throttles.append(_throttle(rule, rule.throttle, job))
    errors = _errors(asked.errors) if asked.errors else ()
    return Decision(
        verdict,
        deciding[0].reason if deciding else TOO_COSTLY if is_spent else _default_reason(verdict),
        policy.snapshot,
        job.job_hash() if job_hash is None else job_hash,
        phase,
        asked.now_ms,
        (*names, *other_names),
        tuple(names),
        constraints,
        _remediations(deciding),
        _approvals(deciding),
        tuple(throttles),
        within,
        not (asked.reads_now or errors or throttles),
        errors,
    )


def _default_reason(verdict: Verdict) -> str:
    return ALLOWED_BY_DEFAULT if verdict in ALLOWING else NO_RULE


def _errors(failed: Sequence[tuple[Rule, str]]) -> tuple[str, ...]:
    named = [f"{rule.id}: `when` failed: {why}" for rule, why in failed[: limits.DECISION_ERRORS_MAX]]
    more = len(failed) - len(named)
    return (*named, f"{more} more conditions failed") if more else tuple(named)


def _verdict(policy: Policy, counting: list[Rule]) -> tuple[Verdict, Verdict | None]:
    """The strictest verdict; under a throttle also what holds within its limit. `counting` stands strictest first."""
    if not counting:
        return policy.default, None
    strictest = counting[0].decision
    if strictest is not Verdict.THROTTLE:
        return strictest, None
    within = next((rule.decision for rule in counting if rule.decision is not Verdict.THROTTLE), policy.default)
    return (within, None) if STRICTNESS[within] < STRICTNESS[Verdict.THROTTLE] else (strictest, within)


def _remediations(deciding: Sequence[Rule]) -> tuple[Remediation, ...]:
    """Those of the deciding rules; where two have the same id, the first rule's."""
    found: dict[str, Remediation] = {}
    for rule in deciding:
        for remediation in rule.remediations:
            found.setdefault(remediation.id, remediation)
    return tuple(found.values())


def _approvals(deciding: Sequence[Rule]) -> tuple[ApprovalRequirement, ...]:
    """Who must release the job; under a throttle, who releases it when it is held for being over the limit."""
    return tuple([rule.approval for rule in deciding if rule.approval is not None])


def _throttle(rule: Rule, rate: RateLimit, job: Job) -> Throttle:
    """The bucket is a digest of the values it is for: no value can be chosen so that two buckets are one."""
    values = [[name, getattr(job, name)] for name in rate.key]
    bucket = hashlib.sha256(canonical_bytes(values)).hexdigest()[:32]
    return Throttle(rule=rule.id, bucket=f"{rule.id}:{bucket}", limit=rate.limit, per_s=rate.per_s, over=rate.over)
