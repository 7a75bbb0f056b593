"""The approval gate: a person releases or rejects exactly the job and the policy that they were shown.

What always holds: before a release the kernel is asked afresh, never a cache; a release under a policy that is no
longer in force is refused, and the job is decided again; nobody votes on their own job or on one made in their name; a
vote is signed for the approver that the API authenticated, and releases one attempt. A rejection needs no kernel:
saying no is always possible.
"""

from __future__ import annotations

import structlog

from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Forged, Unavailable
from holdgate.kernel.ids import JobId, Tenant
from holdgate.kernel.permits import Signer, seal
from holdgate.kernel.records import ApprovalRequirement, Decision, Job, Outcome, Phase, Vote
from holdgate.scheduler.errors import ApprovalStaleJob, ApprovalStalePolicy, NotFound, StateBroken
from holdgate.scheduler.gates.approval.checks import (
    Approver,
    Shown,
    verify_may_vote,
    verify_pending,
    verify_reason,
)
from holdgate.scheduler.gates.dispatch import approvals_of, outcome_of
from holdgate.scheduler.gates.hints import Hints
from holdgate.scheduler.state.approvals import Approvals, ApprovalView, Redecision, VoteRequest, VoteResult
from holdgate.scheduler.state.jobs import Jobs, JobView
from holdgate.scheduler.state.log import PayloadStore
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger("holdgate.gates.approval")


class ApprovalGate:
    """Takes votes. One per api process."""

    def __init__(
        self,
        *,
        kernel: KernelClient,
        jobs: Jobs,
        approvals: Approvals,
        payloads: PayloadStore,
        signer: Signer,
        hints: Hints,
        clock: Clock,
    ) -> None:
        self._kernel = kernel
        self._jobs = jobs
        self._approvals = approvals
        self._payloads = payloads
        self._signer = signer
        self._hints = hints
        self._clock = clock

    async def approve(self, approver: Approver, job_id: JobId, shown: Shown, reason: str) -> VoteResult:
        """Vote yes. The errors of `errors.APPROVAL_ERRORS`; Unavailable (no kernel, no policy,
        no payload): nothing changed."""
        verify_reason(reason)
        approval = await self._open_to(approver, job_id, shown)
        view = await self._jobs.require(approver.tenant, job_id)
        await self._verify_still_held(view, approval)
        result = await self._vote(approver, approval, view, reason, approve=True)
        await self._announce(approver.tenant, job_id, result.state, result.pool)
        return result

    async def reject(self, approver: Approver, job_id: JobId, shown: Shown, reason: str) -> VoteResult:
        """Vote no; one no ends it. The errors of `errors.APPROVAL_ERRORS`."""
        verify_reason(reason)
        approval = await self._open_to(approver, job_id, shown)
        view = await self._jobs.require(approver.tenant, job_id)
        result = await self._vote(approver, approval, view, reason, approve=False)
        await self._announce(approver.tenant, job_id, result.state, None)
        return result

    async def defer(self, approver: Approver, job_id: JobId, until_ms: int, reason: str) -> ApprovalView:
        """Look at it again at `until_ms`; who may vote and when it expires stay. The errors of a vote."""
        verify_reason(reason)
        await self.require_open(approver, job_id)
        return await self._approvals.defer(
            approver.tenant, job_id, by=approver.actor, until_ms=until_ms, reason=reason, now_ms=self._clock.now_ms()
        )

    async def require_open(self, approver: Approver, job_id: JobId) -> ApprovalView:
        """The pending approval that this approver may act on; the errors of `errors.APPROVAL_ERRORS`."""
        approval = await self._approvals.require(approver.tenant, job_id)
        verify_pending(approval, self._clock.now_ms())
        verify_may_vote(approver, approval, self._clock.now_ms())
        return approval

    async def _open_to(self, approver: Approver, job_id: JobId, shown: Shown) -> ApprovalView:
        approval = await self.require_open(approver, job_id)
        if shown.job_hash != approval.job_hash:
            raise ApprovalStaleJob
        if shown.snapshot != approval.snapshot:
            raise ApprovalStalePolicy
        return approval

    async def _verify_still_held(self, view: JobView, approval: ApprovalView) -> None:
        """ApprovalStalePolicy unless the kernel, asked now about the whole job, holds it exactly as was shown."""
        if view.admission is None:
            raise StateBroken("a held job has no admission")
        (fresh,) = await self._kernel.decide_fresh([await self._whole(view.job)], Phase.SUBMIT)
        if fresh.job_hash != approval.job_hash:
            raise ApprovalStaleJob
        required = approvals_of(fresh, view.admission)
        if _decides_otherwise(fresh, required, approval):
            await self._decide_again(view, fresh, outcome_of(view.admission))
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

    async def _decide_again(self, view: JobView, fresh: Decision, outcome: Outcome | None) -> None:
        tenant, job_id = view.job.tenant, view.job.job_id
        request = Redecision(job_id, fresh, outcome=outcome)
        (state,) = await self._approvals.redecide(tenant, [request], self._clock.now_ms())
        log.info(
            "a held job was decided again",
            action="approval_redecided",
            job_id=job_id,
            trace_id=view.job.trace_id,
            verdict=str(fresh.verdict),
            state=str(state),
        )
        if state is not None:
            await self._announce(tenant, job_id, state, view.job.pool if state is State.QUEUED else None)

    async def _vote(
        self, approver: Approver, approval: ApprovalView, view: JobView, reason: str, *, approve: bool
    ) -> VoteResult:
        now_ms = self._clock.now_ms()
        vote = Vote(
            job_id=approval.job_id,
            job_hash=approval.job_hash,
            snapshot=approval.snapshot,
            tenant=approver.tenant,
            approver=approver.actor,
            roles=approver.roles,
            approve=approve,
            reason=reason,
            attempt=view.attempt + 1,
            issued_ms=now_ms,
            expires_ms=_vote_expires_ms(approval, view.job, now_ms),
        )
        request = VoteRequest(
            job_id=approval.job_id,
            approver=approver.actor,
            roles=approver.roles,
            approve=approve,
            reason=reason,
            job_hash=approval.job_hash,
            snapshot=approval.snapshot,
            fresh=approval.snapshot,
            signed=seal(vote, self._signer),
        )
        return await self._approvals.vote(approver.tenant, request, now_ms)

    async def _announce(self, tenant: Tenant, job_id: JobId, state: State, pool: str | None) -> None:
        if pool is not None:
            await self._hints.ready(tenant, [pool])
        await self._hints.changed(tenant, [job_id], state)


def _decides_otherwise(fresh: Decision, required: tuple[ApprovalRequirement, ...], approval: ApprovalView) -> bool:
    return fresh.snapshot != approval.snapshot or set(required) != set(approval.requirements)


def _vote_expires_ms(approval: ApprovalView, job: Job, now_ms: int) -> int:
    """A release holds as long as the rule gives approvers, counted from when the job could run."""
    lifetime_s = min((item.expires_s for item in approval.requirements), default=0)
    return max(now_ms, job.run_at_ms or 0) + lifetime_s * 1000
