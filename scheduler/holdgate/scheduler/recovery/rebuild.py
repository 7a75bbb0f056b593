"""The state store made again from the log: endings first, then the jobs.

    ENDED, from its beginning   what the state does not know of is noted: where the newest ending of each job lies
    JOBS, from its beginning    a job that is not there comes back: as it ended, or as it was let in
    what stays noted            jobs that are there, and were set back to before their end, end again

What always holds: no job is let in before it is known whether it ended; a job that is there and as far as the log is
not touched; one message that cannot be read keeps nothing else from coming back; what lies in memory is bounded, except
where only looked at, when the ids of what is missing are.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import structlog

from holdgate.kernel import subjects
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import JOB_ID, NAME, JobId, Tenant
from holdgate.kernel.records import Outcome
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.gates.custody import outcome_of
from holdgate.scheduler.recovery.drift import Drift, Kind
from holdgate.scheduler.recovery.parts import RecoveryParts
from holdgate.scheduler.recovery.reading import Extent, Message, get_message, patiently, read_stream
from holdgate.scheduler.state.backlog import Backlog
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.endings import Ending, EndingLog, Mark, MarkKind, read_entry
from holdgate.scheduler.state.entry import attempts_max
from holdgate.scheduler.state.log import Envelope
from holdgate.scheduler.state.restoring import FORGOTTEN, Found, Known, Restoring, Return
from holdgate.scheduler.state.transitions import TERMINAL, State

log = structlog.get_logger(__name__)

OUTCOME_UNKNOWN = "outcome_unknown"
"""Code of a job of which nobody can say any more whether it ended: it is not run again by itself."""
MESSAGE_ID = "Nats-Msg-Id"
SEQ_JUMP_MAX = 2**32
"""Between what is known of a tenant's events and what an ending says: more do not happen within the age of the log, and
a number once believed is never given back."""
BASELINE_AGES = 4
"""What the log of endings says of itself is said again when so much of its age is over."""
SOON_FORGOTTEN_MS = 600_000
"""Endings that are over by then are taken as such: retention may come while a look is under way."""


class Rebuild:
    """One pass. `drift` is filled as it goes."""

    def __init__(
        self, parts: RecoveryParts, drift: Drift, ending_log: EndingLog, baseline_ms: int | None = None
    ) -> None:
        """`baseline_ms`: where an earlier look knew already that the log has the end of every job that ended."""
        self._parts = parts
        self._drift = drift
        self._log = ending_log
        self._restoring = Restoring(parts.scripts)
        self._backlog = Backlog(parts.scripts)
        self._noted: dict[Tenant, dict[JobId, tuple[int, int]]] = defaultdict(dict)
        """Where nothing is written."""
        self._losses = 0
        self._has_marked = False
        self._baseline_ms = baseline_ms
        self._from_seq: dict[Tenant, int] = {}
        self.last_seqs: dict[Tenant, int] = {}
        """The newest event of each tenant that the log of endings knows."""
        self.returned: Counter[Tenant] = Counter()

    @property
    def has_baseline(self) -> bool:
        """Whether the log has the end of every job that ended."""
        return self._baseline_ms is not None

    @property
    def misses_ends(self) -> bool:
        """Whether ends of jobs that are kept are not known. Of a pass that writes nothing."""
        return any(place != FORGOTTEN for noted in self._noted.values() for _, place in noted.values())

    def is_baseline_old(self, max_age_s: float) -> bool:
        """Whether it is to be said again that it has, before the log forgets that, and how often the state was lost."""
        age_ms = self._parts.clock.now_ms() - (self._baseline_ms or 0)
        return max_age_s > 0 and abs(age_ms) > max_age_s * 1000 / BASELINE_AGES

    async def mark_baseline(self) -> None:
        """The log has the end of every job that ended. LogUnavailable."""
        await self._log.mark(Mark(MarkKind.BASELINE, self._parts.clock.now_ms(), self._losses))

    async def read_endings(self, extent: Extent) -> None:
        """Note what the state does not know of."""
        async for batch in read_stream(
            self._parts.nc, subjects.STREAM_ENDED, extent, self._parts.pause, self._parts.wait
        ):
            newest: dict[Tenant, dict[JobId, tuple[Ending, int]]] = defaultdict(dict)
            for message in batch:
                ending = self._ending_of(message)
                if ending is None or not await self._is_believable(ending, message):
                    continue
                known = newest[ending.tenant].get(ending.job_id)
                if known is None or known[0].seq <= ending.seq:
                    newest[ending.tenant][ending.job_id] = ending, message.seq
                self.last_seqs[ending.tenant] = max(self.last_seqs.get(ending.tenant, 0), ending.seq)
            await asyncio.gather(*(self._note(tenant, list(some.values())) for tenant, some in newest.items()))
            if batch:
                self._parts.on_progress("endings", batch[-1].seq - extent.first + 1, extent.size)

    async def read_jobs(self, extent: Extent) -> None:
        """Bring back what is not there, and end what was set back."""
        async for batch in read_stream(
            self._parts.nc, subjects.STREAM_JOBS, extent, self._parts.pause, self._parts.wait
        ):
            by_tenant: dict[Tenant, dict[JobId, Message]] = defaultdict(dict)
            for message in batch:
                tenant, job_id = message.subject.rpartition(".")[2], message.headers.get(MESSAGE_ID, "")
                if NAME.match(tenant) and JOB_ID.match(job_id):
                    by_tenant[Tenant(tenant)][JobId(job_id)] = message
                else:
                    self._broken(message, subjects.STREAM_JOBS, "unnamed")
            await asyncio.gather(*(self._take(tenant, messages) for tenant, messages in by_tenant.items()))
            self._drift.jobs += len(batch)
            if batch:
                self._parts.on_progress("jobs", batch[-1].seq - extent.first + 1, extent.size)

    async def settle_rest(self, tenants: Sequence[Tenant]) -> None:
        """End what was set back and is not in the log of jobs any more."""
        for tenant in tenants:
            if not self._drift.mended:
                for job_id, (_, place) in list(self._noted[tenant].items()):
                    await self._settle(tenant, job_id, place)
                continue
            while noted := await self._restoring.noted(tenant):
                await asyncio.gather(*(self._settle(tenant, job_id, place) for job_id, place in noted.items()))
                await self._restoring.forget_noted(tenant, list(noted))

    async def _is_believable(self, ending: Ending, message: Message) -> bool:
        """Whether so many events may have been since the store's last, or since the first that the log has."""
        if ending.tenant not in self._from_seq:
            here = await self._parts.scripts.command("GET", key(ending.tenant, "seq"))
            self._from_seq[ending.tenant] = int(here or ending.seq)
        if ending.seq - max(self._from_seq[ending.tenant], self.last_seqs.get(ending.tenant, 0)) <= SEQ_JUMP_MAX:
            return True
        self._broken(message, subjects.STREAM_ENDED, "seq_jump")
        return False

    def _ending_of(self, message: Message) -> Ending | None:
        try:
            entry = read_entry(message.data)
            if isinstance(entry, Ending) and message.subject != subjects.ending(entry.tenant):
                raise InvalidInput("an ending of another tenant")
        except InvalidInput as error:
            self._broken(message, subjects.STREAM_ENDED, error.code)
            return None
        if isinstance(entry, Mark):
            if entry.kind is MarkKind.BASELINE:
                self._baseline_ms, self._losses = entry.at_ms, max(self._losses, entry.losses)
            else:
                self._losses += 1
            return None
        self._drift.endings += 1
        return entry

    async def _note(self, tenant: Tenant, found: Sequence[tuple[Ending, int]]) -> None:
        now_ms = self._parts.clock.now_ms()
        answers = await self._restoring.look_endings(tenant, [ending for ending, _ in found])
        places: dict[JobId, tuple[int, int]] = {}
        for (ending, place), known in zip(found, answers, strict=True):
            is_over = known is not Known.BEHIND and self._parts.is_forgotten(ending, now_ms + SOON_FORGOTTEN_MS)
            if known is Known.KNOWN and not is_over:
                continue
            places[ending.job_id] = ending.seq, FORGOTTEN if is_over else place
        if places and self._drift.mended:
            await self._restoring.note_endings(tenant, places)
        for job_id, (seq, place) in places.items() if not self._drift.mended else ():
            if seq >= self._noted[tenant].get(job_id, (0, 0))[0]:
                self._noted[tenant][job_id] = seq, place

    async def _take(self, tenant: Tenant, messages: dict[JobId, Message]) -> None:
        found = await self._restoring.look_jobs(tenant, list(messages))
        back = await asyncio.gather(
            *(
                self._take_one(tenant, job_id, messages[job_id], self._with_noted(tenant, job_id, item))
                for job_id, item in zip(messages, found, strict=True)
            )
        )
        entered = [job_id for job_id, state in zip(messages, back, strict=True) if state is State.ACCEPTED]
        if entered:
            await self._backlog.enqueue(tenant, entered, self._parts.clock.now_ms())

    def _with_noted(self, tenant: Tenant, job_id: JobId, found: Found) -> Found:
        if self._drift.mended:
            return found
        noted = self._noted[tenant].get(job_id)
        return replace(found, noted=None if noted is None else noted[1])

    async def _take_one(self, tenant: Tenant, job_id: JobId, message: Message, found: Found) -> State | None:
        """The state in which the job came back; None where it did not need to, or cannot."""
        if found.state is not None:
            if found.noted is not None:
                await self._settle(tenant, job_id, found.noted)
            elif not found.is_indexed:
                await self._index(tenant, job_id, found.state)
            return None
        if found.noted == FORGOTTEN:
            return None
        ending = None
        if found.noted is not None:
            ending = await self._ending_at(found.noted)
            if ending is None or (ending.tenant, ending.job_id) != (tenant, job_id):
                return None  # past the age of the log, and so past that of its job
        try:
            envelope = Envelope.unpack(message.data)
            if (envelope.job.tenant, envelope.job.job_id) != (tenant, job_id):
                raise InvalidInput("an envelope of another job")
        except InvalidInput as error:
            self._broken(message, subjects.STREAM_JOBS, error.code)
            return None
        return await self._bring_back(envelope, ending, message)

    async def _bring_back(self, envelope: Envelope, ending: Ending | None, message: Message) -> State | None:
        tenant, job_id, now_ms = envelope.job.tenant, envelope.job.job_id, self._parts.clock.now_ms()
        is_unknown = ending is None and not self.has_baseline and envelope.state not in TERMINAL
        if is_unknown and message.at_ms < now_ms - self._parts.kept_s_min * 1000:
            if self._drift.mended:
                await self._log.publish([_unknown(envelope, message.at_ms)])
            return None  # ended and forgotten, before endings were kept
        back = self._return_of(envelope, ending, is_unknown=is_unknown, now_ms=now_ms)
        kind = Kind.UNKNOWN_OUTCOME if is_unknown else Kind.MISSING_ENDED if back.state in TERMINAL else Kind.MISSING
        self._drift.note(kind, tenant, job_id)
        if not self._drift.mended:
            self._noted[tenant].pop(job_id, None)
            return None
        if back.state not in TERMINAL:
            await self._mark_loss(now_ms)
        try:
            state = await self._restoring.restore(back, now_ms)
        except StateBroken as error:
            log.critical("a job of the log cannot be restored", action="restore_failed", tenant=tenant,
                         job_id=job_id, error=str(error))  # fmt: skip
            self._drift.note(Kind.BROKEN, tenant, job_id)
            return None
        self.returned[tenant] += state is not None
        return state

    def _return_of(self, envelope: Envelope, ending: Ending | None, *, is_unknown: bool, now_ms: int) -> Return:
        tries = attempts_max(envelope.job, envelope.decision)
        ttl_ms = envelope.accepted_ms + self._parts.idempotency_ttl_ms - now_ms
        if is_unknown:
            return Return(
                envelope, State.FAILED, ending=_unknown(envelope, now_ms), tells=True, idempotency_ttl_ms=ttl_ms
            )
        if ending is not None and ending.has_ended:
            return Return(envelope, ending.state, ending=ending, idempotency_ttl_ms=ttl_ms)
        if ending is not None and ending.cancel_by:
            return Return(
                envelope, State.CANCELLED, ending=_cancelled(ending, now_ms), tells=True, idempotency_ttl_ms=ttl_ms
            )
        if envelope.state in TERMINAL and ending is None:
            return Return(envelope, envelope.state, tells=True, idempotency_ttl_ms=ttl_ms)
        had = tries if ending is None else max(tries, ending.attempts_max)
        skip = had * (self._losses + 1)
        return Return(envelope, initial_of(envelope, now_ms), skip, ending, idempotency_ttl_ms=ttl_ms)

    async def _mark_loss(self, now_ms: int) -> None:
        """Before the first job of this pass may run: who comes after us must know which attempts are used up."""
        if not self._has_marked:
            self._has_marked = True
            await patiently(partial(self._log.mark, Mark(MarkKind.LOSS, now_ms)), self._parts.wait)

    async def _settle(self, tenant: Tenant, job_id: JobId, place: int) -> None:
        ending = None if place == FORGOTTEN else await self._ending_at(place)
        if ending is None or ending.job_id != job_id or ending.tenant != tenant:
            return
        if not self._drift.mended:
            self._noted[tenant].pop(job_id, None)
            [known] = await self._restoring.look_endings(tenant, [ending])
            is_behind = known is Known.BEHIND
        else:
            try:
                is_behind = await self._restoring.settle(ending, self._parts.clock.now_ms())
            except StateBroken as error:
                log.critical("an ending of the log cannot be stored", action="restore_failed", tenant=tenant,
                             job_id=job_id, error=str(error))  # fmt: skip
                self._drift.note(Kind.BROKEN, tenant, job_id)
                return
        if is_behind:
            self.returned[tenant] += 1
            self._drift.note(Kind.BEHIND, tenant, job_id)

    async def _index(self, tenant: Tenant, job_id: JobId, state: State) -> None:
        """Put a job where its state says that no list has."""
        now_ms, dry_run = self._parts.clock.now_ms(), not self._drift.mended
        _, misplaced = await self._restoring.mend(tenant, state, [job_id], now_ms, dry_run=dry_run)
        for found in misplaced:
            self._drift.note(Kind.MISPLACED, tenant, found)

    async def _ending_at(self, place: int) -> Ending | None:
        ask = partial(get_message, self._parts.nc, subjects.STREAM_ENDED, place)
        message = await patiently(ask, self._parts.wait)
        entry = None if message is None else read_entry(message.data)
        return entry if isinstance(entry, Ending) else None

    def _broken(self, message: Message, stream: str, code: str) -> None:
        log.critical("the log holds a message that cannot be read", action="log_broken", stream=stream,
                     seq=message.seq, code=code)  # fmt: skip
        self._drift.note(Kind.BROKEN, stream, str(message.seq))


def initial_of(envelope: Envelope, now_ms: int) -> State:
    """How the job enters again. Its admission says it, not the state: that of a published repeat is a later one."""
    if outcome_of(envelope.admission) is Outcome.HELD:
        return State.HELD
    return State.SCHEDULED if (envelope.job.run_at_ms or 0) > now_ms else State.ACCEPTED


def _cancelled(ending: Ending, now_ms: int) -> Ending:
    """What becomes of a job that was to be cancelled while it ran, where nobody knows any more where it does."""
    return replace(ending, state=State.CANCELLED, code=str(State.CANCELLED), changed_ms=now_ms, ended_ms=now_ms)


def _unknown(envelope: Envelope, at_ms: int) -> Ending:
    """Of a job from before endings were kept."""
    tries = attempts_max(envelope.job, envelope.decision)
    return Ending(
        tenant=envelope.job.tenant,
        job_id=envelope.job.job_id,
        seq=0,
        state=State.FAILED,
        attempt=tries,
        attempts_max=tries,
        code=OUTCOME_UNKNOWN,
        changed_ms=at_ms,
        ended_ms=at_ms,
    )
