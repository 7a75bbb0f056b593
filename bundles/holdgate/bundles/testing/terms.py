"""What a rule demands of the jobs that it lets through, made looser one step at a time: constraints, approval, rate."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

from holdgate.kernel.approverform import APPROVER_ROLE
from holdgate.kernel.records import SEVERE, ApprovalRequirement, Constraints, Over, Severity
from holdgate.kernel.ruleform import THROTTLE_KEYS
from holdgate.kernel.rules import RateLimit

_NUMBERS = ("max_runtime_s", "max_output_bytes", "max_attempts", "max_concurrency")
_ALLOW_LISTS = ("network", "env")


def looser_constraints(constraints: Constraints) -> Iterator[tuple[str, Constraints]]:
    """Without one; a number doubled; one more in an allow-list; one less in the deny-list."""
    for name in constraints.as_dict():
        yield f"constraint `{name}` removed", _with(constraints, name, None)
    for name in _NUMBERS:
        number: int | None = getattr(constraints, name)
        if number is not None:
            more = max(2 * number, number + 1)
            yield f"constraint `{name}` raised from {number} to {more}", _with(constraints, name, more)
    for name in _ALLOW_LISTS:
        allowed: tuple[str, ...] | None = getattr(constraints, name)
        if allowed is not None:
            longer = tuple(sorted({*allowed, _another(allowed)}))
            yield f"one more in constraint `{name}`", _with(constraints, name, longer)
    for path in constraints.paths if constraints.paths is not None and len(constraints.paths) > 1 else ():
        rest = tuple(other for other in constraints.paths or () if other != path)
        yield f"`{path}` dropped from constraint `paths`", replace(constraints, paths=rest)


def looser_approval(approval: ApprovalRequirement) -> Iterator[tuple[str, ApprovalRequirement]]:
    """One person less; one role more, at once or later; anybody who approves at all; twice the time; less care."""
    if approval.quorum > 1:
        less = approval.quorum - 1
        yield f"approvers: quorum lowered to {less}", replace(approval, quorum=less)
    yield "approvers: one role more", replace(approval, roles=(*approval.roles, _another(approval.roles)))
    if approval.roles != (APPROVER_ROLE,) or approval.names:
        yield f"approvers: whoever is `{APPROVER_ROLE}`", replace(approval, roles=(APPROVER_ROLE,), names=())
    yield "approvers: twice the time until it expires", replace(approval, expires_s=2 * approval.expires_s)
    if approval.escalate_roles or approval.escalate_names:
        more = (*approval.escalate_roles, _another(approval.escalate_roles))
        yield "approvers: escalated to one role more", replace(approval, escalate_roles=more)
    yield from _less_careful(approval)


def _less_careful(approval: ApprovalRequirement) -> Iterator[tuple[str, ApprovalRequirement]]:
    """Without one of the things that the rule says beyond who and when. What it need not say is left alone."""
    if approval.severity in SEVERE:
        yield "severity lowered to `medium`", replace(approval, severity=Severity.MEDIUM, bulk=True)
    elif not approval.bulk:
        yield "approvers: in bulk, too", replace(approval, bulk=True)
    if approval.signed:
        yield "approvers: no signature needed", replace(approval, signed=False)
    if approval.not_author:
        yield "approvers: authors, too", replace(approval, not_author=False)
    if not approval.break_glass:
        yield "approvers: by breaking glass, too", replace(approval, break_glass=True)
    if approval.reading_s:
        yield "approvers: no time to read", replace(approval, reading_s=0)
    if approval.confirm:
        yield "approvers: nothing to type", replace(approval, confirm="")


def looser_rate(rate: RateLimit) -> Iterator[tuple[str, RateLimit]]:
    """Twice as many; in half the time; counted for more combinations; what is over waits instead of being stopped."""
    yield f"throttle: limit raised to {2 * rate.limit}", replace(rate, limit=2 * rate.limit)
    if rate.per_s > 1:
        yield f"throttle: counted over {rate.per_s // 2} s", replace(rate, per_s=rate.per_s // 2)
    more = next((key for key in THROTTLE_KEYS if key not in rate.key), None)
    if more is not None:
        yield f"throttle: counted for each `{more}` by itself", replace(rate, key=(*rate.key, more))
    if rate.over is not Over.DELAY:
        yield f"throttle: over the limit `delay` instead of `{rate.over}`", replace(rate, over=Over.DELAY)


def _another(names: Collection[str]) -> str:
    """A role, a host or a variable that is not among `names`."""
    return next(name for name in (f"mutant-{number}" for number in count(1)) if name not in names)


def _with(constraints: Constraints, name: str, value: Any) -> Constraints:
    changed: dict[str, Any] = {name: value}
    return replace(constraints, **changed)
