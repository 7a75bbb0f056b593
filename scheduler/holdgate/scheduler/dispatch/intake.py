"""Intake: from the durable log into the backlog.

What always holds: a message is acknowledged only after Redis has its job; one whose job Redis lost is told of, and
comes again; a repeated message changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import structlog
from nats.aio.msg import Msg

from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import InvalidInput, RecordNewer, Unavailable
from holdgate.kernel.ids import JOB_ID, NAME, JobId, Tenant
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.board import ReadyBoard
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.state.backlog import Backlog
from holdgate.scheduler.state.log import Envelope
from holdgate.scheduler.state.pull import PullReader

log = structlog.get_logger(__name__)

NAK_DELAY_S = 1.0
MESSAGE_ID = "Nats-Msg-Id"
_Entry = tuple[Msg, JobId]


class Intake:
    """Reads the consumer `intake` of JOBS."""

    def __init__(
        self,
        reader: PullReader,
        *,
        backlog: Backlog,
        board: ReadyBoard,
        hints: Hints,
        clock: Clock,
        on_unknown: Callable[[Tenant, JobId], bool],
    ) -> None:
        """`on_unknown` hears of jobs of the log that Redis does not have; it says whether a look found none since."""
        self._reader = reader
        self._on_unknown = on_unknown
        self._backlog = backlog
        self._board = board
        self._hints = hints
        self._clock = clock

    async def run_once(self) -> int:
        """One batch; how many messages were taken in. Waits a little when there is none."""
        by_tenant: dict[Tenant, list[_Entry]] = defaultdict(list)
        for message in await self._reader.fetch():
            tenant, job_id = message.subject.rpartition(".")[2], (message.headers or {}).get(MESSAGE_ID, "")
            if NAME.match(tenant) and JOB_ID.match(job_id):
                by_tenant[Tenant(tenant)].append((message, JobId(job_id)))
            else:
                await self._refuse(message, "unnamed")
        done = await asyncio.gather(*(self._take(tenant, entries) for tenant, entries in by_tenant.items()))
        return sum(done)

    async def stop(self) -> None:
        """Take no more; what came goes to others at once. Idempotent."""
        await self._reader.close()

    async def _refuse(self, message: Msg, code: str) -> None:
        """No code of ours wrote it, and no later read will make it an envelope. The stream keeps it for an inquiry."""
        metrics.INTAKE_REFUSED.inc()
        log.critical("the log holds a message that is no envelope", action="intake_refused", code=code)
        await message.term()

    async def _take(self, tenant: Tenant, entries: Sequence[_Entry]) -> int:
        by_id = {job_id: message for message, job_id in entries}
        try:
            pools = await self._backlog.enqueue(tenant, list(by_id), self._clock.now_ms())
            unknown = {job_id for job_id, pool in pools.items() if pool is None}
        except Unavailable as error:
            log.warning("jobs stay in the log for now", action="intake_put_off", code=error.code, jobs=len(entries))
            for message, _ in entries:
                await message.nak(delay=NAK_DELAY_S)
            return 0
        if unknown:
            await self._doubt(tenant, {job_id: by_id[job_id] for job_id in unknown})
        for message, job_id in entries:
            if job_id not in unknown:
                await message.ack()
        ready = {pool for pool in pools.values() if pool}
        for pool in ready:
            self._board.mark(pool, tenant)
        await self._hints.ready(tenant, ready)
        return len(entries) - len(unknown)

    async def _doubt(self, tenant: Tenant, messages: Mapping[JobId, Msg]) -> None:
        """Whether such a job ended only the log of endings can say: a look over both brings it back, or not.

        One that a look left out is over and forgotten, or was named there as broken."""
        log.critical("jobs of the log are not in the state store", action="intake_unknown", tenant=tenant,
                     jobs=len(messages))  # fmt: skip
        for job_id, message in messages.items():
            if (code := _fault_of(message, tenant)) is not None:
                await self._refuse(message, code)
            elif self._on_unknown(tenant, job_id):
                await message.ack()
            else:
                await message.nak(delay=NAK_DELAY_S)


def _fault_of(message: Msg, tenant: Tenant) -> str | None:
    """Why no look will ever make a job of it; None where one may."""
    try:
        envelope = Envelope.unpack(message.data)
    except RecordNewer:
        return None  # another release will
    except InvalidInput as error:
        return error.code
    return None if envelope.job.tenant == tenant else "other_tenant"
