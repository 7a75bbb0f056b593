"""Sealed outputs about which nobody decided in time are destroyed.

What always holds: only what was sealed longer ago than an operator allows, in one write with its event in the audit
trail; the record of what was found stays; each run is bounded, and a tenant with many does not keep the others waiting.
"""

from __future__ import annotations

import structlog

from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import Tenant
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.rounds import in_rounds
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.quarantine import Quarantine

log = structlog.get_logger(__name__)

BATCH = 64
ROUNDS_MAX = 16


class SealedExpiry:
    """`run_once` destroys what is past its time, a batch of each tenant in turn."""

    def __init__(self, jobs: Jobs, quarantine: Quarantine, *, clock: Clock, keep_s: int) -> None:
        self._jobs = jobs
        self._quarantine = quarantine
        self._clock = clock
        self._keep_s = keep_s

    async def run_once(self) -> int:
        """How many outputs were destroyed. StateUnavailable: the next run goes on."""
        now_ms = self._clock.now_ms()
        before_ms = now_ms - self._keep_s * 1000

        async def expire(tenant: Tenant) -> int:
            return len(await self._quarantine.expire(tenant, sealed_before_ms=before_ms, now_ms=now_ms, limit=BATCH))

        total = await in_rounds(await self._jobs.tenants(), expire, size=BATCH, rounds_max=ROUNDS_MAX)
        if total:
            metrics.QUARANTINE_EXPIRED.inc(total)
            log.info("sealed outputs were destroyed after their time", action="quarantine_expired", outputs=total)
        return total
