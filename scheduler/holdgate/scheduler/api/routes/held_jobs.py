"""A held job as people may be shown it.

What always holds: nothing is shown of a job whose stored fields or payload are not what its hash is over; that is an
alarm, not a reply with something in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from holdgate.kernel.errors import Forged
from holdgate.kernel.ids import JobId
from holdgate.scheduler.api.calls import Call
from holdgate.scheduler.api.routes.jobs import job_id_of
from holdgate.scheduler.errors import ApprovalNotFound, JobNotFound, NotFound
from holdgate.scheduler.gates.approval.unaltered import altered, verify_unaltered
from holdgate.scheduler.state.approvals import ApprovalStatus, ApprovalView
from holdgate.scheduler.state.jobs import JobView

log = structlog.get_logger("holdgate.api.approvals")


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A held job that is as it was submitted. `payload` is None where it is not kept any more, or cannot be had."""

    approval: ApprovalView
    view: JobView
    payload: bytes | None


async def held_job_of(call: Call) -> HeldJob:
    """The held job of the path. ApprovalNotFound, JobNotFound; ApprovalAltered, which everybody hears."""
    deps, tenant, job_id = call.deps, call.principal.tenant, approval_id_of(call)
    approval = await deps.approvals.require(tenant, job_id)
    view = await deps.jobs.require(tenant, job_id)
    payload = await _payload_of(call, approval, view)
    verify_unaltered(approval, view.job, payload)
    return HeldJob(approval, view, payload)


def approval_id_of(call: Call) -> JobId:
    """The job id of the path; ApprovalNotFound when it has not the shape of one."""
    try:
        return job_id_of(call)
    except JobNotFound as error:
        raise ApprovalNotFound from error


async def _payload_of(call: Call, approval: ApprovalView, view: JobView) -> bytes | None:
    payload = await call.deps.jobs.payload(view.job.tenant, view.job.job_id)
    if payload is not None or approval.status is not ApprovalStatus.PENDING:
        return payload
    try:
        return await call.deps.payloads.get(view.job.payload_digest)
    except NotFound as error:
        # All else is shown, and a release is refused.
        log.warning("a held job's payload cannot be shown", action="payload_gone", code=error.code)
        return None
    except Forged as error:
        raise altered(view.job) from error
