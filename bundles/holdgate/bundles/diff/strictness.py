"""When one demand is at least as strict as another, and when one decision lets a job do more than another.

What always holds: where none of it is stricter in every respect, the answer is the careful one: not as strict. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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


def loosened(before: Decision, after: Decision, old: Mapping[str, Rule], new: Mapping[str, Rule]) -> str | None:
    """How `after` lets the job do more than `before`, in a few words; None when it does not in any respect.

    `old` and `new` are the rules by id that decided.
    """
    return next(_loosened(before, after, old, new), None)


def _loosened(before: Decision, after: Decision, old: Mapping[str, Rule], new: Mapping[str, Rule]) -> Iterator[str]:
    if after.verdict is Verdict.DENY:
        return
    if before.verdict is Verdict.DENY:
        yield f"{before.verdict} → {after.verdict}"
        return
    if before.verdict is Verdict.REQUIRE_APPROVAL:
        if after.verdict is not Verdict.REQUIRE_APPROVAL:
            yield f"{before.verdict} → {after.verdict}"
        elif not all(any(is_approval_as_strict(a, b) for a in after.approvals) for b in before.approvals):
            yield "easier to approve"
    for throttle in before.throttles:
        if not any(is_throttle_as_tight(new[other.rule], old[throttle.rule]) for other in after.throttles):
            yield f"less throttled than by `{throttle.rule}`"
    for name in CONSTRAINT_NAMES:
        if not is_constraint_as_tight(name, after.constraints, before.constraints):
            yield f"`{name}` {_value(before.constraints, name)} → {_value(after.constraints, name)}"


def _value(constraints: Constraints, name: str) -> str:
    value = getattr(constraints, name)
    if value is None:
        return "any"
    return str(value) if isinstance(value, int) else f"[{', '.join(value)}]"


def _before(new: ApprovalRequirement, old: ApprovalRequirement) -> bool:
    return (new.escalate_after_s or 0) < (old.escalate_after_s or 0)


def _is_release_as_strict(new: Rule, old: Rule) -> bool:
    return new.approval is not None and old.approval is not None and is_approval_as_strict(new.approval, old.approval)
