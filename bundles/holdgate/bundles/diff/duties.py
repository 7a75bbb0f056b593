"""What each rule does for the whole, and whether the other set does as much.

Deny-overrides is monotone: a job may do more than before only where a *guard* of the old set is gone (a denial, an
approval, a rate limit, a constraint) or a *lift* of the new one came (a rule by which jobs may run that no rule spoke
of). So it is enough to look at each duty of a changed rule:

    guard of the old set   seen to by a rule of the new set that is as strict, or that denies
                           does not matter where either set has nothing by which the job could run
    lift of the new set    was there already, by a lifting rule of the old set; or a rule of the new set denies
    release of a new hold  by people as strict as those of each limit of the old set over which it matches; or the old
                           set held the job anyway

What always holds: where every duty is seen to, no job may do more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from holdgate.bundles.diff.sides import LIFTING, Budget, Good, Placed, Side
from holdgate.bundles.diff.strictness import (
    APPROVAL,
    CONSTRAINT_NAMES,
    THROTTLE,
    VERDICT,
    is_approval_as_strict,
    is_constraint_as_tight,
    is_throttle_as_tight,
    release_of,
)
from holdgate.kernel.records import NO_CONSTRAINTS, ApprovalRequirement, Verdict
from holdgate.kernel.rules import Rule


class Kind(StrEnum):
    """What a rule does for the whole."""

    LIFT = "lift"
    RELEASE = "release"
    DENY = "deny"
    APPROVAL = "approval"
    THROTTLE = "throttle"
    CONSTRAINT = "constraint"


@dataclass(frozen=True, slots=True)
class Duty:
    """One of the duties of a rule; `field` is the constraint that it is about."""

    kind: Kind
    placed: Placed
    field: str = ""

    @property
    def aspect(self) -> str:
        """In which respect a decision is looser when this is not seen to (`strictness.Loosening`)."""
        aspects = {
            Kind.APPROVAL: APPROVAL,
            Kind.RELEASE: APPROVAL,
            Kind.THROTTLE: THROTTLE,
            Kind.CONSTRAINT: self.field,
        }
        return aspects.get(self.kind, VERDICT)


def guards_of(placed: Placed) -> Iterator[Duty]:
    """What the rule holds back."""
    rule = placed.rule
    if rule.decision is Verdict.DENY:
        yield Duty(Kind.DENY, placed)
        return
    if rule.decision is Verdict.REQUIRE_APPROVAL:
        yield Duty(Kind.APPROVAL, placed)
    if rule.throttle is not None:
        yield Duty(Kind.THROTTLE, placed)
    if rule.constraints is not NO_CONSTRAINTS:
        for name in CONSTRAINT_NAMES:
            if getattr(rule.constraints, name) is not None:
                yield Duty(Kind.CONSTRAINT, placed, name)


def lifts_of(placed: Placed) -> Iterator[Duty]:
    """What the rule lets run, and whom it has release what others released that was over a rate limit."""
    if placed.rule.decision in LIFTING:
        yield Duty(Kind.LIFT, placed)
    if placed.rule.decision is Verdict.REQUIRE_APPROVAL:
        yield Duty(Kind.RELEASE, placed)


def is_seen_to(duty: Duty, old: Side, new: Side, budget: Budget) -> bool:
    """Whether `new` loses nothing of this guard of `old`, or `old` lacked nothing of this lift of `new`."""
    placed = duty.placed
    if duty.kind is Kind.LIFT:
        if old.default in LIFTING:
            return True
        return old.sees_to(placed, _lifts, budget) or new.sees_to(placed, _denies, budget)
    if duty.kind is Kind.RELEASE:
        return all(_is_release_kept(item, placed, new, budget) for item in old.placed) or old.sees_to(
            placed, _holds, budget
        )
    by_one = duty.kind is Kind.THROTTLE
    if new.sees_to(placed, _stand_in(duty), budget, by_one=by_one):
        return True
    if new.cannot_lift(placed, budget) or old.cannot_lift(placed, budget):
        return True
    return duty.kind is not Kind.DENY and old.sees_to(placed, _denies, budget)


def _is_release_kept(limit: Placed, hold: Placed, new: Side, budget: Budget) -> bool:
    """Whether jobs over this limit of the old set that the new `hold` matches are released by people as strict."""
    wanted = release_of(limit.rule)
    if wanted is None or limit.is_never_met_by(hold, budget):
        return True
    return new.sees_to(hold, lambda rule: _denies(rule) or _releases_as_strictly(rule, wanted), budget)


def _stand_in(duty: Duty) -> Good:
    """Which rules do as much as the rule of this guard."""
    old = duty.placed.rule
    match duty.kind:
        case Kind.APPROVAL:
            return lambda rule: _denies(rule) or _approves_as_strictly(rule, old)
        case Kind.THROTTLE:
            return lambda rule: _denies(rule) or (rule.throttle is not None and is_throttle_as_tight(rule, old))
        case Kind.CONSTRAINT:
            name = duty.field
            return lambda rule: _denies(rule) or is_constraint_as_tight(name, rule.constraints, old.constraints)
        case _:
            return _denies


def _denies(rule: Rule) -> bool:
    return rule.decision is Verdict.DENY


def _holds(rule: Rule) -> bool:
    return rule.decision in (Verdict.DENY, Verdict.REQUIRE_APPROVAL)


def _lifts(rule: Rule) -> bool:
    return rule.decision in LIFTING


def _approves_as_strictly(rule: Rule, old: Rule) -> bool:
    return old.approval is not None and _releases_as_strictly(rule, old.approval)


def _releases_as_strictly(rule: Rule, wanted: ApprovalRequirement) -> bool:
    return (
        rule.decision is Verdict.REQUIRE_APPROVAL
        and rule.approval is not None
        and is_approval_as_strict(rule.approval, wanted)
    )
