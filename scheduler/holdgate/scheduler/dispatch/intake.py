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
from holdgate.kernel.ids import JOB_ID, NAME, JobId, Tenant
from holdgate.kernel.records import Outcome
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.board import ReadyBoard
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.gates.custody import outcome_of
from holdgate.scheduler.state.backlog import Backlog
from holdgate.scheduler.state.entry import Submission
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.log import Envelope
from holdgate.scheduler.state.pull import PullReader
from holdgate.scheduler.state.transitions import TERMINAL, State

log = structlog.get_logger(__name__)

NAK_DELAY_S = 1.0
BROKEN_DELAY_S = 60.0
"""A message that the state store cannot take, for a reason of its own: looked at again, for an operator may mend it."""
MESSAGE_ID = "Nats-Msg-Id"
_Entry = tuple[Msg, JobId]


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
            unknown = [by_id[job_id] for job_id, pool in pools.items() if pool is None]
            restored = await self._restore(tenant, unknown) if unknown else {}
        except Unavailable as error:
            log.warning("jobs stay in the log for now", action="intake_put_off", code=error.code, jobs=len(entries))
            for message, _ in entries:
                await message.nak(delay=NAK_DELAY_S)
            return 0
        for message, _ in entries:
            if not message.is_acked:
                await message.ack()
        ready = {pool for pool in (*pools.values(), *restored.values()) if pool}
        for pool in ready:
            self._board.mark(pool, tenant)
        await self._hints.ready(tenant, ready)
        return len(entries)

    async def _restore(self, tenant: Tenant, messages: Sequence[Msg]) -> Mapping[JobId, str | None]:
        now_ms = self._clock.now_ms()
        log.critical("jobs of the log are not in the state store: restoring", action="intake_restore",
                     tenant=tenant, jobs=len(messages))  # fmt: skip
        job_ids: list[JobId] = []
        for message in messages:
            try:
                envelope = Envelope.unpack(message.data)
            except InvalidInput as error:
                await self._refuse(message, error.code)
                continue
            if envelope.job.tenant != tenant:
                await self._refuse(message, "other_tenant")
                continue
            if envelope.state not in TERMINAL and await self._let_in(message, envelope, now_ms):
                job_ids.append(envelope.job.job_id)
        metrics.INTAKE_RESTORED.inc(len(job_ids))
        return await self._backlog.enqueue(tenant, job_ids, now_ms)

    async def _let_in(self, message: Msg, envelope: Envelope, now_ms: int) -> bool:
        """Whether the job is back. One that cannot be let in must not keep the others of its batch."""
        submission = Submission(
            job=envelope.job,
            decision=envelope.decision,
            admission=envelope.admission,
            initial=_initial(envelope, now_ms),
            fail_open=envelope.fail_open,
        )
        try:
            await self._jobs.restore(submission, now_ms)
        except StateBroken as error:
            metrics.DUTY_FAILURES.labels("intake").inc()
            log.critical("a job of the log cannot be restored", action="restore_failed",
                         job_id=envelope.job.job_id, error=str(error))  # fmt: skip
            await message.nak(delay=BROKEN_DELAY_S)
            return False
        return True


def _initial(envelope: Envelope, now_ms: int) -> State:
    """How the job enters again. Its admission says it, not the state: that of a published repeat is a later one."""
    if outcome_of(envelope.admission) is Outcome.HELD:
        return State.HELD
    return State.SCHEDULED if (envelope.job.run_at_ms or 0) > now_ms else State.ACCEPTED
