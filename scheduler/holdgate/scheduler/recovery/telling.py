"""Tells the log how jobs ended, a moment after they did.

What always holds: what is not in the log yet stays written down in the state store; a log that does not answer keeps
nothing from ending.
"""

from __future__ import annotations

import structlog

from holdgate.kernel.errors import Unavailable
from holdgate.kernel.ids import Tenant
from holdgate.scheduler import metrics
from holdgate.scheduler.state.endings import BATCH, Ending, EndingLog, Endings
from holdgate.scheduler.state.jobs import Jobs

log = structlog.get_logger(__name__)

ROUNDS_MAX = 16
"""Of one tenant in one run: the others wait for it."""


class Telling:
    """`run_once` tells what there is of every tenant."""

    def __init__(self, *, jobs: Jobs, endings: Endings, ending_log: EndingLog) -> None:
        self._jobs = jobs
        self._endings = endings
        self._log = ending_log
        self._told: dict[Tenant, Ending] = {}

    async def run_once(self) -> int:
        """How many endings were told. StateUnavailable, LogUnavailable: the next run goes on."""
        waiting = await self._endings.waiting(await self._jobs.tenants())
        metrics.ENDINGS_WAITING.set(sum(waiting.values()))
        return sum([await self._of_tenant(tenant) for tenant in waiting])

    def take_told(self) -> dict[Tenant, Ending]:
        """The newest ending of each tenant that was told since this was asked last."""
        told, self._told = self._told, {}
        return told

    async def stop(self) -> None:
        """Publish no more; idempotent."""
        await self._log.close()

    async def _of_tenant(self, tenant: Tenant) -> int:
        told = 0
        for _ in range(ROUNDS_MAX):
            endings = await self._endings.take(tenant)
            if not endings:
                break
            try:
                in_log = await self._log.publish(endings)
            except Unavailable as error:
                log.warning("the log does not take endings", action="endings_put_off", code=error.code,
                            jobs=len(endings))  # fmt: skip
                raise
            told += await self._endings.note_logged(tenant, in_log)
            if in_log:
                self._told[tenant] = max(in_log, key=lambda ending: ending.seq)
            if len(endings) < BATCH:
                break
        metrics.ENDINGS_LOGGED.inc(told)
        return told
