"""When one demand is at least as strict as another, and when one decision lets a job do more than another.

The one such order: a publish, a diff, a replay and a shadow all judge by it. What always holds: where none of it is
stricter in every respect, the answer is the careful one: not as strict. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from holdgate.kernel.custody import DEFAULT_APPROVER_ROLE
from holdgate.kernel.records import (
    ApprovalRequirement,
    Constraints,
    Decision,
    Over,
    Throttle,
    Verdict,
)
from holdgate.kernel.rules import Rule
from holdgate.kernel.standing import escalation_roles

CONSTRAINT_NAMES = ("max_runtime_s", "max_output_bytes", "max_attempts", "max_concurrency", "network", "paths", "env")
_DENY_LISTS = frozenset({"paths"})


def is_constraint_as_tight(name: str, new: Constraints, old: Constraints) -> bool:
    """Whether the field `name` of `new` allows nothing that `old` does not."""
    wanted, given = getattr(old, name), getattr(new, name)
    if wanted is None:
        return True
    if given is None:
        return False
    if isinstance(wanted, int):
        return bool(given <= wanted)
    return set(wanted) <= set(given) if name in _DENY_LISTS else set(given) <= set(wanted)


def is_approval_as_strict(new: ApprovalRequirement, old: ApprovalRequirement) -> bool:
    """Whether whoever releases a job under `new` could have under `old`: as many, of these, as soon, in such a way.

    Who signed a bundle is not looked at, for each version has signers of its own; that they may not release it is.
    """
    return (
        new.quorum >= old.quorum
        and set(new.roles) <= set(old.roles)
        and set(new.names) <= set(old.names)
        and new.expires_s <= old.expires_s
        and _escalates_as_strictly(new, old)
        and _is_manner_as_strict(new, old)
    )


def _escalates_as_strictly(new: ApprovalRequirement, old: ApprovalRequirement) -> bool:
    """Whether it escalates no sooner, and to nobody else than it did or than may release it from the start."""
    if new.escalate_after_s is None:
        return True
    if old.escalate_after_s is None or new.escalate_after_s < old.escalate_after_s:
        return False
    roles = {*old.roles, *escalation_roles(old)}
    return set(escalation_roles(new)) <= roles and set(new.escalate_names) <= {*old.names, *old.escalate_names}


def _is_manner_as_strict(new: ApprovalRequirement, old: ApprovalRequirement) -> bool:
    """Whether it is released with as much care. Another text to type is not: its author chose the one before."""
    kept = all(getattr(new, name) or not getattr(old, name) for name in ("signed", "not_author"))
    opened = any(getattr(new, name) and not getattr(old, name) for name in ("bulk", "grants", "break_glass"))
    return kept and not opened and new.reading_s >= old.reading_s and old.confirm in ("", new.confirm)


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate limit: of a rule, or as a decision names it.

    `key` None: the rule is not at hand. Of one job, an equal `bucket` tells that two keys are the same.
    `release` None: nobody releases what is over it, or who would is not known and nobody was asked.
    """

    limit: int
    per_s: int
    over: Over
    key: frozenset[str] | None
    bucket: str = ""
    release: ApprovalRequirement | None = None


def is_throttle_as_tight(new: Rule, old: Rule) -> bool:
    """Whether the rate limit of `new` lets through no more jobs than that of `old`, from one caller or from all."""
    mine, theirs = _limit_of_rule(new), _limit_of_rule(old)
    if mine is None or theirs is None:
        return theirs is None
    return is_limit_as_tight(mine, theirs)


def is_limit_as_tight(new: Limit, old: Limit, *, unknown: bool = False) -> bool:
    """The same of two limits; where that hangs on what is not known of them, the answer is `unknown`."""
    if new.over is not Over.REJECT and new.over is not old.over:
        return False
    if new.limit > old.limit or new.limit * old.per_s > old.limit * new.per_s:
        return False
    told = (_is_key_as_wide(new, old), _is_release_as_strict(new, old))
    return False if False in told else unknown if None in told else True


@dataclass(frozen=True, slots=True)
class Loosening:
    """One respect in which a decision is looser than another.

    `aspect` is `verdict`, `approval`, `throttle` or the name of a constraint; `looser` says it in a few words,
    `tighter` the same from the other side.
    """

    aspect: str
    looser: str
    tighter: str


VERDICT, APPROVAL, THROTTLE = "verdict", "approval", "throttle"


@dataclass(frozen=True, slots=True)
class Demands:
    """What a decision holds a job to."""

    verdict: Verdict
    approvals: tuple[ApprovalRequirement, ...]
    limits: tuple[Limit, ...]
    constraints: Constraints


def limits_of(
    throttles: tuple[Throttle, ...], approvals: tuple[ApprovalRequirement, ...], rules: Mapping[str, Rule]
) -> tuple[Limit, ...]:
    """The rate limits of a decision with these; of `rules`, by id, as many as are at hand of those that decided."""
    return tuple([_limit_of(item, rules.get(item.rule), approvals) for item in throttles])


def demands_of(decision: Decision, rules: Mapping[str, Rule]) -> Demands:
    """Those of `decision`, by the same."""
    limits = limits_of(decision.throttles, decision.approvals, rules)
    return Demands(decision.verdict, decision.approvals, limits, decision.constraints)


def loosened(before: Decision, after: Decision, old: Mapping[str, Rule], new: Mapping[str, Rule]) -> list[Loosening]:
    """In which respects `after` lets the job do more than `before`; empty when in none.

    `old` and `new` are the rules by id that decided.
    """
    return loosenings(demands_of(before, old), demands_of(after, new))


def loosenings(before: Demands, after: Demands, *, unknown: bool = False) -> list[Loosening]:
    """The same of what two decisions demand; `unknown`: what to take what is not known of a rate limit for."""
    if after.verdict is Verdict.DENY:
        return []
    if before.verdict is Verdict.DENY:
        return [_from_to(VERDICT, str(before.verdict), str(after.verdict))]
    return [*_approvals(before, after), *_throttles(before, after, unknown=unknown), *_constraints(before, after)]


def _approvals(before: Demands, after: Demands) -> Iterator[Loosening]:
    if before.verdict is not Verdict.REQUIRE_APPROVAL:
        if after.verdict is Verdict.REQUIRE_APPROVAL and not _keeps_releases(before, after):
            yield Loosening(APPROVAL, "over a rate limit easier to approve", "over a rate limit harder to approve")
        return
    if after.verdict is not Verdict.REQUIRE_APPROVAL:
        yield _from_to(APPROVAL, str(before.verdict), str(after.verdict))
    elif not all(any(is_approval_as_strict(a, b) for a in _asked(after)) for b in _asked(before)):
        yield Loosening(APPROVAL, "easier to approve", "harder to approve")


def _keeps_releases(before: Demands, after: Demands) -> bool:
    """Whether jobs over a rate limit, which its approvers released, are released by people as strict.

    The kernel asks those of a rule that holds, and those of a limit only where no rule does (`custody`).
    """
    released = [limit.release for limit in before.limits if limit.over is Over.HOLD and limit.release is not None]
    return all(any(is_approval_as_strict(asked, release) for asked in _asked(after)) for release in released)


def _asked(demands: Demands) -> tuple[ApprovalRequirement, ...]:
    """Whom the kernel asks: where nobody is named, those of one role."""
    return demands.approvals or (ApprovalRequirement("", (DEFAULT_APPROVER_ROLE,)),)


def _throttles(before: Demands, after: Demands, *, unknown: bool) -> Iterator[Loosening]:
    for limit in before.limits:
        if not any(is_limit_as_tight(other, limit, unknown=unknown) for other in after.limits):
            yield Loosening(THROTTLE, "more may run in a time", "fewer may run in a time")
            return


def _constraints(before: Demands, after: Demands) -> Iterator[Loosening]:
    if after.constraints is before.constraints:
        return
    for name in CONSTRAINT_NAMES:
        if not is_constraint_as_tight(name, after.constraints, before.constraints):
            yield _from_to(name, f"`{name}` {_value(before.constraints, name)}", _value(after.constraints, name), name)


def _from_to(aspect: str, old: str, new: str, name: str = "") -> Loosening:
    back = f"`{name}` {new} → {old.removeprefix(f'`{name}` ')}" if name else f"{new} → {old}"
    return Loosening(aspect, f"{old} → {new}", back)


def _value(constraints: Constraints, name: str) -> str:
    value = getattr(constraints, name)
    if value is None:
        return "any"
    return str(value) if isinstance(value, int) else f"[{', '.join(value)}]"


def _is_key_as_wide(new: Limit, old: Limit) -> bool | None:
    """Whether no more buckets are counted; None where that cannot be told."""
    if new.key is None or old.key is None:
        return None
    return new.key <= old.key


def _is_release_as_strict(new: Limit, old: Limit) -> bool | None:
    if new.over is not Over.HOLD or old.release is None:
        return True
    return None if new.release is None else is_approval_as_strict(new.release, old.release)


def _limit_of(throttle: Throttle, rule: Rule | None, approvals: tuple[ApprovalRequirement, ...]) -> Limit:
    bucket = throttle.bucket.removeprefix(f"{throttle.rule}:")
    if rule is None or rule.throttle is None:
        release = next((item for item in approvals if item.rule == throttle.rule), None)
        return Limit(throttle.limit, throttle.per_s, throttle.over, None, bucket, release)
    return Limit(throttle.limit, throttle.per_s, throttle.over, frozenset(rule.throttle.key), bucket, release_of(rule))


def _limit_of_rule(rule: Rule) -> Limit | None:
    rate = rule.throttle
    if rate is None:
        return None
    return Limit(rate.limit, rate.per_s, rate.over, frozenset(rate.key), release=release_of(rule))


def release_of(rule: Rule) -> ApprovalRequirement | None:
    """Who releases what is over the limit of the rule: whom the kernel asks where the rule names nobody."""
    if rule.throttle is None or rule.throttle.over is not Over.HOLD:
        return None
    return rule.approval or ApprovalRequirement(rule.id, (DEFAULT_APPROVER_ROLE,))
