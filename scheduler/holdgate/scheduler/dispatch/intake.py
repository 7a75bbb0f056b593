"""Intake: from the durable log into the backlog.

What always holds: a message is acknowledged only after Redis has its job; a job that Redis lost is restored from its
envelope; a repeated message changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

import structlog
from nats.aio.msg import Msg

from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import InvalidInput, Unavailable
from holdgate.kernel.ids import JobId, Tenant
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.board import ReadyBoard
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.state.backlog import Backlog
from holdgate.scheduler.state.jobs import Jobs, Submission
from holdgate.scheduler.state.log import Envelope
from holdgate.scheduler.state.pull import PullReader

log = structlog.get_logger(__name__)

NAK_DELAY_S = 1.0
_Entry = tuple[Msg, Envelope]


class Intake:
    """Reads the consumer `intake` of JOBS."""

    def __init__(
        self, reader: PullReader, *, jobs: Jobs, backlog: Backlog, board: ReadyBoard, hints: Hints, clock: Clock
    ) -> None:
        self._reader = reader
        self._jobs = jobs
        self._backlog = backlog
        self._board = board
        self._hints = hints
        self._clock = clock

    async def run_once(self) -> int:
        """One batch; how many messages were taken in. Waits a little when there is none."""
        by_tenant: dict[Tenant, list[_Entry]] = defaultdict(list)
        for message in await self._reader.fetch():
            envelope = await self._open(message)
            if envelope is not None:
                by_tenant[envelope.job.tenant].append((message, envelope))
        done = await asyncio.gather(*(self._take(tenant, entries) for tenant, entries in by_tenant.items()))
        return sum(done)

    async def stop(self) -> None:
        """Let go of the consumer; idempotent."""
        await self._reader.unbind()

    async def _open(self, message: Msg) -> Envelope | None:
        try:
            return Envelope.unpack(message.data)
        except InvalidInput as error:
            # No code of ours wrote it, and no later read will make it an envelope. The stream keeps it for an inquiry.
            metrics.INTAKE_REFUSED.inc()
            log.critical("the log holds a message that is no envelope", action="intake_refused", code=error.code)
            await message.term()
            return None

    async def _take(self, tenant: Tenant, entries: Sequence[_Entry]) -> int:
        by_id = {envelope.job.job_id: envelope for _, envelope in entries}
        try:
            pools = await self._backlog.enqueue(tenant, list(by_id), self._clock.now_ms())
            unknown = [by_id[job_id] for job_id, pool in pools.items() if pool is None]
            restored = await self._restore(tenant, unknown) if unknown else {}
        except Unavailable as error:
            log.warning("jobs stay in the log for now", action="intake_put_off", code=error.code, jobs=len(entries))
            for message, _ in entries:
                await message.nak(delay=NAK_DELAY_S)
            return 0
        for message, _ in entries:
            await message.ack()
        ready = {pool for pool in (*pools.values(), *restored.values()) if pool}
        for pool in ready:
            self._board.mark(pool, tenant)
        await self._hints.ready(tenant, ready)
        return len(entries)

    async def _restore(self, tenant: Tenant, envelopes: Sequence[Envelope]) -> Mapping[JobId, str | None]:
        now_ms = self._clock.now_ms()
        log.critical("jobs of the log are not in the state store: restoring", action="intake_restore",
                     tenant=tenant, jobs=len(envelopes))  # fmt: skip
        for envelope in envelopes:
            submission = Submission(
                job=envelope.job,
                decision=envelope.decision,
                admission=envelope.admission,
                initial=envelope.state,
                fail_open=envelope.fail_open,
            )
            await self._jobs.restore(submission, now_ms)
        metrics.INTAKE_RESTORED.inc(len(envelopes))
        return await self._backlog.enqueue(tenant, [envelope.job.job_id for envelope in envelopes], now_ms)
