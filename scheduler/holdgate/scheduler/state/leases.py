"""Leases: a worker holds a running job by attempt and token, as long as it renews."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdgate.kernel.ids import JobId, LeaseToken, Tenant, WorkerId
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.transitions import State


@dataclass(frozen=True, slots=True)
class LeaseClaim:
    """What a worker says it holds. `progress` is 0 to 1, or None when the handler reported none."""

    job_id: JobId
    attempt: int
    token: LeaseToken
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """Answer to a heartbeat: still held; no longer yours (stop, whatever you return is void); please stop."""

    renewed: tuple[JobId, ...]
    lost: tuple[JobId, ...]
    cancel: tuple[JobId, ...]


@dataclass(frozen=True, slots=True)
class ExpiredLease:
    """A running job whose worker went silent, or that ran over its time (`over_time`)."""

    job_id: JobId
    attempt: int
    attempts_max: int
    worker: WorkerId
    pool: str
    cancel_requested: bool
    over_time: bool


class Leases:
    """The leases of a tenant."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def renew(
        self, tenant: Tenant, claims: Sequence[LeaseClaim], worker: WorkerId, *, lease_ms: int, now_ms: int
    ) -> Renewal:
        """Extend what is still held to `now_ms + lease_ms`. Jobs that are finishing count as renewed."""
        raise NotImplementedError

    async def expired(self, tenant: Tenant, now_ms: int, limit: int = 256) -> list[ExpiredLease]:
        """Leases past their end."""
        raise NotImplementedError

    async def reclaim(
        self,
        tenant: Tenant,
        lease: ExpiredLease,
        *,
        to_state: State,
        code: str,
        retry_at_ms: int | None,
        now_ms: int,
    ) -> bool:
        """End an expired lease: `running` → `queued` (ready at `retry_at_ms`), `failed`, `timed_out`, `cancelled`.

        False when the attempt is not running any more or was renewed meanwhile; then nothing changed.
        """
        raise NotImplementedError
