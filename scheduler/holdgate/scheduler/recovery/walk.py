"""Over all that the state store keeps: each job is where its state says, and each index names jobs that are there.

What always holds: each page is a script that checks and mends at once, so that what moves meanwhile is not mistaken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import JobId, Tenant
from holdgate.scheduler.recovery.drift import Drift, Kind
from holdgate.scheduler.recovery.parts import RecoveryParts
from holdgate.scheduler.state.backlog import Backlog
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.log import Envelope, JobLog
from holdgate.scheduler.state.restoring import Restoring
from holdgate.scheduler.state.transitions import TERMINAL, State

PAGE = 256
AGES = 2
"""A job that waits is put into the log again when a half of the log's age is over: it must not outlive its record."""
RELOGGED = "relogged"


class Walk:
    """One pass over every tenant."""

    def __init__(self, parts: RecoveryParts, drift: Drift, job_log: JobLog) -> None:
        self._parts = parts
        self._drift = drift
        self._jobs = Jobs(parts.scripts)
        self._restoring = Restoring(parts.scripts)
        self._log = job_log

    async def mend(self, tenant: Tenant) -> None:
        """Every job of every index, and every entry of every place."""
        for state in State:
            async for job_ids in self._pages(tenant, [state]):
                strays, misplaced = await self._restoring.mend(
                    tenant, state, job_ids, self._parts.clock.now_ms(), dry_run=not self._drift.mended
                )
                self._note(Kind.STRAY, tenant, strays)
                self._note(Kind.MISPLACED, tenant, misplaced)
        for kind, place in await self._places(tenant):
            await self._sweep(tenant, kind, place)

    async def skip_attempts(self, tenant: Tenant) -> None:
        """Leave out numbers of attempts that the state may not know of."""
        async for job_ids in self._pages(tenant, _open_states()):
            await self._restoring.skip_attempts(tenant, job_ids)

    async def relog_old(self, tenant: Tenant, max_age_s: float) -> None:
        """Put jobs into the log again that wait for so long that their record there would go first."""
        if not max_age_s:
            return
        before_ms = self._parts.clock.now_ms() - int(max_age_s * 1000 / AGES)
        async for job_ids in self._pages(tenant, _open_states()):
            old = [job_id for job_id in job_ids if _made_ms(job_id) < before_ms]
            fields = [("HGET", key(tenant, "job", job_id), RELOGGED) for job_id in old]
            since = await self._parts.scripts.commands(fields)
            await self._relog(tenant, [j for j, at in zip(old, since, strict=True) if int(at or 0) < before_ms])

    async def relog(self, tenant: Tenant, states: Iterable[State]) -> None:
        """Put jobs in those states into the log again: it lost what it had."""
        async for job_ids in self._pages(tenant, states):
            self._note(Kind.UNLOGGED, tenant, await self._relog(tenant, job_ids))

    async def enlist(self, tenant: Tenant, *, counts: bool) -> None:
        """Have the log of endings told of every job that ended; `counts`: because it lost what it had."""
        async for job_ids in self._pages(tenant, TERMINAL):
            if counts:
                self._note(Kind.UNLOGGED_ENDING, tenant, job_ids)
            if self._drift.mended:
                await self._restoring.enlist(tenant, job_ids)

    async def _relog(self, tenant: Tenant, job_ids: Sequence[JobId]) -> list[JobId]:
        """Those that were let in, and so belong there. LogUnavailable."""
        views = await self._jobs.get_many(tenant, job_ids)
        let_in = [view for view in views if view is not None and view.admission is not None]
        if self._drift.mended:
            payloads = await asyncio.gather(*(self._jobs.payload(tenant, view.job.job_id) for view in let_in))
            await asyncio.gather(
                *(self._log.publish(Envelope.of(v, payload)) for v, payload in zip(let_in, payloads, strict=True))
            )
            now_ms = self._parts.clock.now_ms()
            await self._parts.scripts.commands(
                [("HSET", key(tenant, "job", view.job.job_id), RELOGGED, now_ms) for view in let_in]
            )
        return [view.job.job_id for view in let_in]

    async def _sweep(self, tenant: Tenant, kind: str, place: str) -> None:
        first = 0
        while True:
            began_s = time.monotonic()
            looked, strays = await self._restoring.sweep(
                tenant, kind, place, first, first + PAGE - 1, dry_run=not self._drift.mended
            )
            self._note(Kind.STRAY, tenant, strays)
            if looked < PAGE:
                return
            first += PAGE - (len(strays) if self._drift.mended else 0)
            await self._parts.pause(time.monotonic() - began_s)

    async def _places(self, tenant: Tenant) -> list[tuple[str, str]]:
        pools = sorted(await Backlog(self._parts.scripts).pools(tenant))
        parked = await self._parts.scripts.command("ZRANGE", key(tenant, "parked"), 0, -1)
        return [
            *(("backlog", f"backlog:{pool}") for pool in pools),
            *(("parked", f"parked:{ckey.decode()}") for ckey in parked),
            *((name, name) for name in ("picked", "due", "leases")),
        ]

    async def _pages(self, tenant: Tenant, states: Iterable[State]) -> AsyncIterator[list[JobId]]:
        for state in states:
            cursor: JobId | None = None
            while True:
                began_s = time.monotonic()
                job_ids = await self._jobs.ids(tenant, state, PAGE, cursor)
                if not job_ids:
                    break
                yield job_ids
                cursor = job_ids[-1]
                await self._parts.pause(time.monotonic() - began_s)

    def _note(self, kind: Kind, tenant: Tenant, job_ids: Iterable[JobId]) -> None:
        for job_id in job_ids:
            self._drift.note(kind, tenant, job_id)


def _open_states() -> list[State]:
    return [state for state in State if state not in TERMINAL]


def _made_ms(job_id: JobId) -> int:
    """When the id was made: the first 48 bits of its UUIDv7."""
    digits = job_id.partition("_")[2].replace("-", "")[:12]
    try:
        return int(digits, 16)
    except ValueError as error:
        raise InvalidInput("not the id of a job") from error
