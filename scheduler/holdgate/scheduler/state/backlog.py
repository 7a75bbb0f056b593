"""The backlog: which jobs wait for a worker, per tenant and pool, and how one is handed over.

What always holds: a job is in exactly one of: backlog, picked (reserved), due (waits for a time), parked (waits for its
concurrency key); a reservation ends by itself; starting consumes the approval in the same script; a waiting job never
counts against its own limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog

from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ids import JobId, LeaseToken, PermitId, Tenant, WorkerId, new_token
from holdgate.kernel.links import Signed
from holdgate.kernel.records import Decision, Job, Priority
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import Arg, Scripts, key

log = structlog.get_logger(__name__)

RESERVATION_MS = 10_000
"""From pick to start: several kernel time-outs."""
STOP_GRACE_MS = 10_000
"""The worker ends a run at its permitted time; the lease outlives that by this much, for the message to arrive."""
NO_CAPABLE_WORKER = "no_capable_worker"
"""Waiting reason of jobs that nobody can do; those alone are found by `Backlog.recall`."""
PAYLOAD_LOST = "payload_lost"
"""Code of a job whose payload was in the object store, and is no more."""
RECALL_BATCH = 256
CROWDED_DELAY_MS = 500
"""How soon a job is tried again whose topic had as many running as the decision lets."""
BOOST_MS = {Priority.LOW: -600_000, Priority.NORMAL: 0, Priority.HIGH: 600_000}
"""How far ahead of its time a job stands: a low job starts at the latest when it has waited 20 minutes longer."""


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
    `snapshot` must be there, and is used up. `topic_max` is how many jobs of the tenant on `topic` may run at once,
    None for any number; under a concurrency key it is always one. `attempts_max` can only lower the job's own.
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
    topic: str
    approval_required: bool = False
    topic_max: int | None = None
    attempts_max: int | None = None
    max_runtime_ms: int | None = None
    fail_open: bool = False


class StartKind(StrEnum):
    """What became of a start."""

    STARTED = "started"
    PARKED = "parked"
    """Another job runs under its concurrency key."""
    CROWDED = "crowded"
    """As many jobs of the tenant run on its topic as the decision lets; it comes back after CROWDED_DELAY_MS."""
    LOST = "lost"
    """The reservation is gone: expired, cancelled, or another dispatcher was faster."""
    EXPIRED = "expired"
    APPROVAL_MISSING = "approval_missing"
    """No released, unused approval for this hash and snapshot; the reservation stands, see `Approvals.redecide`."""
    UNKNOWN = "unknown"
    """The store did not answer this one: its reservation or its lease ends by itself."""


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
        None for those that Redis does not know (a recovery brings them back).
        """
        if not job_ids:
            return {}
        replies = await self._scripts.run("enqueue", tenant, (now_ms, b"", *job_ids))
        return {job_id: None if pool is None else pool.decode() for job_id, pool in zip(job_ids, replies, strict=True)}

    async def pick(self, tenant: Tenant, pool: str, n: int, *, in_flight_max: int, now_ms: int) -> list[Picked]:
        """Reserve up to `n` jobs for RESERVATION_MS; fewer when the tenant's in-flight limit leaves less room.

        A record that cannot be read is left reserved, and told in the log each time: it must not stop those behind it.
        """
        reservation = new_token()
        args = (pool, n, in_flight_max, reservation, now_ms + RESERVATION_MS)
        picked = []
        for fields in await self._scripts.run("pick", tenant, args):
            try:
                picked.append(_picked(fields, reservation))
            except StateBroken:
                # Not why: the message may quote what stands in the record.
                job_id = fields[0].decode()
                log.critical("a job cannot be read", action="state_broken", tenant=tenant, job_id=job_id)
        return picked

    async def start(self, tenant: Tenant, requests: Sequence[StartRequest], now_ms: int) -> list[StartResult]:
        """`queued` → `running`, each its own script, one flush. What fails for one is told in the log, and UNKNOWN:
        the others may run already."""
        replies = await asyncio.gather(
            *(self._scripts.run("start", tenant, _start_args(request, now_ms)) for request in requests),
            return_exceptions=True,
        )
        return [_start_result(tenant, request, reply) for request, reply in zip(requests, replies, strict=True)]

    async def put_back(
        self, tenant: Tenant, picked: Sequence[Picked], *, waiting_reason: str, delay_ms: int, now_ms: int
    ) -> None:
        """Give reservations up; the jobs are ready again after `delay_ms` and show `waiting_reason`."""
        if picked:
            pairs = [part for item in picked for part in (item.job.job_id, item.reservation)]
            await self._scripts.run("put_back", tenant, (now_ms, waiting_reason, now_ms + delay_ms, *pairs))

    async def lose_payload(self, tenant: Tenant, job_id: JobId, reservation: str, now_ms: int) -> bool:
        """`queued` → `failed` with code PAYLOAD_LOST, if it is still reserved so; `held`, where that is ""; whether."""
        details = encoding.pack_details({"code": PAYLOAD_LOST})
        return bool(
            await self._scripts.run("lose_payload", tenant, (job_id, now_ms, reservation, PAYLOAD_LOST, details))
        )

    async def recall(self, tenant: Tenant, pool: str) -> int:
        """Jobs put back as NO_CAPABLE_WORKER are ready now; how many."""
        total = 0
        while True:
            looked, moved = await self._scripts.run("recall", tenant, (pool, RECALL_BATCH))
            total += int(moved)
            if looked < RECALL_BATCH:
                return total

    async def promote_due(self, tenant: Tenant, now_ms: int, limit: int = 256) -> dict[JobId, str]:
        """`scheduled` → `queued`, and delayed queued jobs back into the backlog. Gives the pool of each."""
        return _pools_by_job(await self._scripts.run("promote_due", tenant, (now_ms, limit, b"")))

    async def expire_deadlines(self, tenant: Tenant, now_ms: int, limit: int = 256) -> list[JobId]:
        """Jobs whose deadline passed before they ran → `expired`."""
        details = encoding.pack_details({"code": "deadline_passed"})
        found = await self._scripts.run("expire_deadlines", tenant, (now_ms, limit, details))
        return [JobId(job_id.decode()) for job_id in found]

    async def release_reservations(self, tenant: Tenant, now_ms: int, limit: int = 256) -> dict[JobId, str]:
        """Reservations past their end go back into the backlog. Gives the pool of each."""
        return _pools_by_job(await self._scripts.run("release_reservations", tenant, (now_ms, limit)))

    async def depths(self, tenants: Sequence[Tenant], pool: str) -> list[Depth]:
        """For each tenant, in one round trip."""
        calls: list[tuple[Arg, ...]] = []
        for tenant in tenants:
            calls.append(("ZCARD", key(tenant, "backlog", pool)))
            calls.append(("ZCARD", key(tenant, "state", "running")))
            calls.append(("ZCARD", key(tenant, "picked")))
        counts = await self._scripts.commands(calls)
        return [
            Depth(tenant, waiting, running + picked)
            for tenant, waiting, running, picked in zip(tenants, counts[::3], counts[1::3], counts[2::3], strict=True)
        ]

    async def pools(self, tenant: Tenant) -> dict[str, int]:
        """Pools in which the tenant ever had jobs, with how many are ready."""
        names = sorted(name.decode() for name in await self._scripts.command("SMEMBERS", key(tenant, "pools")))
        counts = await self._scripts.commands([("ZCARD", key(tenant, "backlog", name)) for name in names])
        return dict(zip(names, counts, strict=True))


def _picked(fields: list[Any], reservation: str) -> Picked:
    _, job, payload, admission, decision, attempt, fail_open, _, votes = fields
    return Picked(
        job=encoding.unpack_job(job, payload),
        attempt=int(attempt),
        admission=encoding.unpack_signed(admission),
        last_decision=encoding.unpack_decision(decision),
        reservation=reservation,
        votes=tuple(encoding.unpack_vote(data).signed for data in votes),
        fail_open=fail_open == b"1",
    )


def _start_result(tenant: Tenant, request: StartRequest, reply: Any) -> StartResult:
    if isinstance(reply, HoldgateError):
        log.error("a start was not answered", action="start_unknown", tenant=tenant, job_id=request.job_id,
                  code=reply.code)  # fmt: skip
        return StartResult(request.job_id, StartKind.UNKNOWN, request.attempt)
    if isinstance(reply, BaseException):
        raise reply
    return StartResult(request.job_id, StartKind(reply.decode()), request.attempt)


def _start_args(request: StartRequest, now_ms: int) -> list[Arg]:
    """Arguments of `start.lua`, in its order."""
    decision = request.decision
    stop_ms = 0 if request.max_runtime_ms is None else now_ms + request.max_runtime_ms + STOP_GRACE_MS
    lease_until_ms = now_ms + request.lease_ms
    details = {
        "worker": request.worker,
        "permit_id": request.permit_id,
        "attempt": request.attempt,
        "fail_open": request.fail_open or None,
        **({} if decision is None else encoding.decision_facts(decision)),
    }
    return [
        request.job_id,
        now_ms,
        request.reservation,
        request.worker,
        request.token,
        request.permit_id,
        request.attempt,
        min(lease_until_ms, stop_ms) if stop_ms else lease_until_ms,
        int(request.approval_required),
        "" if decision is None else decision.job_hash,
        "" if decision is None else decision.snapshot,
        request.topic_max or 0,
        stop_ms,
        int(request.fail_open),
        b"" if decision is None else encoding.pack_decision(decision),
        encoding.pack_details(details),
        request.topic,
        request.attempts_max or 0,
        now_ms + CROWDED_DELAY_MS,
    ]


def _pools_by_job(reply: list[bytes]) -> dict[JobId, str]:
    return {JobId(job_id.decode()): pool.decode() for job_id, pool in zip(reply[::2], reply[1::2], strict=True)}
