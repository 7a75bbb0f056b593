"""Who waits for a job to change, or for any of a tenant: long polls and event streams, woken by hints and a slow clock.

What always holds: a hint is only a reason to look again; what is told is read from the state. Without hints waiters
look every `LOOK_AGAIN_S`. Waiters are bounded, in all and of one tenant.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from holdgate.kernel import subjects, wire
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.api import metrics
from holdgate.scheduler.api.admit import InFlight
from holdgate.scheduler.api.body import Receive

log = structlog.get_logger("holdgate.api")

LOOK_AGAIN_S = 1.0
RECONNECT = b"retry: 500\n\n"
"""To a stream that ends although there is more to tell: when to open it again (HTML standard, section 9.2.6)."""
EVERY_JOB = ""
"""Watched instead of a job: a hint of any job of the tenant wakes the watch."""
Key = tuple[str, str]


class Watch:
    """One waiter on one job, or on all of a tenant."""

    def __init__(self) -> None:
        self._hint = asyncio.Event()
        self.gone = False
        """The client left, or the process ends: nobody is there to tell."""

    def leave(self) -> None:
        """The client has gone away."""
        self.gone = True
        self._hint.set()

    def wake(self) -> None:
        """Something changed."""
        self._hint.set()

    async def changed(self, timeout_s: float) -> None:
        """Return after a hint, or after `timeout_s`, whichever is first."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._hint.wait()
        except TimeoutError:
            return
        finally:
            self._hint.clear()


class EventHub:
    """One subscription to hints for all waiters of a process."""

    def __init__(self, nc: Nats, *, waiters_max: int = 4096) -> None:
        self._nc = nc
        self._room = InFlight(total_max=waiters_max, share=1, code="too_many_waiters")
        self._watches: dict[Key, set[Watch]] = {}
        self._subscription: Subscription | None = None
        self._is_dismissing = False
        self._tasks = TaskSet(_on_failure)

    async def start(self) -> None:
        """Subscribe to hints."""
        if self._subscription is None:
            self._subscription = await self._nc.subscribe(subjects.event("*"), cb=self._on_hint)

    def dismiss(self) -> None:
        """Tell who waits now, and who comes from now on, how it is, and let them go: they ask again, elsewhere."""
        self._is_dismissing = True
        for watches in self._watches.values():
            for watch in watches:
                watch.leave()

    async def stop(self) -> None:
        """Let everybody go and unsubscribe; idempotent."""
        subscription, self._subscription = self._subscription, None
        self.dismiss()
        await self._tasks.close()
        if subscription is not None and not self._nc.is_closed:
            await subscription.unsubscribe()

    @property
    def waiting(self) -> int:
        """Waiters under way."""
        return self._room.total

    def check_room(self, tenant: str) -> None:
        """Problem `too_many_waiters` when there is no room for one more."""
        with self._room.hold(tenant):
            return

    @asynccontextmanager
    async def watch(self, tenant: str, job_id: str, receive: Receive) -> AsyncIterator[Watch]:
        """A watch on one job, or `EVERY_JOB`, for the block; Problem `too_many_waiters` when there is no room."""
        with self._room.hold(tenant):
            watch = Watch()
            watch.gone = self._is_dismissing or self._subscription is None
            self._watches.setdefault((tenant, job_id), set()).add(watch)
            metrics.WAITERS.inc()
            client = self._tasks.start(_leave_with_client(watch, receive), "until-client-gone")
            try:
                yield watch
            finally:
                client.cancel()
                metrics.WAITERS.dec()
                self._forget((tenant, job_id), watch)

    def _forget(self, key: Key, watch: Watch) -> None:
        watches = self._watches[key]
        watches.discard(watch)
        if not watches:
            del self._watches[key]

    async def _on_hint(self, message: Msg) -> None:
        tenant = message.subject.rpartition(".")[2]
        try:
            job_id = wire.unpack(message.data).get("job_id")
        except InvalidInput:
            metrics.EVENTS_DROPPED.inc()
            return
        for key in ((tenant, str(job_id)), (tenant, EVERY_JOB)):
            for watch in self._watches.get(key, ()):
                watch.wake()


async def _leave_with_client(watch: Watch, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    watch.leave()


def _on_failure(name: str, error: BaseException) -> None:
    log.error("a task of the event hub failed", action="task_failed", task=name, error=type(error).__name__)
