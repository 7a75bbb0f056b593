"""Jobs: what is known about each, and what people and agents may do to them. How they enter is in `entry`."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import JOB_ID, ActorId, JobId, Tenant
from holdgate.kernel.links import Signed
from holdgate.kernel.records import Decision, Job
from holdgate.scheduler.errors import JobNotFound, WrongState
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import INDEX, Arg, Scripts, key
from holdgate.scheduler.state.entry import NO_ROOM, AcceptResult, Idempotency, StateLimits, Submission, enter
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.state.views import (
    VIEW_FIELDS,
    JobView,
    ResultView,
    job_view,
    result_view,
    timeline_event,
    verdict_of,
)

__all__ = ["CancelResult", "JobFilter", "JobPage", "JobView", "Jobs", "ResultView"]

REMEMBERED_MAX = 10_000
FORGET_POOLS_JOBS_MAX = 1_000
"""Of one tenant: the script looks at each, and others wait meanwhile."""
"""Pools and tenants that this process knows to be registered."""
SCAN_PAGES_MAX = 20
"""How many pages a filtered list looks through before it gives what it has and a cursor to go on."""
SCAN_PAGE = 250


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; None means any. `id_prefix` is how the id begins; `label` a key and its value."""

    state: State | None = None
    topic: str | None = None
    actor: ActorId | None = None
    id_prefix: str | None = None
    label: tuple[str, str] | None = None

    @property
    def looks_inside(self) -> bool:
        """Whether jobs have to be read to know which ones fit."""
        return any(item is not None for item in (self.topic, self.actor, self.label))


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of a list, newest first. `cursor` is None at the end."""

    items: tuple[JobView, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class CancelResult:
    """`state` after the call: CANCELLED at once, or RUNNING with the worker to be told on `subjects.control`."""

    state: State
    pool: str | None = None
    worker: str | None = None


WAITING = (State.ACCEPTED, State.QUEUED, State.HELD, State.SCHEDULED)
"""What counts against the length of a queue, as in `accept.lua`."""
COUNTED_AT_ONCE = 64
OLDEST = 16
"""Jobs that are looked at to know how long one waits; of more, those that came first."""


class Jobs:
    """The store of jobs."""

    def __init__(self, scripts: Scripts, limits: StateLimits | None = None) -> None:
        self._scripts = scripts
        self._limits = limits or StateLimits()
        self._registered: set[Tenant] = set()

    async def accept(self, submission: Submission, now_ms: int, *, has_room: bool = True) -> AcceptResult:
        """Let a job in; one script. StateUnavailable when the store did not answer.

        `has_room`: whether all queues together may take one more; without, only what is there already is answered.
        """
        job = submission.job
        limits = self._limits.of(job.tenant) if has_room else replace(self._limits, queue_max=NO_ROOM)
        await self._register(job.tenant)
        details = encoding.decision_facts(submission.decision)
        return await enter(self._scripts, submission, now_ms, limits, details=details)

    async def waiting_in_all(self) -> int:
        """How many jobs of all tenants wait; counted tenant by tenant, so of no one moment."""
        total, tenants = 0, await self.tenants()
        for first in range(0, len(tenants), COUNTED_AT_ONCE):
            some = tenants[first : first + COUNTED_AT_ONCE]
            calls = [("ZCARD", key(tenant, "state", state)) for tenant in some for state in WAITING]
            total += sum(await self._scripts.commands(calls))
        return total

    async def deny(
        self,
        job: Job,
        decision: Decision,
        *,
        code: str,
        now_ms: int,
        idempotency: Idempotency | None = None,
        binds_key: bool = True,
    ) -> AcceptResult:
        """Record a refused job without payload and prompt. `code` says why (`denied`, `throttled`).

        Without `binds_key` a key that was used before is answered as ever, and one that was not stays free.
        Kinds: ACCEPTED (recorded), REPLAY, CONFLICT.
        """
        await self._register(job.tenant)
        refused = Submission(job, decision, _UNSIGNED, State.DENIED, idempotency)
        details = {**encoding.decision_facts(decision), "code": code}
        limits = StateLimits(queue_max=0, idempotency_ttl_ms=self._limits.idempotency_ttl_ms if binds_key else 0)
        return await enter(self._scripts, refused, now_ms, limits, details=details, code=code)

    async def get(self, tenant: Tenant, job_id: JobId) -> JobView | None:
        """The job, or None when this tenant has none of that id."""
        return (await self.get_many(tenant, [job_id]))[0]

    async def require(self, tenant: Tenant, job_id: JobId) -> JobView:
        """The job; JobNotFound when this tenant has none of that id."""
        view = await self.get(tenant, job_id)
        if view is None:
            raise JobNotFound
        return view

    async def get_many(self, tenant: Tenant, job_ids: Sequence[JobId]) -> list[JobView | None]:
        """The jobs, in order, in one round trip."""
        calls: list[tuple[Arg, ...]] = []
        for job_id in job_ids:
            calls.append(("HMGET", key(tenant, "job", job_id), *VIEW_FIELDS))
            calls.append(("ZSCORE", key(tenant, "outbox"), job_id))
        replies = await self._scripts.commands(calls)
        return [job_view(record, outbox) for record, outbox in zip(replies[::2], replies[1::2], strict=True)]

    async def payload(self, tenant: Tenant, job_id: JobId) -> bytes | None:
        """The inline payload (canonical JSON); None when it lies in the object store or was not kept."""
        payload: bytes | None = await self._scripts.command("HGET", key(tenant, "job", job_id), "payload")
        return payload

    async def list_jobs(self, tenant: Tenant, wanted: JobFilter, limit: int, cursor: str | None = None) -> JobPage:
        """Newest first. `cursor` is the one of the page before."""
        found: list[JobView] = []
        for _ in range(SCAN_PAGES_MAX):
            page = SCAN_PAGE if wanted.looks_inside else limit + 1
            job_ids = await self.ids(tenant, wanted.state, page, cursor, prefix=wanted.id_prefix or "")
            for view in await self.get_many(tenant, job_ids):
                if view is None or not _fits(view, wanted):
                    continue
                if len(found) == limit:
                    return JobPage(tuple(found), found[-1].job.job_id)
                found.append(view)
            if len(job_ids) < page:
                return JobPage(tuple(found), None)
            cursor = job_ids[-1]
        return JobPage(tuple(found), cursor)

    async def ids(
        self, tenant: Tenant, state: State | None, limit: int, cursor: str | None = None, *, prefix: str = ""
    ) -> list[JobId]:
        """Ids of jobs in `state` (any when None) that begin with `prefix`, older than `cursor`, newest first."""
        if cursor is not None and JOB_ID.match(cursor) is None:
            raise InvalidInput("`cursor` is not one that a list gave")
        end = f"{prefix}~"  # after every id that begins so: an id has no `~`
        before = min(end, cursor or end) if prefix else cursor
        start, stop = "+" if before is None else f"({before}", f"[{prefix}" if prefix else "-"
        states = list(State) if state is None else [state]
        replies = await self._scripts.commands(
            [("ZREVRANGEBYLEX", key(tenant, "state", one), start, stop, "LIMIT", 0, limit) for one in states]
        )
        merged = heapq.merge(*replies, reverse=True)
        return [JobId(found.decode()) for found, _ in zip(merged, range(limit), strict=False)]

    async def decisions(self, tenant: Tenant, job_id: JobId) -> list[Decision]:
        """Every decision about the job, oldest first (submit, re-decisions, each dispatch)."""
        first, later = await self._scripts.commands(
            [("HGET", key(tenant, "job", job_id), "decision"), ("LRANGE", key(tenant, "decisions", job_id), 0, -1)]
        )
        return [encoding.unpack_decision(data) for data in ([first, *later] if first is not None else [])]

    async def timeline(self, tenant: Tenant, job_id: JobId) -> list[dict[str, Any]]:
        """The job's audit events, oldest first: `seq, time_ms, type, from, to` and details."""
        events = await self._scripts.command("LRANGE", key(tenant, "timeline", job_id), 0, -1)
        return [timeline_event(data) for data in events]

    async def result(self, tenant: Tenant, job_id: JobId) -> ResultView | None:
        """What may be read; None before the verdict and where there is no result."""
        # The state last, or a result might be shown with a state from before its verdict.
        fields, state = await self._scripts.read_in_order(
            [("HGETALL", key(tenant, "result", job_id)), ("HGET", key(tenant, "job", job_id), "state")]
        )
        if state is None or not fields:
            return None
        record = dict(zip(fields[::2], fields[1::2], strict=True))
        return result_view(job_id, State(state.decode()), record)

    async def verdict(self, tenant: Tenant, job_id: JobId) -> dict[str, Any] | None:
        """The output gate's record on the job's result, without the result; None where there is none."""
        record = await self._scripts.command("HGET", key(tenant, "result", job_id), "record")
        return None if record is None else verdict_of(record)

    async def cancel(self, tenant: Tenant, job_id: JobId, *, by: str, reason: str, now_ms: int) -> CancelResult:
        """Cancel at once, or flag a running job. JobNotFound; WrongState when the job ended or is finishing."""
        details = encoding.pack_details({"by": by, "reason": reason})
        reply = [part.decode() for part in await self._scripts.run("cancel", tenant, (job_id, now_ms, by, details))]
        if not reply[0]:
            raise JobNotFound
        if len(reply) == 1:
            raise WrongState(state=reply[0])
        return CancelResult(State(reply[0]), reply[1], reply[2] or None)

    async def retry(self, tenant: Tenant, job_id: JobId, *, by: str, reason: str = "", now_ms: int) -> JobView:
        """Take a job out of the dead-letter list into the queue with one more attempt. JobNotFound; WrongState."""
        details = encoding.pack_details({"by": by, "reason": reason or None})
        reply = await self._scripts.run("retry", tenant, (job_id, now_ms, details))
        if not reply[0]:
            raise JobNotFound
        if len(reply) == 1:
            raise WrongState(state=reply[0].decode())
        return await self.require(tenant, job_id)

    async def mark_logged(self, tenant: Tenant, job_ids: Sequence[JobId]) -> None:
        """Take jobs out of the outbox. The intake does so by itself (`Backlog.enqueue`): the api need not call this."""
        if job_ids:
            await self._scripts.command("ZREM", key(tenant, "outbox"), *job_ids)

    async def outbox_due(self, tenant: Tenant, older_than_ms: int, limit: int = 256) -> list[JobId]:
        """Jobs that entered before `older_than_ms` and are not known to be in the log."""
        found = await self._scripts.command(
            "ZRANGEBYSCORE", key(tenant, "outbox"), "-inf", f"({older_than_ms}", "LIMIT", 0, limit
        )
        return [JobId(job_id.decode()) for job_id in found]

    async def has_due(self, tenant: Tenant, now_ms: int, unlogged_before_ms: int) -> bool:
        """Whether any job, lease, approval or reservation has its time now, or a job waits for another to end."""
        return bool(await self._scripts.run("has_due", tenant, (now_ms, unlogged_before_ms)))

    async def forget(self, tenant: Tenant, *, ended_before_ms: int, denied_before_ms: int, limit: int = 256) -> int:
        """Delete what is kept of ended jobs, at most `limit` of each kind; how many. Audit events stay."""
        denied, ended = await asyncio.gather(
            self._scripts.run("forget", tenant, (denied_before_ms, "refused", limit)),
            self._scripts.run("forget", tenant, (ended_before_ms, "ended", limit)),
        )
        return int(denied) + int(ended)

    async def counts(self, tenant: Tenant) -> dict[State, int]:
        """How many jobs are in each state, at a glimpse."""
        replies = await asyncio.gather(
            *(self._scripts.glimpse("ZCARD", key(tenant, "state", state)) for state in State)
        )
        return dict(zip(State, replies, strict=True))

    async def longest_ms(self, tenant: Tenant, state: State, now_ms: int) -> int:
        """How long those are in `state` that were submitted first, at a glimpse; 0 where there are none."""
        ids = await self._scripts.glimpse("ZRANGE", key(tenant, "state", state), 0, OLDEST - 1)
        jobs = [key(tenant, "job", job.decode()) for job in ids]
        since = await asyncio.gather(*(self._scripts.glimpse("HGET", job, "updated") for job in jobs))
        return max((now_ms - int(each) for each in since if each is not None), default=0)

    async def tenants(self) -> list[Tenant]:
        """Every tenant that ever submitted."""
        return sorted(Tenant(name.decode()) for name in await self._scripts.command("SMEMBERS", f"{INDEX}:tenants"))

    async def forget_pools(self, tenant: Tenant) -> int:
        """Pools without a job that waits or runs are looked at no more; how many. Not of a tenant with many jobs."""
        return int(await self._scripts.run("forget_pools", tenant, (FORGET_POOLS_JOBS_MAX,)))

    async def _register(self, tenant: Tenant) -> None:
        """Before the first job enters, so that no job lies where no dispatcher looks."""
        if tenant in self._registered:
            return
        await self._scripts.command("SADD", f"{INDEX}:tenants", tenant)
        if len(self._registered) >= REMEMBERED_MAX:
            self._registered.clear()
        self._registered.add(tenant)


_UNSIGNED = Signed(b"", "", b"")
"""A denied job was not let in, so nobody signed for it."""


def _fits(view: JobView, wanted: JobFilter) -> bool:
    job = view.job
    has_label = wanted.label is None or job.labels.get(wanted.label[0]) == wanted.label[1]
    return wanted.topic in (None, job.topic) and wanted.actor in (None, job.actor) and has_label
