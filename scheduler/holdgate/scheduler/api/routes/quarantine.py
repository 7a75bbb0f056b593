"""Quarantine over HTTP: sealed outputs, their findings, and the votes that release or destroy them."""

from __future__ import annotations

from typing import Any

from holdgate.kernel.clock import rfc3339
from holdgate.kernel.ids import Digest, JobId, Tenant
from holdgate.scheduler.api.calls import Call, Reply, reply_json, reply_with
from holdgate.scheduler.api.forms import members_of, reason_of, text_of
from holdgate.scheduler.api.paging import page_of, page_reply
from holdgate.scheduler.api.routes.approvals import approver_of
from holdgate.scheduler.api.routes.jobs import job_id_of
from holdgate.scheduler.api.sealedforms import base64_of, content_of
from holdgate.scheduler.api.shapes import time_or_none
from holdgate.scheduler.errors import JobNotFound, QuarantineNotFound
from holdgate.scheduler.gates.quarantine import Acted, QuarantineGate, severity_of
from holdgate.scheduler.state.quarantine import Proposed, QuarantineItem, SealedStatus, SealedVote

DIGEST_CHARS_MAX = 128


async def list_quarantine(call: Call) -> Reply:
    """`GET /quarantine`: findings, never content"""
    page, gate = page_of(call.query), call.deps.quarantine
    found, after = await gate.items.list_items(call.principal.tenant, page.limit, page.after)
    return reply_json(page_reply([sealed_row(item, gate) for item in found], after))


async def get_quarantine(call: Call) -> Reply:
    """`GET /quarantine/{job_id}`: `digest` as a vote must send it back"""
    gate = call.deps.quarantine
    item = await gate.items.require(call.principal.tenant, sealed_id_of(call))
    return reply_json(sealed_whole(item, gate, call.principal.tenant))


async def export(call: Call) -> Reply:
    """`GET /quarantine/{job_id}/sealed`: who took it is in the audit trail before they have it"""
    job_id = sealed_id_of(call)
    item, data = await call.deps.quarantine.sealed_bytes(approver_of(call), job_id)
    told = {
        "actor": call.principal.actor,
        "job_id": job_id,
        "sealed_digest": item.digest,
        "trace_id": call.trace_id,
    }
    await call.deps.audit.append(call.principal.tenant, "quarantine.exported", told, call.deps.clock.now_ms())
    head = {"job_id": job_id, "attempt": item.attempt, "digest": item.digest, "commitment": item.commitment}
    return reply_with(head, "sealed", b'"%b"' % base64_of(data))


async def get_replacement(call: Call) -> Reply:
    """`GET /quarantine/{job_id}/replacement`: what a vote for it would let be read"""
    gate, tenant, job_id = call.deps.quarantine, call.principal.tenant, sealed_id_of(call)
    item, proposed, replacement = await gate.proposed(approver_of(call), job_id)
    told = _proposed(proposed, gate.votes_missing(tenant, item, proposed.digest))
    head = {"job_id": job_id, **told, "logs": replacement.logs, "error": replacement.error}
    return reply_with(head, "value", replacement.value)


async def release(call: Call) -> Reply:
    """`POST /quarantine/{job_id}/release`"""
    job_id = sealed_id_of(call)
    members = members_of(
        call.json, required={"digest", "reason"}, optional={"opened", "replacement", "replacement_digest"}
    )
    digest = Digest(text_of(members, "digest", DIGEST_CHARS_MAX))
    content = content_of(members)
    acted = await call.deps.quarantine.release(approver_of(call), job_id, digest, reason_of(members), content)
    return _acted(job_id, acted)


async def destroy(call: Call) -> Reply:
    """`POST /quarantine/{job_id}/destroy`"""
    job_id = sealed_id_of(call)
    members = members_of(call.json, required={"digest", "reason"})
    digest = Digest(text_of(members, "digest", DIGEST_CHARS_MAX))
    return _acted(job_id, await call.deps.quarantine.destroy(approver_of(call), job_id, digest, reason_of(members)))


def sealed_id_of(call: Call) -> JobId:
    """The job id of the path; QuarantineNotFound when it has not the shape of one."""
    try:
        return job_id_of(call)
    except JobNotFound as error:
        raise QuarantineNotFound from error


def sealed_row(item: QuarantineItem, gate: QuarantineGate) -> dict[str, Any]:
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
        "expires_at": time_or_none(gate.expires_ms(item)),
        "remaining_s": gate.remaining_s(item),
        "destroyed_at": time_or_none(item.resolved_ms) if item.status in _DESTROYED else None,
    }


_DESTROYED = frozenset({SealedStatus.DESTROYED, SealedStatus.EXPIRED})


def sealed_whole(item: QuarantineItem, gate: QuarantineGate, tenant: Tenant) -> dict[str, Any]:
    """With all that a vote needs, and the votes so far."""
    proposed = item.proposed
    return {
        **sealed_row(item, gate),
        "digest": item.digest,
        "commitment": item.commitment,
        "principals": list(item.principals),
        "quorum": gate.quorum_of(tenant, item),
        "votes_missing": gate.votes_missing(tenant, item),
        "replacement": None
        if proposed is None
        else _proposed(proposed, gate.votes_missing(tenant, item, proposed.digest)),
        "votes": [_vote(vote) for vote in item.standing],
        "can_open": gate.can_open and item.status is SealedStatus.SEALED,
        "resolved_at": time_or_none(item.resolved_ms),
        "resolved_by": item.resolved_by,
    }


def _vote(vote: SealedVote) -> dict[str, Any]:
    return {
        "approver": vote.approver,
        "act": str(vote.act),
        "reason": vote.reason,
        "cast_at": rfc3339(vote.cast_ms),
        "replacement": vote.replacement,
    }


def _proposed(proposed: Proposed, missing: int) -> dict[str, Any]:
    return {
        "digest": proposed.digest,
        "proposed_by": proposed.by,
        "proposed_at": rfc3339(proposed.at_ms),
        "votes_missing": missing,
    }


def _acted(job_id: JobId, acted: Acted) -> Reply:
    return reply_json(
        {
            "job_id": job_id,
            "status": str(acted.status),
            "state": str(acted.state),
            "votes_missing": acted.votes_missing,
            "replacement": acted.replacement,
        }
    )
