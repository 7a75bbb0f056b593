"""Whether what is kept of a held job is what its hash is over.

What always holds: a vote is bound to the hash that was shown, so what was shown beside it must be what that hash is
over: who can write to the store could else show one job and have another one released. An alteration is an alarm.
"""

from __future__ import annotations

import structlog

from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.records import Job
from holdgate.scheduler.errors import ApprovalAltered
from holdgate.scheduler.gates.metrics import RECORDS_FORGED
from holdgate.scheduler.state.approvals import ApprovalView

log = structlog.get_logger("holdgate.gates.approval")


def verify_unaltered(approval: ApprovalView, job: Job, payload: bytes | None) -> None:
    """ApprovalAltered unless `job`, and `payload` where there is one, are what `approval` is about."""
    beside = (approval.job_id, approval.topic, approval.actor, approval.principals)
    if beside != (job.job_id, job.topic, job.actor, job.principals) or job.job_hash() != approval.job_hash:
        raise altered(job)
    if payload is not None and digest_bytes(payload) != job.payload_digest:
        raise altered(job)


def altered(job: Job) -> ApprovalAltered:
    """The error, after everybody was told."""
    RECORDS_FORGED.labels("job").inc()
    log.critical(
        "what is kept of a held job is not what was submitted",
        action="held_job_altered",
        job_id=job.job_id,
        tenant=job.tenant,
        trace_id=job.trace_id,
    )
    return ApprovalAltered()
