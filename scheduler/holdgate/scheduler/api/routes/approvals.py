"""Approvals over HTTP: what is held and why, and the votes on it."""

from __future__ import annotations

from typing import Any

import structlog

from holdgate.kernel import limits
from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.errors import Forged
from holdgate.kernel.ids import Digest, JobId
from holdgate.scheduler.api.calls import Call, Reply, reply_json, reply_with
from holdgate.scheduler.api.paging import page_of, page_reply
from holdgate.scheduler.api.problems import Problem, invalid, invalid_fields
from holdgate.scheduler.api.routes.jobs import job_id_of
from holdgate.scheduler.api.shapes import approval_row, approval_whole
from holdgate.scheduler.errors import ApprovalNotFound, JobNotFound, NotFound
from holdgate.scheduler.gates.approval import Approver, Shown
from holdgate.scheduler.state.approvals import ApprovalStatus, ApprovalView, VoteResult
from holdgate.scheduler.state.jobs import JobView

log = structlog.get_logger("holdgate.api.approvals")

DEFER_S_MAX = 7 * 24 * 3600


async def list_approvals(call: Call) -> Reply:
    """`GET /approvals`: pending ones"""
    page = page_of(call.query)
    found, after = await call.deps.approvals.list_pending(call.principal.tenant, page.limit, page.after)
    return reply_json(page_reply([approval_row(approval) for approval in found], after))


async def get_approval(call: Call) -> Reply:
    """`GET /approvals/{job_id}`: `job_hash` and `snapshot` as a vote must send them back"""
    deps, tenant, job_id = call.deps, call.principal.tenant, approval_id_of(call)
    approval = await deps.approvals.require(tenant, job_id)
    view = await deps.jobs.require(tenant, job_id)
    payload = await payload_of(call, approval, view)
    shown = {**approval_whole(approval_row(approval), view), "payload_shown": payload is not None}
    return reply_with(shown, "payload", payload)


async def payload_of(call: Call, approval: ApprovalView, view: JobView) -> bytes | None:
    """The payload that would be released; None when it is not kept any more, or cannot be had."""
    payload = await call.deps.jobs.payload(view.job.tenant, view.job.job_id)
    if payload is None and approval.status is ApprovalStatus.PENDING:
        return await _stored_payload(call, view.job.payload_digest)
    return payload


async def _stored_payload(call: Call, digest: Digest) -> bytes | None:
    """None when it is gone or altered: all else is shown, and a release is refused."""
    try:
        return await call.deps.payloads.get(digest)
    except (NotFound, Forged) as error:
        log.warning("a held job's payload cannot be shown", action="payload_gone", code=error.code)
        return None


async def approve(call: Call) -> Reply:
    """`POST /approvals/{job_id}/approve`"""
    job_id = approval_id_of(call)
    shown, reason = _vote_body(call.json)
    return _voted(job_id, await call.deps.approval_gate.approve(approver_of(call), job_id, shown, reason))


async def reject(call: Call) -> Reply:
    """`POST /approvals/{job_id}/reject`"""
    job_id = approval_id_of(call)
    shown, reason = _vote_body(call.json)
    return _voted(job_id, await call.deps.approval_gate.reject(approver_of(call), job_id, shown, reason))


async def defer(call: Call) -> Reply:
    """`POST /approvals/{job_id}/defer`: marks it as looked at, to be taken up again at `until`"""
    job_id, now_ms = approval_id_of(call), call.deps.clock.now_ms()
    until_ms, reason = _defer_body(call.json, now_ms)
    approval = await call.deps.approval_gate.defer(approver_of(call), job_id, until_ms, reason)
    return reply_json(approval_row(approval))


def approver_of(call: Call) -> Approver:
    """The caller as one who votes."""
    principal = call.principal
    return Approver(principal.tenant, principal.actor, tuple(sorted(principal.roles)))


def approval_id_of(call: Call) -> JobId:
    """The job id of the path; ApprovalNotFound when it has not the shape of one."""
    try:
        return job_id_of(call)
    except JobNotFound as error:
        raise ApprovalNotFound from error


def _voted(job_id: JobId, result: VoteResult) -> Reply:
    return reply_json(
        {
            "job_id": job_id,
            "status": str(result.status),
            "state": str(result.state),
            "votes_missing": result.votes_missing,
        }
    )


def _vote_body(body: Any) -> tuple[Shown, str]:
    if not isinstance(body, dict):
        raise invalid("body", "an object is expected")
    errors = [(name[:64], "an unknown key") for name in body if name not in {"job_hash", "snapshot", "reason"}]
    errors += [
        (name, "is needed, as `GET /approvals/{job_id}` shows it")
        for name in ("job_hash", "snapshot")
        if not isinstance(body.get(name), str) or len(body[name]) > 128
    ]
    if errors:
        raise invalid_fields(errors)
    return Shown(Digest(body["job_hash"]), Digest(body["snapshot"])), _reason(body)


def _defer_body(body: Any, now_ms: int) -> tuple[int, str]:
    if not isinstance(body, dict) or set(body) - {"until", "reason"} or not isinstance(body.get("until"), str):
        raise invalid("until", "a time such as `2026-01-02T03:04:05Z` is needed")
    try:
        until_ms = parse_rfc3339(body["until"])
    except (ValueError, OverflowError) as error:
        raise invalid("until", "a time such as `2026-01-02T03:04:05Z` is needed") from error
    if not now_ms < until_ms <= now_ms + DEFER_S_MAX * 1000:
        raise invalid("until", f"must be within the next {DEFER_S_MAX // 86400} days")
    return until_ms, _reason(body)


def _reason(body: dict[str, Any]) -> str:
    reason = body.get("reason")
    if reason is None or (isinstance(reason, str) and not reason.strip()):
        raise Problem("approval_reason_required", extra={"errors": [{"field": "reason", "detail": "is needed"}]})
    if not isinstance(reason, str) or len(reason) > limits.REASON_CHARS_MAX:
        raise invalid("reason", f"a text of at most {limits.REASON_CHARS_MAX} characters is expected")
    if any(ord(character) < 32 and character not in "\t\n\r" for character in reason):
        raise invalid("reason", "has a control character")
    return reason
