"""What a job that somebody sends carries, measured before anything else is done with it.

What always holds: a job with a live credential of the platform goes no further, whatever was asked about it; that it
came is in the audit trail, and its value, and the texts that it may stand in, are not.
"""

from __future__ import annotations

import contextlib

from holdgate.kernel.jobform import JobForm, texts_of
from holdgate.kernel.records import Job
from holdgate.scan import Present
from holdgate.scheduler.api.calls import Call
from holdgate.scheduler.errors import NotFound, PlatformSecretInPayload


async def measured(call: Call, form: JobForm | Job) -> Present:
    """Whether there are secrets and personal data in it. PlatformSecretInPayload: a live credential of the platform."""
    deps = call.deps
    found = await deps.measure.present(*texts_of(form), tenant=call.principal.tenant)
    if found.platform:
        told = {
            "actor": call.principal.actor,
            "key_id": call.principal.key_id,
            "code": PlatformSecretInPayload.code,
            "trace_id": call.trace_id,
        }
        await deps.audit.append(call.principal.tenant, "job.refused", told, deps.clock.now_ms())
        raise PlatformSecretInPayload
    return found


async def measured_again(call: Call, job: Job) -> None:
    """PlatformSecretInPayload for a job of the state that holds a credential which is live by now."""
    payload = await call.deps.jobs.payload(job.tenant, job.job_id)
    if payload is None:
        with contextlib.suppress(NotFound):  # of what is gone nothing runs again
            payload = await call.deps.payloads.get(job.payload_digest)
    await measured(call, job.with_payload(payload))
