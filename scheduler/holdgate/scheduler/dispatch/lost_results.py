"""The sweep: a job whose result is in no log any more does not wait for its verdict for ever.

What always holds: a job is given up only when it was `finishing` for `AGE_MS`, and every result that was in the log at
that time has been judged and let go of since, or is gone.
"""

from __future__ import annotations

import asyncio
from collections import deque

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
from holdgate.scheduler.state.results import Results
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)

AGE_MS = 600_000
PAGE = 256
REMEMBERED_MAX = 1_024
"""Looks at the log that are not settled yet; at one a minute most of a day."""


class LostResults:
    """`run_once` fails jobs that wait for a result that nobody has."""

    def __init__(
        self, nc: Nats, *, jobs: Jobs, results: Results, hints: Hints, clock: Clock, age_ms: int = AGE_MS
    ) -> None:
        self._nc = nc
        self._jobs = jobs
        self._results = results
        self._hints = hints
        self._clock = clock
        self._age_ms = age_ms
        self._looks: deque[tuple[int, int]] = deque(maxlen=REMEMBERED_MAX)
        self._settled_ms = 0

    async def run_once(self) -> int:
        """How many jobs were given up. LogUnavailable, StateUnavailable: the next run will do."""
        await self._look()
        now_ms = self._clock.now_ms()
        before_ms = min(self._settled_ms, now_ms - self._age_ms)
        if before_ms <= 0:
            return 0
        return sum([await self._of_tenant(tenant, before_ms, now_ms) for tenant in await self._jobs.tenants()])

    async def _look(self) -> None:
        """Note how far the log goes now, and up to which look its results are settled."""
        js = self._nc.jetstream()
        try:
            async with asyncio.timeout(5):
                now_ms = self._clock.now_ms()
                stream = await js.stream_info(subjects.STREAM_RESULTS)
                consumer = await js.consumer_info(subjects.STREAM_RESULTS, subjects.CONSUMER_OUTPUT_GATE)
        except (nats.errors.Error, TimeoutError) as error:
            raise LogUnavailable(f"the log of results cannot be looked at: {type(error).__name__}") from error
        if self._looks and stream.state.last_seq < self._looks[-1][1]:
            # Another stream than before, or one that lost its end: what was in it then is gone.
            self._looks = deque(((at_ms, 0) for at_ms, _ in self._looks), maxlen=REMEMBERED_MAX)
        self._looks.append((now_ms, stream.state.last_seq))
        floor = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
        if consumer.num_pending == 0 and consumer.num_ack_pending == 0:
            floor = stream.state.last_seq  # also where the last messages were removed, not acknowledged
        while self._looks and self._looks[0][1] <= floor:
            self._settled_ms = self._looks.popleft()[0]

    async def _of_tenant(self, tenant: Tenant, before_ms: int, now_ms: int) -> int:
        lost, cursor = 0, None
        while True:
            job_ids = await self._jobs.ids(tenant, State.FINISHING, PAGE, cursor)
            found = await self._results.lose(tenant, job_ids, before_ms=before_ms, now_ms=now_ms)
            lost += len(found)
            metrics.JOBS.labels("failed").inc(len(found))
            for job_id in found:
                log.error("a result was lost", action="result_lost", tenant=tenant, job_id=job_id)
            await self._hints.changed(tenant, found, State.FAILED)
            if len(job_ids) < PAGE:
                return lost
            cursor = job_ids[-1]
