"""What happened to jobs like a held one."""

from __future__ import annotations

from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.clock import rfc3339
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.paging import page_reply
from holdgate.scheduler.api.routes.held_jobs import approval_id_of
from holdgate.scheduler.api.shapes import time_or_none
from holdgate.scheduler.state.similar import PastJob


async def list_similar(call: Call) -> Reply:
    """`GET /approvals/{job_id}/similar`: decided jobs of the same topic and rules, newest first"""
    job_id = approval_id_of(call)
    found = await call.deps.similar.of(call.principal.tenant, job_id, limits.SIMILAR_JOBS_MAX)
    return reply_json(page_reply([_row(past) for past in found], None))


def _row(past: PastJob) -> dict[str, Any]:
    approval = past.approval
    return {
        "job_id": approval.job_id,
        "actor": approval.actor,
        "state": str(past.state),
        "status": str(approval.status),
        "held_at": rfc3339(approval.created_ms),
        "decided_at": time_or_none(approval.resolved_ms),
        "decided_by": list(past.decided_by),
        "votes": [
            {
                "approver": vote.approver,
                "on_behalf_of": vote.on_behalf_of,
                "approve": vote.approve,
                "reason": vote.reason,
                "grant": vote.grant,
                "cast_at": rfc3339(vote.cast_ms),
            }
            for vote in approval.votes
        ],
    }
