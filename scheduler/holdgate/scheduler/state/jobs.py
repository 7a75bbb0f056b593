"""Jobs: their entry into the system, what is known about each, and what people and agents may do to them.

What always holds: entry, identity, decision and audit event are one script; an idempotency key names one body; a rate
limit is taken only when the job enters; a denied job keeps its decision and neither payload nor prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from holdgate.kernel.ids import ActorId, JobId, Tenant
from holdgate.kernel.records import Decision, Job, Over, Signed, Throttle
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.transitions import State


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
    timeline_events_max: int = 1_000


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
class JobView:
    """All the API shows of a job. `job.payload` is None here; see `Jobs.payload`. Times are milliseconds."""

    job: Job
    state: State
    decision: Decision
    job_hash: str
    attempt: int
    created_ms: int
    updated_ms: int
    fail_open: bool = False
    logged: bool = True
    waiting_reason: str | None = None
    code: str | None = None
    reason: str | None = None
    cancel_requested_by: str | None = None
    worker: str | None = None
    permit_id: str | None = None
    progress: float | None = None
    ready_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    admission: Signed | None = None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; None means any."""

    state: State | None = None
    topic: str | None = None
    actor: ActorId | None = None


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of a list, newest first. `cursor` is None at the end."""

    items: tuple[JobView, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class ResultView:
    """What the output gate let through, or why nothing was.

    `value` is canonical JSON or None; `ref` a digest in the object store where the value is too large to be inline.
    `verdict` is the output gate's record (verdict, findings, rules, snapshot).
    """

    job_id: JobId
    state: State
    attempt: int
    verdict: dict[str, Any]
    value: bytes | None
    ref: str | None
    logs: tuple[str, ...]
    error: dict[str, Any] | None
    finished_ms: int


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

    async def accept(self, submission: Submission, now_ms: int) -> AcceptResult:
        """Let a job in; one script. StateUnavailable when the store did not answer."""
        raise NotImplementedError

    async def deny(
        self, job: Job, decision: Decision, *, code: str, now_ms: int, idempotency: Idempotency | None = None
    ) -> AcceptResult:
        """Record a refused job without payload and prompt. `code` says why (`denied`, `throttled`).

        Kinds: ACCEPTED (recorded), REPLAY, CONFLICT.
        """
        raise NotImplementedError

    async def get(self, tenant: Tenant, job_id: JobId) -> JobView | None:
        """The job, or None when this tenant has none of that id."""
        raise NotImplementedError

    async def require(self, tenant: Tenant, job_id: JobId) -> JobView:
        """The job; JobNotFound when this tenant has none of that id."""
        raise NotImplementedError

    async def get_many(self, tenant: Tenant, job_ids: Sequence[JobId]) -> list[JobView | None]:
        """The jobs, in order, in one round trip."""
        raise NotImplementedError

    async def payload(self, tenant: Tenant, job_id: JobId) -> bytes | None:
        """The inline payload (canonical JSON); None when it lies in the object store or was not kept."""
        raise NotImplementedError

    async def list_jobs(self, tenant: Tenant, wanted: JobFilter, limit: int, cursor: str | None = None) -> JobPage:
        """Newest first. `cursor` is the one of the page before."""
        raise NotImplementedError

    async def decisions(self, tenant: Tenant, job_id: JobId) -> list[Decision]:
        """Every decision about the job, oldest first (submit, re-decisions, each dispatch)."""
        raise NotImplementedError

    async def timeline(self, tenant: Tenant, job_id: JobId) -> list[dict[str, Any]]:
        """The job's audit events, oldest first: `seq, time_ms, type, from, to` and details."""
        raise NotImplementedError

    async def result(self, tenant: Tenant, job_id: JobId) -> ResultView | None:
        """What may be read; None before the verdict and where there is no result."""
        raise NotImplementedError

    async def cancel(self, tenant: Tenant, job_id: JobId, *, by: str, reason: str, now_ms: int) -> CancelResult:
        """Cancel at once, or flag a running job. JobNotFound; WrongState when the job ended or is finishing."""
        raise NotImplementedError

    async def retry(self, tenant: Tenant, job_id: JobId, *, by: str, now_ms: int) -> JobView:
        """Take a job out of the dead-letter list into the queue with one more attempt. JobNotFound; WrongState."""
        raise NotImplementedError

    async def mark_logged(self, tenant: Tenant, job_ids: Sequence[JobId]) -> None:
        """Take jobs out of the outbox. The intake does so by itself (`Backlog.enqueue`): the api need not call this."""
        raise NotImplementedError

    async def outbox_due(self, tenant: Tenant, older_than_ms: int, limit: int = 256) -> list[JobId]:
        """Jobs that entered before `older_than_ms` and are not known to be in the log."""
        raise NotImplementedError

    async def counts(self, tenant: Tenant) -> dict[State, int]:
        """How many jobs are in each state."""
        raise NotImplementedError

    async def tenants(self) -> list[Tenant]:
        """Every tenant that ever submitted."""
        raise NotImplementedError
