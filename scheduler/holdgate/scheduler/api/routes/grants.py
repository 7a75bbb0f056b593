"""Standing grants over HTTP: asked for, confirmed by others, looked at, ended."""

from __future__ import annotations

import re
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.grants import GrantId
from holdgate.kernel.ids import JOB_ID, Digest, JobId
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.forms import confirm_of, members_of, number_of, reason_of, text_of, texts_of, time_of
from holdgate.scheduler.api.paging import page_of, page_reply
from holdgate.scheduler.api.routes.approvals import approver_of
from holdgate.scheduler.api.shapes import time_or_none
from holdgate.scheduler.errors import ApprovalNotFound, GrantNotFound
from holdgate.scheduler.gates.approval import Shown
from holdgate.scheduler.gates.grants import GrantApproval, GrantForm, GrantView
from holdgate.scheduler.identity.keys import Role
from holdgate.scheduler.state.grants import GrantStatus

GRANT_ID = re.compile(r"grant_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
DIGEST_CHARS_MAX = 128


async def list_grants(call: Call) -> Reply:
    """`GET /grants`: newest first"""
    page = page_of(call.query, GRANT_ID)
    tenant = call.principal.tenant
    found, after = await call.deps.grants.listed(tenant, page.limit, page.after)
    views = [call.deps.grant_gate.view(tenant, item) for item in found]
    return reply_json(page_reply([grant_row(view) for view in views if view is not None], after))


async def request_grant(call: Call) -> Reply:
    """`POST /grants`: from a held job, as it was shown"""
    required = {"job_id", "job_hash", "snapshot", "labels", "uses_max", "expires_at", "reason"}
    body = members_of(call.json, required=required, optional={"confirm"})
    job_id = text_of(body, "job_id", 64)
    form = GrantForm(
        job_id=JobId(job_id),
        shown=Shown(
            Digest(text_of(body, "job_hash", DIGEST_CHARS_MAX)), Digest(text_of(body, "snapshot", DIGEST_CHARS_MAX))
        ),
        labels=texts_of(body, "labels", limits.GRANT_LABELS_MAX),
        uses_max=number_of(body, "uses_max", limits.GRANT_USES_MAX),
        expires_ms=time_of(body, "expires_at", call.deps.clock.now_ms(), limits.GRANT_S_MAX),
        reason=reason_of(body),
        confirm=confirm_of(body),
    )
    if JOB_ID.match(job_id) is None:
        raise ApprovalNotFound
    return reply_json(grant_row(await call.deps.grant_gate.request(approver_of(call), form)), 201)


async def get_grant(call: Call) -> Reply:
    """`GET /grants/{grant_id}`: with the jobs that it released, newest first"""
    grant_id = _grant_id_of(call)
    view = await call.deps.grant_gate.look(approver_of(call), grant_id)
    uses = await call.deps.grants.uses(call.principal.tenant, grant_id, limits.GRANT_USES_MAX)
    used_by = [{"job_id": job_id, "used_at": rfc3339(at_ms)} for job_id, at_ms in uses]
    return reply_json({**grant_row(view), "used_by": used_by})


async def approve_grant(call: Call) -> Reply:
    """`POST /grants/{grant_id}/approve`: bound to the digest of the terms that were shown"""
    grant_id = _grant_id_of(call)
    body = members_of(call.json, required={"grant_digest", "reason"}, optional={"confirm"})
    digest = Digest(text_of(body, "grant_digest", DIGEST_CHARS_MAX))
    form = GrantApproval(grant_id, digest, reason_of(body), confirm_of(body))
    return reply_json(grant_row(await call.deps.grant_gate.approve(approver_of(call), form)))


async def revoke_grant(call: Call) -> Reply:
    """`POST /grants/{grant_id}/revoke`: also rejects or withdraws one that is pending"""
    grant_id = _grant_id_of(call)
    reason = reason_of(members_of(call.json, required={"reason"}))
    anyones = call.principal.has(Role.OPERATOR)
    view = await call.deps.grant_gate.end(approver_of(call), grant_id, reason, anyones=anyones)
    return reply_json(grant_row(view))


def grant_row(view: GrantView) -> dict[str, Any]:
    """A grant as lists show it. `grant_digest` is what an approver sends back."""
    stored, terms = view.stored, view.stored.terms
    return {
        "grant_id": terms.grant_id,
        "status": str(stored.status),
        "grant_digest": stored.digest,
        "actor": terms.actor,
        "principals": list(terms.principals),
        "topic": terms.topic,
        "labels": dict(terms.labels),
        "capability": terms.capability,
        "rules": [rule for rule, _ in terms.rules],
        "snapshot": terms.snapshot,
        "uses_max": terms.uses_max,
        "uses": stored.uses,
        "uses_left": max(0, terms.uses_max - stored.uses) if stored.status is GrantStatus.ACTIVE else 0,
        "requested_by": terms.requested_by,
        "requested_at": rfc3339(terms.requested_ms),
        "expires_at": rfc3339(terms.expires_ms),
        "ended_at": time_or_none(stored.ended_ms),
        "ended_by": stored.ended_by,
        "reason": terms.reason,
        "job_id": terms.job_id,
        "requirements": [item.as_dict() for item in stored.requirements],
        "approvals": [
            {
                "approver": part.approver,
                "roles": list(part.roles),
                "reason": part.reason,
                "given_at": rfc3339(part.issued_ms),
            }
            for part in view.parts
        ],
        "approvals_missing": view.missing if stored.status is GrantStatus.PENDING else 0,
    }


def _grant_id_of(call: Call) -> GrantId:
    text = call.path["grant_id"]
    if GRANT_ID.match(text) is None:
        raise GrantNotFound
    return GrantId(text)
