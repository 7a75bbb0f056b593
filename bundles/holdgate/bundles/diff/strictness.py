"""When one demand is at least as strict as another, and when one decision lets a job do more than another.

What always holds: where none of it is stricter in every respect, the answer is the careful one: not as strict. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from holdgate.kernel.records import (
    ApprovalRequirement,
    Constraints,
    Decision,
    Over,
    Verdict,
)
from holdgate.kernel.rules import Rule

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
    """Whether whoever releases a job under `new` could have under `old`: as many, of these, as soon, as well signed."""
    escalates = new.escalate_after_s is not None
    return (
        new.quorum >= old.quorum
        and set(new.roles) <= set(old.roles)
        and set(new.names) <= set(old.names)
        and new.expires_s <= old.expires_s
        and (new.signed or not old.signed)
        and not (escalates and (old.escalate_after_s is None or _before(new, old)))
    )


def is_throttle_as_tight(new: Rule, old: Rule) -> bool:
    """Whether the rate limit of `new` lets through no more jobs than that of `old`, from one caller or from all."""
    mine, theirs = new.throttle, old.throttle
    if mine is None or theirs is None:
        return theirs is None
    if mine.over is not Over.REJECT and mine.over is not theirs.over:
        return False
    if mine.over is Over.HOLD and not _is_release_as_strict(new, old):
        return False
    return (
        set(mine.key) <= set(theirs.key)
        and mine.limit <= theirs.limit
        and mine.limit * theirs.per_s <= theirs.limit * mine.per_s
    )


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


def loosened(before: Decision, after: Decision, old: Mapping[str, Rule], new: Mapping[str, Rule]) -> list[Loosening]:
    """In which respects `after` lets the job do more than `before`; empty when in none.

    `old` and `new` are the rules by id that decided.
    """
    if after.verdict is Verdict.DENY:
        return []
    if before.verdict is Verdict.DENY:
        return [_from_to(VERDICT, str(before.verdict), str(after.verdict))]
    return [*_approvals(before, after), *_throttles(before, after, old, new), *_constraints(before, after)]


def _approvals(before: Decision, after: Decision) -> Iterator[Loosening]:
    if before.verdict is not Verdict.REQUIRE_APPROVAL:
        return
    if after.verdict is not Verdict.REQUIRE_APPROVAL:
        yield _from_to(APPROVAL, str(before.verdict), str(after.verdict))
    elif not all(any(is_approval_as_strict(a, b) for a in after.approvals) for b in before.approvals):
        yield Loosening(APPROVAL, "easier to approve", "harder to approve")


def _throttles(
    before: Decision, after: Decision, old: Mapping[str, Rule], new: Mapping[str, Rule]
) -> Iterator[Loosening]:
    for throttle in before.throttles:
        if not any(is_throttle_as_tight(new[other.rule], old[throttle.rule]) for other in after.throttles):
            yield Loosening(THROTTLE, "more may run in a time", "fewer may run in a time")
            return


def _constraints(before: Decision, after: Decision) -> Iterator[Loosening]:
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


def _before(new: ApprovalRequirement, old: ApprovalRequirement) -> bool:
    return (new.escalate_after_s or 0) < (old.escalate_after_s or 0)


def _is_release_as_strict(new: Rule, old: Rule) -> bool:
    return new.approval is not None and old.approval is not None and is_approval_as_strict(new.approval, old.approval)
