"""Leases: a worker holds a running job by attempt and token, as long as it renews."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdgate.kernel.ids import JobId, LeaseToken, Tenant, WorkerId
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import Arg, Scripts, key
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
    left_out: int = 0
    """Numbers of attempts that were left out after losses of the state."""


class Leases:
    """The leases of a tenant."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def renew(
        self, tenant: Tenant, claims: Sequence[LeaseClaim], worker: WorkerId, *, lease_ms: int, now_ms: int
    ) -> Renewal:
        """Extend what is still held to `now_ms + lease_ms`. Jobs that are finishing count as renewed."""
        args: list[Arg] = [now_ms + lease_ms, worker]
        for claim in claims:
            progress = "" if claim.progress is None else f"{claim.progress:.4f}"
            args += [claim.job_id, claim.attempt, claim.token, progress]
        answers = await self._scripts.run("renew", tenant, args) if claims else []
        said: dict[bytes, list[JobId]] = {b"renewed": [], b"lost": [], b"cancel": []}
        for claim, answer in zip(claims, answers, strict=True):
            said[answer].append(claim.job_id)
        return Renewal(tuple(said[b"renewed"]), tuple(said[b"lost"]), tuple(said[b"cancel"]))

    async def expired(self, tenant: Tenant, now_ms: int, limit: int = 256) -> list[ExpiredLease]:
        """Leases past their end."""
        job_ids = await self._scripts.command("ZRANGEBYSCORE", key(tenant, "leases"), "-inf", now_ms, "LIMIT", 0, limit)
        names = ("state", "attempt", "max", "worker", "pool", "cancel", "stop", "base")
        records = await self._scripts.commands(
            [("HMGET", key(tenant, "job", job_id.decode()), *names) for job_id in job_ids]
        )
        return [
            ExpiredLease(
                job_id=JobId(job_id.decode()),
                attempt=int(attempt),
                attempts_max=int(attempts_max),
                worker=WorkerId(worker.decode()),
                pool=pool.decode(),
                cancel_requested=cancel is not None,
                over_time=0 < int(stop) <= now_ms,
                left_out=int(left_out or 0),
            )
            for job_id, (state, attempt, attempts_max, worker, pool, cancel, stop, left_out) in zip(
                job_ids, records, strict=True
            )
            if state == b"running"
        ]

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

        False when the attempt is not running any more or was renewed meanwhile; then nothing changed. The script
        itself makes it `cancelled` where a cancel was asked for, and `failed` where no attempt is left.
        """
        details = encoding.pack_details({"code": code, "attempt": lease.attempt, "worker": lease.worker})
        retry_at = now_ms if retry_at_ms is None else retry_at_ms
        args = (lease.job_id, lease.attempt, now_ms, to_state, code, retry_at, details)
        return bool(await self._scripts.run("reclaim", tenant, args))
