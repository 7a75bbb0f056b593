"""Held jobs over HTTP: which wait for people, and all that one look needs to decide. Votes are in `votes`."""

from __future__ import annotations

from collections.abc import Iterable

from holdgate.kernel.records import Severity
from holdgate.scheduler.api.calls import Call, Reply, reply_json, reply_with
from holdgate.scheduler.api.paging import page_of, page_reply
from holdgate.scheduler.api.portions import portion_of
from holdgate.scheduler.api.problems import Problem, invalid
from holdgate.scheduler.api.routes.held_jobs import held_job_of
from holdgate.scheduler.api.shapes import approval_row, approval_whole, look_shown
from holdgate.scheduler.errors import Forbidden
from holdgate.scheduler.gates.approval import Approver, Look
from holdgate.scheduler.identity.keys import Role
from holdgate.scheduler.state.approvals import (
    MARK,
    ApprovalFilter,
    Order,
    Viewer,
    is_mark,
)


async def list_approvals(call: Call) -> Reply:
    """`GET /approvals`: pending ones; those that were put off come last"""
    now_ms, page, order = call.deps.clock.now_ms(), page_of(call.query, MARK), Order(_one_of(call, "order", Order))
    if page.after is not None and not is_mark(page.after, order):
        raise Problem("bad_cursor")
    found, after = await call.deps.approvals.list_waiting(
        call.principal.tenant, _filter(call), order, limit=page.limit, after=page.after, now_ms=now_ms
    )
    return reply_json(page_reply([approval_row(approval, now_ms) for approval in found], after))


async def get_approval(call: Call) -> Reply:
    """`GET /approvals/{job_id}`: `job_hash` and `snapshot` as a vote must send them back

    Labels, prompt and payload are as they were sent: who computes the hash for themselves needs every byte of them.
    """
    deps, held = call.deps, await held_job_of(call)
    approval, view = held.approval, held.view
    portion = portion_of(call, "payload", held.payload)
    look = Look(Forbidden.code, Forbidden.code, past=await deps.approvals.past(call.principal.tenant, approval.job_id))
    if call.principal.has(Role.APPROVER):
        look = await deps.approval_gate.look(approver_of(call), approval, view)
    row = approval_row(approval, deps.clock.now_ms())
    shown = {**approval_whole(row, view), **look_shown(look), **portion.told}
    return reply_with(shown, "payload", portion.data)


def approver_of(call: Call) -> Approver:
    """The caller as one who votes."""
    principal = call.principal
    return Approver(principal.tenant, principal.actor, tuple(sorted(principal.roles)))


def _filter(call: Call) -> ApprovalFilter:
    query, principal = call.query, call.principal
    mine = _one_of(call, "mine", ("false", "true")) == "true"
    severity = query.get("severity")
    return ApprovalFilter(
        rule=query.get("rule"),
        topic=query.get("topic"),
        severity=None if severity is None else Severity(_one_of(call, "severity", Severity)),
        voter=Viewer(principal.actor, call.deps.approval_gate.counting(approver_of(call))) if mine else None,
    )


def _one_of(call: Call, name: str, values: Iterable[str]) -> str:
    """The value of a parameter that takes one of `values`; the first of them where it is not given."""
    known = [str(value) for value in values]
    value = call.query.get(name, known[0])
    if value not in known:
        raise invalid(name, f"must be one of {', '.join(known)}")
    return value
