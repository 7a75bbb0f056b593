"""The sweep: a job whose result is in no log any more does not wait for its verdict for ever.

What always holds: a job is given up only when it is `finishing` by the same attempt as when it was noted, and every
result that was in the log right after that has been judged and let go of since, or is gone. No clock has a say in it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import nats.errors
import structlog
from nats.aio.client import Client as Nats

from holdgate.kernel import subjects
from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import Tenant
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.errors import LogUnavailable
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.results import FinishingClaim, Results
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)

NOTED_MAX = 1_024
"""Jobs that are noted at a time; the others when these have ended."""


@dataclass(slots=True)
class _Noted:
    """Jobs that were `finishing`, and how far the log of results went then: theirs, if any, is in there."""

    claims: dict[Tenant, list[FinishingClaim]]
    last_seq: int
    is_renewed: bool = field(default=False)
    """Whether the log became another one since, or lost its end: what was in it then is gone."""


@dataclass(frozen=True, slots=True)
class _Log:
    """The log of results now: its last message, and up to which all are judged and let go of."""

    last_seq: int
    judged_seq: int


class LostResults:
    """`run_once` fails jobs that wait for a result that nobody has, of those that waited at the run before."""

    def __init__(self, nc: Nats, *, jobs: Jobs, results: Results, hints: Hints, clock: Clock) -> None:
        self._nc = nc
        self._jobs = jobs
        self._results = results
        self._hints = hints
        self._clock = clock
        self._noted: _Noted | None = None

    async def run_once(self) -> int:
        """How many jobs were given up. LogUnavailable, StateUnavailable: the next run will do."""
        noted = self._noted
        if noted is None:
            claims = await self._finishing()
            self._noted = _Noted(claims, (await self._look()).last_seq) if claims else None
            return 0
        log_now = await self._look()
        noted.is_renewed |= log_now.last_seq < noted.last_seq
        if not noted.is_renewed and log_now.judged_seq < noted.last_seq:
            return 0
        lost = sum([await self._give_up(tenant, claims) for tenant, claims in noted.claims.items()])
        self._noted = None
        return lost

    async def _finishing(self) -> dict[Tenant, list[FinishingClaim]]:
        claims, room = {}, NOTED_MAX
        for tenant in await self._jobs.tenants():
            if room and (job_ids := await self._jobs.ids(tenant, State.FINISHING, room)):
                claims[tenant] = await self._results.finishing(tenant, job_ids)
                room -= len(job_ids)
        return claims

    async def _look(self) -> _Log:
        js = self._nc.jetstream()
        try:
            async with asyncio.timeout(5):
                stream = await js.stream_info(subjects.STREAM_RESULTS)
                consumer = await js.consumer_info(subjects.STREAM_RESULTS, subjects.CONSUMER_OUTPUT_GATE)
        except (nats.errors.Error, TimeoutError) as error:
            raise LogUnavailable(f"the log of results cannot be looked at: {type(error).__name__}") from error
        judged = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
        if consumer.num_pending == 0 and consumer.num_ack_pending == 0:
            judged = stream.state.last_seq  # also where the last messages were removed, not acknowledged
        return _Log(stream.state.last_seq, judged)

    async def _give_up(self, tenant: Tenant, claims: list[FinishingClaim]) -> int:
        found = await self._results.lose(tenant, claims, self._clock.now_ms())
        metrics.JOBS.labels("failed").inc(len(found))
        for job_id in found:
            log.error("a result was lost", action="result_lost", tenant=tenant, job_id=job_id)
        await self._hints.changed(tenant, found, State.FAILED)
        return len(found)
