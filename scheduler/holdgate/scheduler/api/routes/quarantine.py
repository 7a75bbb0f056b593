"""Quarantine over HTTP: sealed outputs, their findings, and the votes that release or destroy them."""

from __future__ import annotations

from typing import Any

from holdgate.kernel.clock import rfc3339
from holdgate.kernel.ids import Digest, JobId, Tenant
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.forms import members_of, reason_of, text_of
from holdgate.scheduler.api.paging import page_of, page_reply
from holdgate.scheduler.api.routes.approvals import approver_of
from holdgate.scheduler.api.routes.jobs import job_id_of
from holdgate.scheduler.api.shapes import time_or_none
from holdgate.scheduler.errors import JobNotFound, QuarantineNotFound
from holdgate.scheduler.gates.quarantine import Acted, QuarantineGate, severity_of
from holdgate.scheduler.state.quarantine import QuarantineItem, SealedStatus

DIGEST_CHARS_MAX = 128


async def list_quarantine(call: Call) -> Reply:
    """`GET /quarantine`: findings, never content"""
    page = page_of(call.query)
    found, after = await call.deps.quarantine.items.list_items(call.principal.tenant, page.limit, page.after)
    return reply_json(page_reply([sealed_row(item) for item in found], after))


async def get_quarantine(call: Call) -> Reply:
    """`GET /quarantine/{job_id}`: `digest` as a vote must send it back"""
    gate = call.deps.quarantine
    item = await gate.items.require(call.principal.tenant, sealed_id_of(call))
    return reply_json(sealed_whole(item, gate, call.principal.tenant))


async def release(call: Call) -> Reply:
    """`POST /quarantine/{job_id}/release`"""
    job_id = sealed_id_of(call)
    digest, reason = _body(call.json)
    return _acted(job_id, await call.deps.quarantine.release(approver_of(call), job_id, digest, reason))


async def destroy(call: Call) -> Reply:
    """`POST /quarantine/{job_id}/destroy`"""
    job_id = sealed_id_of(call)
    digest, reason = _body(call.json)
    return _acted(job_id, await call.deps.quarantine.destroy(approver_of(call), job_id, digest, reason))


def sealed_id_of(call: Call) -> JobId:
    """The job id of the path; QuarantineNotFound when it has not the shape of one."""
    try:
        return job_id_of(call)
    except JobNotFound as error:
        raise QuarantineNotFound from error


def sealed_row(item: QuarantineItem) -> dict[str, Any]:
    """A quarantined output: the verdict with its findings, never content."""
    severity = severity_of(item)
    return {
        "job_id": item.job_id,
        "attempt": item.attempt,
        "verdict": item.verdict,
        "severity": None if severity is None else str(severity),
        "status": str(item.status),
        "sealed": item.status is SealedStatus.SEALED,
        "topic": item.topic,
        "actor": item.actor,
        "quarantined_at": rfc3339(item.quarantined_ms),
        "destroyed_at": time_or_none(item.resolved_ms) if item.status is SealedStatus.DESTROYED else None,
    }


def sealed_whole(item: QuarantineItem, gate: QuarantineGate, tenant: Tenant) -> dict[str, Any]:
    """With all that a vote needs, and the votes so far."""
    return {
        **sealed_row(item),
        "digest": item.digest,
        "principals": list(item.principals),
        "quorum": gate.quorum_of(tenant, item),
        "votes_missing": gate.votes_missing(tenant, item),
        "votes": [
            {
                "approver": vote.approver,
                "act": str(vote.act),
                "reason": vote.reason,
                "cast_at": rfc3339(vote.cast_ms),
            }
            for vote in item.votes
        ],
        "can_open": gate.can_open and item.status is SealedStatus.SEALED,
        "resolved_at": time_or_none(item.resolved_ms),
        "resolved_by": item.resolved_by,
    }


def _acted(job_id: JobId, acted: Acted) -> Reply:
    return reply_json(
        {
            "job_id": job_id,
            "status": str(acted.status),
            "state": str(acted.state),
            "votes_missing": acted.votes_missing,
        }
    )


def _body(body: Any) -> tuple[Digest, str]:
    members = members_of(body, required={"digest", "reason"})
    return Digest(text_of(members, "digest", DIGEST_CHARS_MAX)), reason_of(members)
