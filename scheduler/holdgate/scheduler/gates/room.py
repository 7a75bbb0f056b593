"""How many jobs may wait in all tenants together, as far as one process of the API knows.

What always holds: a job that this process lets in counts at once; what others let in counts from the next look. So the
total is passed by no more than the others accept between two looks. That nobody could count keeps nobody out: where the
store does not answer, it does not take jobs either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.errors import StateUnavailable

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
LOOK_SHARE = 20
"""A look that takes long is followed by a pause so many times as long: it takes no more than a part of the store."""


class QueueRoom:
    """`count` gives how many jobs wait now; `jobs_max` how many may."""

    def __init__(self, count: Callable[[], Awaitable[int]], jobs_max: int) -> None:
        self._count = count
        self._jobs_max = jobs_max
        self._counted = 0
        self._entered = 0
        self._tasks = TaskSet(self._failed)

    async def start(self) -> None:
        """Count, and go on counting."""
        self._tasks.start(self._run(), "queue-room")

    async def stop(self) -> None:
        """Count no more; idempotent."""
        await self._tasks.close()

    def has_room(self) -> bool:
        """Whether one more job may wait."""
        return self._counted + self._entered < self._jobs_max

    def entered(self) -> None:
        """This process let a job in."""
        self._entered += 1

    async def look(self) -> None:
        """Count once; StateUnavailable. What entered meanwhile may be in the count, and counts anyway."""
        entered = self._entered
        self._counted = await self._count()
        self._entered -= entered

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self.look()
            except StateUnavailable as error:
                log.debug("the waiting jobs could not be counted", action="queue_room", error=str(error))
            except Exception:  # who counts no more would keep everybody out in the end
                log.exception("the waiting jobs could not be counted", action="queue_room")
            await asyncio.sleep(max(LOOK_EVERY_S, LOOK_SHARE * (loop.time() - began)))

    def _failed(self, _name: str, error: BaseException) -> None:
        log.error("nobody counts the waiting jobs any more", action="queue_room", error=repr(error))
