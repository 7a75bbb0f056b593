"""Jobs: their entry into the system, what is known about each, and what people and agents may do to them.

What always holds: entry, identity, decision and audit event are one script; an idempotency key names one body; a rate
limit is taken only when the job enters; a denied job keeps its decision and neither payload nor prompt.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from holdgate.kernel.custody import required_approvals
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import JOB_ID, ActorId, JobId, Tenant
from holdgate.kernel.links import Signed
from holdgate.kernel.records import Decision, Job, Outcome, Over, Throttle
from holdgate.scheduler.errors import JobNotFound, WrongState
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.approvals.demands import escalates_ms
from holdgate.scheduler.state.approvals.shape import job_shape
from holdgate.scheduler.state.backlog import BOOST_MS
from holdgate.scheduler.state.connection import INDEX, Arg, Scripts, key
from holdgate.scheduler.state.grants import GrantUse, use_args
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.state.views import VIEW_FIELDS, JobView, ResultView, job_view, result_view, timeline_event

__all__ = [
    "AcceptKind",
    "AcceptResult",
    "CancelResult",
    "Idempotency",
    "JobFilter",
    "JobPage",
    "JobView",
    "Jobs",
    "ResultView",
    "StateLimits",
    "Submission",
]

REMEMBERED_MAX = 10_000
"""Pools and tenants that this process knows to be registered."""
SCAN_PAGES_MAX = 20
"""How many pages a filtered list looks through before it gives what it has and a cursor to go on."""
SCAN_PAGE = 250


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's key and the fingerprint of the body it came with."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StateLimits:
    """Bounds that an operator sets. Counts are jobs of one tenant."""

    queue_max: int = 100_000
    idempotency_ttl_ms: int = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Submission:
    """A job at the door. `job.payload` is None where the payload lies in the object store.

    `initial` is ACCEPTED, HELD (an approval is opened from `decision.approvals`) or SCHEDULED (until `job.run_at_ms`).
    `throttles` are counted once: pass () when the caller already turned an over-limit job into a held one.
    """

    job: Job
    decision: Decision
    admission: Signed
    initial: State
    idempotency: Idempotency | None = None
    throttles: tuple[Throttle, ...] = ()
    fail_open: bool = False
    grant: GrantUse | None = None
    """A standing grant that may release it, where `initial` is HELD."""
    packed: encoding.Packed | None = None
    """Job, decision and admission where they are packed already."""


class AcceptKind(StrEnum):
    """What became of a submission."""

    ACCEPTED = "accepted"
    REPLAY = "replay"
    CONFLICT = "conflict"
    THROTTLED = "throttled"
    QUEUE_FULL = "queue_full"


@dataclass(frozen=True, slots=True)
class AcceptResult:
    """Answer of `accept` and `deny`.

    ACCEPTED: `job_id`, `state` (SCHEDULED when a limit with `over: delay` put the job off).
    REPLAY: `job_id`, `state` of the first submit; `logged` False means: publish its envelope again before a 202.
    CONFLICT: the key was used with another body. THROTTLED: over a limit whose `over` is REJECT or HOLD; nothing was
    taken or stored. QUEUE_FULL: nothing was stored.
    """

    kind: AcceptKind
    job_id: JobId | None = None
    state: State | None = None
    logged: bool = False
    retry_after_ms: int = 0
    over: Over | None = None
    rule: str | None = None


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


class Jobs:
    """The store of jobs."""

    def __init__(self, scripts: Scripts, limits: StateLimits | None = None) -> None:
        self._scripts = scripts
        self._limits = limits or StateLimits()
        self._registered: set[tuple[Tenant, str]] = set()

    async def accept(self, submission: Submission, now_ms: int) -> AcceptResult:
        """Let a job in; one script. StateUnavailable when the store did not answer."""
        job = submission.job
        await self._register(job.tenant, job.pool)
        args = _entry(submission, now_ms, self._limits, details=encoding.decision_facts(submission.decision))
        return _accept_result(job.job_id, await self._scripts.run("accept", job.tenant, args))

    async def restore(self, submission: Submission, now_ms: int) -> AcceptResult:
        """Let a job in again that the log has and the store lost; REPLAY when the store has it. No limits apply."""
        job = submission.job
        await self._register(job.tenant, job.pool)
        details = {**encoding.decision_facts(submission.decision), "restored": True}
        args = _entry(submission, now_ms, StateLimits(queue_max=0), details=details)
        return _accept_result(job.job_id, await self._scripts.run("accept", job.tenant, args))

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
        await self._register(job.tenant, job.pool)
        refused = Submission(job, decision, _UNSIGNED, State.DENIED, idempotency)
        details = {**encoding.decision_facts(decision), "code": code}
        limits = StateLimits(0, self._limits.idempotency_ttl_ms if binds_key else 0)
        args = _entry(refused, now_ms, limits, details=details, code=code)
        return _accept_result(job.job_id, await self._scripts.run("accept", job.tenant, args))

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
        state, fields = await self._scripts.commands(
            [("HGET", key(tenant, "job", job_id), "state"), ("HGETALL", key(tenant, "result", job_id))]
        )
        if state is None or not fields:
            return None
        record = dict(zip(fields[::2], fields[1::2], strict=True))
        return result_view(job_id, State(state.decode()), record)

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

    async def forget(self, tenant: Tenant, *, ended_before_ms: int, denied_before_ms: int, limit: int = 256) -> int:
        """Delete what is kept of ended jobs, at most `limit` of each kind; how many. Audit events stay."""
        denied, ended = await asyncio.gather(
            self._scripts.run("forget", tenant, (denied_before_ms, "refused", limit)),
            self._scripts.run("forget", tenant, (ended_before_ms, "ended", limit)),
        )
        return int(denied) + int(ended)

    async def counts(self, tenant: Tenant) -> dict[State, int]:
        """How many jobs are in each state."""
        replies = await self._scripts.commands([("ZCARD", key(tenant, "state", state)) for state in State])
        return dict(zip(State, replies, strict=True))

    async def tenants(self) -> list[Tenant]:
        """Every tenant that ever submitted."""
        return sorted(Tenant(name.decode()) for name in await self._scripts.command("SMEMBERS", f"{INDEX}:tenants"))

    async def _register(self, tenant: Tenant, pool: str) -> None:
        """Before the first job enters, so that no job lies where no dispatcher looks."""
        if (tenant, pool) in self._registered:
            return
        await self._scripts.commands([("SADD", f"{INDEX}:tenants", tenant), ("SADD", key(tenant, "pools"), pool)])
        if len(self._registered) >= REMEMBERED_MAX:
            self._registered.clear()
        self._registered.add((tenant, pool))


QUEUE_FULL_RETRY_MS = 5_000
"""When to try again: nobody knows when a full queue drains; a few seconds keep a client from hammering."""
_UNSIGNED = Signed(b"", "", b"")
"""A denied job was not let in, so nobody signed for it."""


def _entry(
    submission: Submission, now_ms: int, limits: StateLimits, *, details: dict[str, Any], code: str = ""
) -> list[Arg]:
    """Arguments of `accept.lua`, in its order."""
    job, decision = submission.job, submission.decision
    refused = submission.initial is State.DENIED
    packed = submission.packed
    if refused:
        packed = encoding.Packed(encoding.pack_job(job, keep_prompt=False), encoding.pack_decision(decision), b"")
    elif packed is None:
        packed = encoding.Packed.of(job, decision, submission.admission)
    requirements = required_approvals(decision, Outcome.HELD) if submission.initial is State.HELD else ()
    expires_s = min((item.expires_s for item in requirements), default=0)
    payload = None if refused else job.payload
    fingerprint = submission.idempotency
    args: list[Arg] = [
        job.job_id,
        now_ms,
        submission.initial,
        packed.job,
        payload or b"",
        int(payload is not None),
        decision.job_hash,
        encoding.pack_who(job, decision.job_hash),
        packed.admission,
        packed.decision,
        decision.snapshot,
        job.pool,
        BOOST_MS[job.priority],
        max(1, min(job.max_attempts, decision.constraints.max_attempts or job.max_attempts)),
        job.concurrency_key or "",
        job.deadline_ms or 0,
        max(now_ms, job.run_at_ms or 0),
        int(submission.fail_open),
        encoding.pack_details(details),
        "" if fingerprint is None else fingerprint.key,
        "" if fingerprint is None else fingerprint.fingerprint,
        limits.idempotency_ttl_ms,
        limits.queue_max,
        encoding.pack_requirements(requirements),
        now_ms + expires_s * 1000,
        int(not refused),
        code,
        decision.verdict,
        escalates_ms(requirements, now_ms) or 0,
        job_shape(job) if requirements else "",
        *use_args(submission.grant),
    ]
    for throttle in submission.throttles:
        interval_us = throttle.per_s * 1_000_000 // max(throttle.limit, 1)
        args += [throttle.bucket, interval_us, throttle.per_s * 1_000_000, throttle.over, throttle.rule]
    return args


def _accept_result(job_id: JobId, reply: list[Any]) -> AcceptResult:
    kind = AcceptKind(reply[0].decode())
    match kind:
        case AcceptKind.ACCEPTED:
            return AcceptResult(kind, job_id, State(reply[1].decode()))
        case AcceptKind.REPLAY:
            return AcceptResult(kind, JobId(reply[1].decode()), State(reply[2].decode()), logged=bool(reply[3]))
        case AcceptKind.THROTTLED:
            return AcceptResult(
                kind, over=Over(reply[1].decode()), retry_after_ms=int(reply[2]), rule=reply[3].decode()
            )
        case AcceptKind.QUEUE_FULL:
            return AcceptResult(kind, retry_after_ms=QUEUE_FULL_RETRY_MS)
        case AcceptKind.CONFLICT:
            return AcceptResult(kind)


def _fits(view: JobView, wanted: JobFilter) -> bool:
    job = view.job
    has_label = wanted.label is None or job.labels.get(wanted.label[0]) == wanted.label[1]
    return wanted.topic in (None, job.topic) and wanted.actor in (None, job.actor) and has_label
