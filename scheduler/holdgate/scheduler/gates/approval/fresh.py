"""The kernel's word of now about a held job: a release is bound to what it says at this moment.

What always holds: the kernel is asked afresh, about the whole job with its payload; where it decides otherwise than was
shown, nothing is released and its new decision is applied.
"""

from __future__ import annotations

import structlog

from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Forged, Unavailable
from holdgate.kernel.ids import JobId, Tenant
from holdgate.kernel.records import ApprovalRequirement, Decision, Job, Outcome
from holdgate.scheduler.errors import ApprovalStaleJob, ApprovalStalePolicy, NotFound, StateBroken
from holdgate.scheduler.gates.custody import approvals_of, outcome_of
from holdgate.scheduler.gates.hints import Hints
from holdgate.scheduler.state.approvals import Approvals, ApprovalView, Redecision, job_shape
from holdgate.scheduler.state.jobs import Jobs, JobView
from holdgate.scheduler.state.log import PayloadStore
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger("holdgate.gates.approval")


class StillHeld:
    """Asks the kernel whether a job is held as it was shown."""

    def __init__(
        self,
        *,
        kernel: KernelClient,
        jobs: Jobs,
        approvals: Approvals,
        payloads: PayloadStore,
        hints: Hints,
        clock: Clock,
    ) -> None:
        self._kernel = kernel
        self._jobs = jobs
        self._approvals = approvals
        self._payloads = payloads
        self._hints = hints
        self._clock = clock

    async def verify(self, view: JobView, approval: ApprovalView) -> None:
        """ApprovalStalePolicy unless the kernel, asked now about the whole job, holds it exactly as was shown."""
        if view.admission is None:
            raise StateBroken("a held job has no admission")
        whole = await self._whole(view.job)
        fresh = await self._kernel.decide_now(whole)
        if fresh.job_hash != approval.job_hash:
            raise ApprovalStaleJob
        required = approvals_of(fresh, view.admission)
        if _decides_otherwise(fresh, required, approval):
            await self._decide_again(whole, fresh, outcome_of(view.admission))
            raise ApprovalStalePolicy

    async def _whole(self, job: Job) -> Job:
        """With its payload; Unavailable when that cannot be had: nobody releases what nobody can see."""
        payload = await self._jobs.payload(job.tenant, job.job_id)
        try:
            if payload is None:
                payload = await self._payloads.get(job.payload_digest)
        except (NotFound, Forged) as error:
            raise Unavailable("the payload cannot be had; nothing was released") from error
        return job.with_payload(payload)

    async def _decide_again(self, job: Job, fresh: Decision, outcome: Outcome | None) -> None:
        tenant, job_id = job.tenant, job.job_id
        request = Redecision(job_id, fresh, outcome=outcome, job_shape=job_shape(job))
        (state,) = await self._approvals.redecide(tenant, [request], self._clock.now_ms())
        log.info(
            "a held job was decided again",
            action="approval_redecided",
            job_id=job_id,
            trace_id=job.trace_id,
            verdict=str(fresh.verdict),
            state=str(state),
        )
        if state is not None:
            await self.announce(tenant, job_id, state, job.pool if state is State.QUEUED else None)

    async def announce(self, tenant: Tenant, job_id: JobId, state: State, pool: str | None) -> None:
        """Tell who waits that the job came to `state`, and workers of `pool` where it became ready."""
        if pool is not None:
            await self._hints.ready(tenant, [pool])
        await self._hints.changed(tenant, [job_id], state)


def _decides_otherwise(fresh: Decision, required: tuple[ApprovalRequirement, ...], approval: ApprovalView) -> bool:
    return fresh.snapshot != approval.snapshot or set(required) != set(approval.requirements)
