"""The reaper: everything that happens because time passed.

    reservations of a dispatcher that is gone   back into the backlog
    leases that were not renewed                next attempt, or dead-letter list, timed out, cancelled
    deadlines                                   expired
    scheduled and delayed jobs that are due     queued
    approvals past their end                    expired, `approval_expired`
    accepted jobs that never reached the log    published

Leases are not taken back while heartbeats could not arrive (see grace). Nothing expires while the state store may
have been set back: whether it happened in time is not known yet.

What always holds: each is one script that checks what it finds, so any number of reapers may run; each batch is
bounded, so one tenant's flood does not keep the others waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Unavailable
from holdgate.kernel.ids import Entropy, JobId, Tenant
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.board import ReadyBoard
from holdgate.scheduler.dispatch.grace import Grace
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.gates.retry import delay_ms
from holdgate.scheduler.state.approvals import Approvals
from holdgate.scheduler.state.backlog import Backlog
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.leases import ExpiredLease, Leases
from holdgate.scheduler.state.log import Envelope, JobLog
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)

BATCH = 256
PROMOTE_BATCHES_MAX = 16
TENANTS_AT_ONCE = 16
LEASE_LOST = "lease_lost"
OVER_TIME = "max_runtime_exceeded"


@dataclass(frozen=True, slots=True)
class ReaperState:
    """What the reaper works on. `is_whole`: whether the store is known to have all that was told."""

    jobs: Jobs
    backlog: Backlog
    leases: Leases
    approvals: Approvals
    is_whole: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Ending:
    """Where an expired lease leads."""

    to_state: State
    code: str
    is_retry: bool = False


def ending_of(lease: ExpiredLease) -> Ending:
    """Cancelled if that was asked for; the next attempt if one is left; otherwise the dead-letter list."""
    code = OVER_TIME if lease.over_time else LEASE_LOST
    if lease.cancel_requested:
        return Ending(State.CANCELLED, "cancelled")
    if lease.attempt < lease.attempts_max:
        return Ending(State.QUEUED, code, is_retry=True)
    return Ending(State.TIMED_OUT if lease.over_time else State.FAILED, code)


class Reaper:
    """`run_once` looks at every tenant once."""

    def __init__(
        self,
        state: ReaperState,
        job_log: JobLog,
        *,
        board: ReadyBoard,
        hints: Hints,
        clock: Clock,
        entropy: Entropy,
        outbox_age_ms: int,
        grace: Grace,
    ) -> None:
        self._state = state
        self._job_log = job_log
        self._board = board
        self._hints = hints
        self._clock = clock
        self._entropy = entropy
        self._outbox_age_ms = outbox_age_ms
        self._grace = grace

    async def run_once(self) -> None:
        """All duties for all tenants. The first failure is raised after every tenant had its turn."""
        try:
            await self._reap_all()
        except BaseException:
            self._grace.disturb()
            raise

    async def _reap_all(self) -> None:
        may_reclaim = self._grace.is_over()
        tenants = await self._state.jobs.tenants()
        failures: list[BaseException] = []
        for start in range(0, len(tenants), TENANTS_AT_ONCE):
            results = await asyncio.gather(
                *(self.reap(tenant, may_reclaim=may_reclaim) for tenant in tenants[start : start + TENANTS_AT_ONCE]),
                return_exceptions=True,
            )
            failures += [result for result in results if isinstance(result, BaseException)]
        if failures:
            raise failures[0]

    async def reap(self, tenant: Tenant, *, may_reclaim: bool = True) -> None:
        """All duties for one tenant; expired leases stay where they are unless `may_reclaim`."""
        now_ms = self._clock.now_ms()
        state = self._state
        if not await state.jobs.has_due(tenant, now_ms, now_ms - self._outbox_age_ms):
            return  # one question in place of six, for each of a thousand tenants, twice a second
        released, due, (overdue, unanswered), leases, unlogged = await asyncio.gather(
            state.backlog.release_reservations(tenant, now_ms, BATCH),
            self._promote(tenant, now_ms),
            self._expire(tenant, now_ms),
            state.leases.expired(tenant, now_ms, BATCH),
            state.jobs.outbox_due(tenant, now_ms - self._outbox_age_ms, BATCH),
        )
        await self._say_ready(tenant, released.values())
        await self._say_ready(tenant, due.values())
        for ended in (overdue, unanswered):
            metrics.JOBS.labels("expired").inc(len(ended))
            await self._hints.changed(tenant, ended, State.EXPIRED)
        if may_reclaim:
            await asyncio.gather(*(self._reclaim(tenant, lease, now_ms) for lease in leases))
        if unlogged:
            await self._publish(tenant, unlogged)

    async def _expire(self, tenant: Tenant, now_ms: int) -> tuple[list[JobId], list[JobId]]:
        """Jobs past their deadline, and those that nobody voted on in time."""
        if not self._state.is_whole():
            return [], []
        return await asyncio.gather(
            self._state.backlog.expire_deadlines(tenant, now_ms, BATCH),
            self._state.approvals.expire(tenant, now_ms, BATCH),
        )

    async def _promote(self, tenant: Tenant, now_ms: int) -> dict[JobId, str]:
        """All that is due, or as much as one run may move: jobs put off together come back together."""
        promoted: dict[JobId, str] = {}
        for _ in range(PROMOTE_BATCHES_MAX):
            part = await self._state.backlog.promote_due(tenant, now_ms, BATCH)
            promoted.update(part)
            if len(part) < BATCH:
                break
        return promoted

    async def _say_ready(self, tenant: Tenant, pools: Iterable[str]) -> None:
        ready = {pool for pool in pools if pool}
        for pool in ready:
            self._board.mark(pool, tenant)
        await self._hints.ready(tenant, ready)

    async def _reclaim(self, tenant: Tenant, lease: ExpiredLease, now_ms: int) -> None:
        ending = ending_of(lease)
        retry_at_ms = now_ms + delay_ms(lease.attempt - lease.left_out, self._entropy) if ending.is_retry else None
        changed = await self._state.leases.reclaim(
            tenant, lease, to_state=ending.to_state, code=ending.code, retry_at_ms=retry_at_ms, now_ms=now_ms
        )
        if not changed:
            return
        metrics.LEASES_EXPIRED.labels(str(ending.to_state)).inc()
        metrics.JOBS.labels(str(ending.to_state)).inc()
        log.warning("a lease ended without a result", action="lease_expired", job_id=lease.job_id,
                    attempt=lease.attempt, worker=lease.worker, state=str(ending.to_state))  # fmt: skip
        await self._hints.changed(tenant, [lease.job_id], ending.to_state)

    async def _publish(self, tenant: Tenant, job_ids: list[JobId]) -> None:
        """Make up for publishes whose confirmation was lost. What is in the log already is a repeat."""
        for job_id in job_ids:
            envelope = await self._envelope(tenant, job_id)
            if envelope is None:
                continue
            try:
                await self._job_log.publish(envelope)
            except Unavailable as error:
                log.warning("the log does not take jobs", action="outbox_put_off", code=error.code, jobs=len(job_ids))
                return
            metrics.OUTBOX_REPUBLISHED.inc()

    async def _envelope(self, tenant: Tenant, job_id: JobId) -> Envelope | None:
        """None where there is nothing to publish, or nothing that can be read: that must not keep the others."""
        try:
            view = await self._state.jobs.get(tenant, job_id)
        except StateBroken:
            metrics.DUTY_FAILURES.labels("reaper").inc()
            log.critical("a job cannot be read", action="state_broken", tenant=tenant, job_id=job_id)
            return None
        if view is None or view.admission is None:
            return None
        return Envelope.of(view, await self._state.jobs.payload(tenant, job_id))
