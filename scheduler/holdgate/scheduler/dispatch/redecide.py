"""Held jobs are decided again when the policy changed: votes given under another policy release nothing.

What always holds: the kernel is asked afresh; deny ends the job, allow queues it, a hold under the new policy opens a
new approval in place of the old one. A job whose decision could not be had, also for want of a policy, stays held, and
is tried again. One that is broken is denied as such and keeps nobody else waiting.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

import structlog

from holdgate.kernel.client import KernelClient, KernelRefused
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Forged, InvalidInput, NoPolicy, Unavailable
from holdgate.kernel.ids import Digest, Tenant
from holdgate.kernel.records import Decision, Phase
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.board import ReadyBoard
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.errors import NotFound, StateBroken
from holdgate.scheduler.gates.custody import CUSTODY_BROKEN, custody_denial, outcome_of
from holdgate.scheduler.gates.dispatch import Payloads
from holdgate.scheduler.state.approvals import Approvals, ApprovalView, Redecision, job_shape
from holdgate.scheduler.state.backlog import Backlog
from holdgate.scheduler.state.jobs import Jobs, JobView
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)

BATCH = 128
FULL_PASS_S = 60.0
"""Between two looks at everything that is held while the policy stays: for what was put off, or came in between."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A held job with its payload, and the approval that it waits for."""

    approval: ApprovalView
    view: JobView


class Redecider:
    """`run_once` looks at every tenant's pending approvals under another snapshot than the one in force."""

    def __init__(
        self,
        *,
        kernel: KernelClient,
        jobs: Jobs,
        approvals: Approvals,
        backlog: Backlog,
        payloads: Payloads,
        board: ReadyBoard,
        hints: Hints,
        clock: Clock,
    ) -> None:
        self._kernel = kernel
        self._jobs = jobs
        self._approvals = approvals
        self._backlog = backlog
        self._payloads = payloads
        self._board = board
        self._hints = hints
        self._clock = clock
        self._done_for: Digest | None = None
        self._done_s = 0.0

    async def run_once(self) -> int:
        """How many jobs were decided again. KernelUnavailable: the rest waits for the next run.

        Nothing is read while the snapshot is the one of the last whole pass, and that pass is not long ago.
        """
        info = self._kernel.snapshot
        if info is None or not info.policy:
            return 0  # without a policy everything is denied: that must not end jobs that people are looking at
        began_s = time.monotonic()
        if info.snapshot == self._done_for and began_s - self._done_s < FULL_PASS_S:
            return 0
        decided = 0
        # A page of each tenant in turn, so that one with many held jobs does not keep the others under an old policy.
        cursors: dict[Tenant, str | None] = dict.fromkeys(await self._jobs.tenants())
        while cursors:
            for tenant in list(cursors):
                now = self._kernel.snapshot
                if now is None or now.snapshot != info.snapshot:
                    return decided  # changed again: the next run begins anew
                try:
                    changed, cursor = await self._page(tenant, info.snapshot, cursors.pop(tenant))
                except NoPolicy:
                    return decided
                except StateBroken as error:
                    # This tenant's list cannot be read: that must not keep the others' jobs under an old policy.
                    metrics.DUTY_FAILURES.labels("redecide").inc()
                    log.critical("held jobs cannot be read", action="state_broken", tenant=tenant, error=str(error))
                    continue
                decided += changed
                if cursor is not None:
                    cursors[tenant] = cursor
        self._done_for, self._done_s = info.snapshot, began_s
        return decided

    async def _page(self, tenant: Tenant, snapshot: Digest, cursor: str | None) -> tuple[int, str | None]:
        """How many were decided again of one page of held jobs, and where the next page begins."""
        views, following = await self._approvals.list_pending(tenant, BATCH, cursor)
        stale = [view for view in views if view.snapshot != snapshot]
        return (await self._decide_again(tenant, stale) if stale else 0), following

    async def _decide_again(self, tenant: Tenant, stale: list[ApprovalView]) -> int:
        loaded = await asyncio.gather(*(self._load(tenant, approval) for approval in stale))
        whole = [item for item in loaded if isinstance(item, _Held)]
        requests = [item for item in loaded if isinstance(item, Redecision)]
        requests += [request for request in await self._decide(whole) if request is not None]
        states = await self._approvals.redecide(tenant, requests, self._clock.now_ms())
        for request, state in zip(requests, states, strict=True):
            if state is not None:
                await self._tell(tenant, request, state)
        pools = {item.view.job.job_id: item.view.job.pool for item in whole}
        for pool in {
            pools[request.job_id] for request, state in zip(requests, states, strict=True) if state is State.QUEUED
        }:
            self._board.mark(pool, tenant)
            await self._hints.ready(tenant, [pool])
        return sum(state is not None for state in states)

    async def _tell(self, tenant: Tenant, request: Redecision, state: State) -> None:
        metrics.REDECIDED.labels(str(request.decision.verdict)).inc()
        log.info("a held job was decided again", action="redecided", job_id=request.job_id, state=str(state))
        await self._hints.changed(tenant, [request.job_id], state)

    async def _decide(self, held: list[_Held]) -> list[Redecision | None]:
        """The kernel's word on each; None where it would not answer for that one."""
        if not held:
            return []
        try:
            decisions = await self._kernel.decide_fresh([item.view.job for item in held], Phase.SUBMIT)
        except InvalidInput as error:
            if len(held) > 1:  # one that is refused must not keep the others
                return [request for item in held for request in await self._decide([item])]
            (item,) = held
            if isinstance(error, KernelRefused) and error.refusal.startswith("forged"):
                return [self._broken(item.approval, error.refusal)]
            log.warning("the kernel refused a held job", action="redecide_put_off",
                        job_id=item.approval.job_id, code=error.code)  # fmt: skip
            return [None]
        return [self._redecision(item, decision) for item, decision in zip(held, decisions, strict=True)]

    def _redecision(self, item: _Held, decision: Decision) -> Redecision:
        if decision.job_hash != item.approval.job_hash:
            return self._broken(item.approval, "the record is not the one that was shown")
        admission = item.view.admission
        outcome = None if admission is None else outcome_of(admission)
        return Redecision(item.approval.job_id, decision, outcome=outcome, job_shape=job_shape(item.view.job))

    def _broken(self, approval: ApprovalView, why: str) -> Redecision:
        metrics.CUSTODY_BROKEN.inc()
        log.critical("a held job is not what the api signed", action=CUSTODY_BROKEN, job_id=approval.job_id, why=why)
        denial = custody_denial(approval.snapshot, approval.job_hash, why, self._clock.now_ms())
        return Redecision(approval.job_id, denial, code=CUSTODY_BROKEN)

    async def _lose_payload(self, tenant: Tenant, approval: ApprovalView) -> None:
        """No store has it any more: the job ends, and says why."""
        try:
            is_over = await self._backlog.lose_payload(tenant, approval.job_id, "", self._clock.now_ms())
        except (Unavailable, StateBroken) as error:
            log.warning("a held job cannot be ended now", action="redecide_put_off",
                        job_id=approval.job_id, code=error.code)  # fmt: skip
            return
        if is_over:
            metrics.JOBS.labels("failed").inc()
            log.error("the payload of a held job is lost", action="payload_lost", tenant=tenant,
                      job_id=approval.job_id)  # fmt: skip
            await self._hints.changed(tenant, [approval.job_id], State.FAILED)

    async def _load(self, tenant: Tenant, approval: ApprovalView) -> _Held | Redecision | None:
        """The job as the submitter sent it; its end where it cannot be had any more; None when it cannot be now."""
        try:
            view = await self._jobs.get(tenant, approval.job_id)
            if view is None:
                return None
            payload = await self._jobs.payload(tenant, approval.job_id)
            if payload is None:
                payload = await self._payloads.get(view.job.payload_digest)
        except NotFound:
            await self._lose_payload(tenant, approval)
            return None
        except Forged as error:
            return self._broken(approval, f"its payload cannot be had: {error.code}")
        except (Unavailable, StateBroken) as error:
            log.warning("a held job cannot be read now", action="redecide_put_off",
                        job_id=approval.job_id, code=error.code)  # fmt: skip
            return None
        return _Held(approval, replace(view, job=view.job.with_payload(payload)))
