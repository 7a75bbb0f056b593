"""Hints to other processes that something changed (core NATS): who hears one looks again, a lost one costs a moment.

subjects.wake(pool)      body: the tenant whose job became ready, or empty: somebody's
subjects.event(tenant)   body: {job_id, state}
"""

from __future__ import annotations

from collections.abc import Iterable

import nats.errors
import structlog
from nats.aio.client import Client as Nats

from holdgate.kernel import subjects, wire
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)


class Hints:
    """Publishes hints; never fails its caller, who has already written what counts."""

    def __init__(self, nc: Nats) -> None:
        self._nc = nc

    async def ready(self, tenant: str, pools: Iterable[str]) -> None:
        """Jobs of `tenant` became ready in `pools`."""
        for pool in sorted(set(pools)):
            await self._publish(subjects.wake(pool), tenant.encode())

    async def changed(self, tenant: str, job_ids: Iterable[str], state: State) -> None:
        """These jobs came to `state`."""
        for job_id in job_ids:
            await self._publish(subjects.event(tenant), wire.pack({"job_id": job_id, "state": str(state)}))

    async def cancel(self, pool: str, worker: str, job_id: str) -> None:
        """Tell `worker` to stop `job_id`; its next heartbeat says so too."""
        await self._publish(subjects.control(pool, worker), wire.pack({"cancel": job_id}))

    async def _publish(self, subject: str, body: bytes) -> None:
        try:
            await self._nc.publish(subject, body)
        except nats.errors.Error as error:
            log.warning("a hint was not sent", action="hint_lost", subject=subject, error=type(error).__name__)
