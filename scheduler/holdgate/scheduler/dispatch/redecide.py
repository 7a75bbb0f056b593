"""Held jobs are decided again when the policy changed: votes given under another policy release nothing.

What always holds: the kernel is asked afresh; deny ends the job, allow queues it, a hold under the new policy opens a
new approval in place of the old one. A job whose decision could not be had stays held, and is tried again.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Unavailable
from holdgate.kernel.ids import JobId, Tenant
from holdgate.kernel.records import Phase
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.board import ReadyBoard
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.gates.dispatch import Payloads, outcome_of
from holdgate.scheduler.state.approvals import Approvals, Redecision
from holdgate.scheduler.state.jobs import Jobs, JobView
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)

BATCH = 128
BATCHES_MAX = 64
"""A run ends here even if more is left; the next one goes on."""


class Redecider:
    """`run_once` looks at every tenant's pending approvals under another snapshot than the one in force."""

    def __init__(
        self,
        *,
        kernel: KernelClient,
        jobs: Jobs,
        approvals: Approvals,
        payloads: Payloads,
        board: ReadyBoard,
        hints: Hints,
        clock: Clock,
    ) -> None:
        self._kernel = kernel
        self._jobs = jobs
        self._approvals = approvals
        self._payloads = payloads
        self._board = board
        self._hints = hints
        self._clock = clock

    async def run_once(self) -> int:
        """How many jobs were decided again. KernelUnavailable: the rest waits for the next run."""
        info = self._kernel.snapshot
        if info is None or not info.policy:
            return 0  # without a policy everything is denied: that must not end jobs that people are looking at
        decided = 0
        for tenant in await self._jobs.tenants():
            for _ in range(BATCHES_MAX):
                stale = await self._approvals.list_other_snapshots(tenant, info.snapshot, BATCH)
                changed = await self._decide_again(tenant, [view.job_id for view in stale]) if stale else 0
                decided += changed
                if changed == 0 or len(stale) < BATCH:
                    break
        return decided

    async def _decide_again(self, tenant: Tenant, job_ids: list[JobId]) -> int:
        views = [view for view in await self._jobs.get_many(tenant, job_ids) if view is not None]
        ready = [view for view in await asyncio.gather(*map(self._with_payload, views)) if view is not None]
        if not ready:
            return 0
        jobs = [view.job for view in ready]
        decisions = await self._kernel.decide_fresh(jobs, Phase.SUBMIT)
        requests = [
            Redecision(
                job_id=view.job.job_id,
                decision=decision,
                outcome=None if view.admission is None else outcome_of(view.admission),
            )
            for view, decision in zip(ready, decisions, strict=True)
        ]
        states = await self._approvals.redecide(tenant, requests, self._clock.now_ms())
        for view, request, state in zip(ready, requests, states, strict=True):
            if state is None:
                continue
            metrics.REDECIDED.labels(str(request.decision.verdict)).inc()
            log.info("a held job was decided again", action="redecided", job_id=view.job.job_id, state=str(state))
            await self._hints.changed(tenant, [view.job.job_id], state)
            if state is State.QUEUED:
                self._board.mark(view.job.pool, tenant)
                await self._hints.ready(tenant, [view.job.pool])
        return sum(state is not None for state in states)

    async def _with_payload(self, view: JobView) -> JobView | None:
        """The job as the submitter sent it; None when its payload cannot be had now."""
        payload = await self._jobs.payload(view.job.tenant, view.job.job_id)
        try:
            if payload is None:
                payload = await self._payloads.get(view.job.payload_digest)
        except Unavailable as error:
            log.warning("a payload cannot be read now", action="redecide_put_off",
                        job_id=view.job.job_id, code=error.code)  # fmt: skip
            return None
        return replace(view, job=view.job.with_payload(payload))
