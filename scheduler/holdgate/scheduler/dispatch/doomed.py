"""Doomed objects: sealed bytes in the object store whose output was released, destroyed or forgotten are deleted.

What always holds: only what a script doomed in the write that ended its use; one that could not be deleted is tried
again; each run is bounded. Every such object is of one job alone, since nothing is sealed twice to the same bytes.
"""

from __future__ import annotations

import structlog

from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.log import PayloadStore
from holdgate.scheduler.state.quarantine import Quarantine

log = structlog.get_logger(__name__)


class Doomed:
    """`run_once` deletes some of each tenant's."""

    def __init__(self, jobs: Jobs, quarantine: Quarantine, payloads: PayloadStore) -> None:
        self._jobs = jobs
        self._quarantine = quarantine
        self._payloads = payloads

    async def run_once(self) -> int:
        """How many were deleted. StateUnavailable, LogUnavailable: the next run goes on."""
        total = 0
        for tenant in await self._jobs.tenants():
            for digest in await self._quarantine.doomed(tenant):
                await self._payloads.delete(digest)
                await self._quarantine.note_gone(tenant, [digest])
                total += 1
        if total:
            log.info("sealed bytes were deleted", action="doomed_deleted", objects=total)
        return total
