"""The backlog: which jobs wait for a worker, per tenant and pool, and how one is handed over.

What always holds: a job is in exactly one of: backlog, picked (reserved), due (waits for a time), parked (waits for its
concurrency key); a reservation ends by itself; starting consumes the approval in the same script; a waiting job never
counts against its own limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from holdgate.kernel.ids import JobId, LeaseToken, PermitId, Tenant, WorkerId
from holdgate.kernel.records import Decision, Job, Signed
from holdgate.scheduler.state.connection import Scripts

RESERVATION_MS = 10_000


@dataclass(frozen=True, slots=True)
class Picked:
    """A reserved job, with everything the dispatch gate and the worker need.

    `job.payload` is None where it lies in the object store. `attempt` is the one that a start would be. `votes` are
    the signed votes of a released approval, for the kernel. `last_decision` is the newest one on record.
    """

    job: Job
    attempt: int
    admission: Signed
    last_decision: Decision
    reservation: str
    votes: tuple[Signed, ...] = ()
    fail_open: bool = False


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What makes a picked job run. `decision` is the kernel's at hand-off (None only under a declared fail-open).

    `approval_required`: the decision asks for approval, so a released approval with the decision's `job_hash` and
    `snapshot` must be there, and is used up. `concurrency_max` applies to the job's concurrency key.
    """

    job_id: JobId
    reservation: str
    decision: Decision | None
    permit_id: PermitId
    worker: WorkerId
    pool: str
    token: LeaseToken
    attempt: int
    lease_ms: int
    approval_required: bool = False
    concurrency_max: int = 1
    max_runtime_ms: int | None = None
    fail_open: bool = False


class StartKind(StrEnum):
    """What became of a start."""

    STARTED = "started"
    PARKED = "parked"
    LOST = "lost"
    """The reservation is gone: expired, cancelled, or another dispatcher was faster."""
    EXPIRED = "expired"
    APPROVAL_MISSING = "approval_missing"
    """No released, unused approval for this hash and snapshot; the reservation stands, see `Approvals.redecide`."""


@dataclass(frozen=True, slots=True)
class StartResult:
    """Answer of `start`."""

    job_id: JobId
    kind: StartKind
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Depth:
    """How many jobs of a tenant wait in a pool, and how many of the tenant are in flight."""

    tenant: Tenant
    waiting: int
    in_flight: int


class Backlog:
    """The queue discipline of a tenant."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def enqueue(self, tenant: Tenant, job_ids: Sequence[JobId], now_ms: int) -> dict[JobId, str | None]:
        """Intake: these jobs are in the log. Out of the outbox, `accepted` ones → `queued`. Idempotent.

        Gives the pool for those that became ready, "" for those known but not ready (held, scheduled, already on), and
        None for those that Redis does not know (restore them from the envelope with `restore`).
        """
        raise NotImplementedError

    async def pick(self, tenant: Tenant, pool: str, n: int, *, in_flight_max: int, now_ms: int) -> list[Picked]:
        """Reserve up to `n` jobs for RESERVATION_MS; fewer when the tenant's in-flight limit leaves less room."""
        raise NotImplementedError

    async def start(self, tenant: Tenant, requests: Sequence[StartRequest], now_ms: int) -> list[StartResult]:
        """`queued` → `running`, each its own script, one flush."""
        raise NotImplementedError

    async def put_back(
        self, tenant: Tenant, picked: Sequence[Picked], *, waiting_reason: str, delay_ms: int, now_ms: int
    ) -> None:
        """Give reservations up; the jobs are ready again after `delay_ms` and show `waiting_reason`."""
        raise NotImplementedError

    async def promote_due(self, tenant: Tenant, now_ms: int, limit: int = 256) -> dict[JobId, str]:
        """`scheduled` → `queued`, and delayed queued jobs back into the backlog. Gives the pool of each."""
        raise NotImplementedError

    async def expire_deadlines(self, tenant: Tenant, now_ms: int, limit: int = 256) -> list[JobId]:
        """Jobs whose deadline passed before they ran → `expired`."""
        raise NotImplementedError

    async def release_reservations(self, tenant: Tenant, now_ms: int, limit: int = 256) -> dict[JobId, str]:
        """Reservations past their end go back into the backlog. Gives the pool of each."""
        raise NotImplementedError

    async def depths(self, tenants: Sequence[Tenant], pool: str) -> list[Depth]:
        """For each tenant, in one round trip."""
        raise NotImplementedError

    async def pools(self, tenant: Tenant) -> dict[str, int]:
        """Pools in which the tenant ever had jobs, with how many are ready."""
        raise NotImplementedError
