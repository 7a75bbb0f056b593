"""A job's prompt and labels as they were sent, for people who looked at them masked.

What always holds: who looked is in the audit trail before they are answered.
"""

from __future__ import annotations

from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.problems import invalid
from holdgate.scheduler.api.routes.jobs import require_job
from holdgate.scheduler.identity.keys import Role

REVEALS = (Role.APPROVER, Role.OPERATOR)
"""Roles that may see them of every job of their tenant; an agent may of its own."""


async def reveal(call: Call) -> Reply:
    """`POST /jobs/{job_id}/reveal`"""
    if call.json not in (None, {}):
        raise invalid("body", "an empty object is expected")
    job = (await require_job(call, REVEALS)).job
    told = {"actor": call.principal.actor, "job_id": job.job_id, "trace_id": call.trace_id}
    await call.deps.audit.append(job.tenant, "job.revealed", told, call.deps.clock.now_ms())
    return reply_json({"job_id": job.job_id, "labels": dict(job.labels), "prompt": job.prompt})
