"""Retention: what is kept of jobs that ended long ago is deleted, so that the state store does not grow for ever.

What always holds: a job that has not ended stays; audit events are the auditor's to trim; each run is bounded, and a
tenant with many such jobs does not keep the others waiting.
"""

from __future__ import annotations

import structlog

from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import Tenant
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.rounds import in_rounds
from holdgate.scheduler.state.jobs import Jobs

log = structlog.get_logger(__name__)

BATCH = 256
ROUNDS_MAX = 64
DENIED_S_MAX = 24 * 3600
"""Refused submits cost their sender nothing: kept no longer than a day."""


class Retention:
    """`run_once` deletes what is past its time, a batch of each tenant in turn."""

    def __init__(self, jobs: Jobs, *, clock: Clock, keep_s: int) -> None:
        self._jobs = jobs
        self._clock = clock
        self._keep_s = keep_s

    async def run_once(self) -> int:
        """How many jobs were forgotten. StateUnavailable: the next run goes on."""
        now_ms = self._clock.now_ms()
        ended_before_ms = now_ms - self._keep_s * 1000
        denied_before_ms = now_ms - min(self._keep_s, DENIED_S_MAX) * 1000

        async def forget(tenant: Tenant) -> int:
            return await self._jobs.forget(
                tenant, ended_before_ms=ended_before_ms, denied_before_ms=denied_before_ms, limit=BATCH
            )

        total = await in_rounds(await self._jobs.tenants(), forget, size=BATCH, rounds_max=ROUNDS_MAX)
        if total:
            metrics.FORGOTTEN.inc(total)
            log.info("ended jobs were forgotten", action="forgotten", jobs=total)
        return total
