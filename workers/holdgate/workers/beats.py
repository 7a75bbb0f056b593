"""Heartbeats from a thread with a loop and a connection of its own.

A handler that blocks the worker's loop therefore keeps its lease, hears that its job was cancelled (`job.cancelled`),
and does not make other runs of this worker lose theirs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from holdgate.kernel import limits, subjects, wire
from holdgate.kernel.errors import InvalidInput
from holdgate.workers.connection import connect
from holdgate.workers.leases import Leases
from holdgate.workers.settings import WorkerSettings

_log = structlog.get_logger("holdgate.worker")
RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a worker says about itself with every ask and heartbeat."""

    worker: str
    pool: str
    topics: tuple[str, ...]
    capabilities: tuple[str, ...]
    capacity: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "worker": self.worker,
            "pool": self.pool,
            "topics": list(self.topics),
            "capabilities": list(self.capabilities),
        }


class Heart:
    """Renews leases every few seconds, and takes `cancel` and `lost` from replies and from control messages."""

    def __init__(
        self,
        *,
        settings: WorkerSettings,
        introduction: Introduction,
        leases: Leases,
        busy: Callable[[], int],
        interval_s: float,
    ) -> None:
        self._settings = settings
        self.introduction = introduction
        self._leases = leases
        self._busy = busy
        self._interval_s = interval_s
        self._thread = threading.Thread(target=self._main, name="holdgate-heart", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None

    async def start(self) -> None:
        """Connect and begin; raises what kept the connection from being made."""
        self._thread.start()
        await asyncio.to_thread(self._started.wait)
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """Send no more heartbeats; idempotent."""
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stopping.set)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, self._interval_s + 5)

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # noqa: BLE001  handed to `start`, or logged: a thread has nobody to raise to
            self._failure = error
            _log.error("heartbeats ended", action="heart_failed", error=type(error).__name__)
        finally:
            self._started.set()

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        me = self.introduction
        nc = await connect(self._settings, name=f"{me.worker} heart")
        try:
            await nc.subscribe(subjects.control(me.pool, me.worker), cb=self._on_control)
            await nc.flush()
            self._started.set()
            while not self._stopping.is_set():
                wait_s = self._interval_s if await self._beat(nc) else min(RETRY_S, self._interval_s)
                await _wait(self._stopping, wait_s)
        finally:
            await nc.close()

    async def _beat(self, nc: Nats) -> bool:
        me = self.introduction
        renewed = self._leases.to_renew()
        message = {**me.as_dict(), "capacity": me.capacity, "busy": self._busy(), "leases": renewed}
        try:
            reply = await nc.request(subjects.beat(me.pool, me.worker), wire.pack(message), timeout=self._interval_s)
            answer = wire.unpack(reply.data)
        except (nats.errors.Error, InvalidInput, OSError) as error:
            _log.warning("a heartbeat was not answered", action="beat_failed", error=type(error).__name__)
            return False
        if "error" in answer:
            _log.warning("a heartbeat was refused", action="beat_failed", error=str(answer["error"])[:64])
            return False
        self._cancel(answer)
        for job_id in _job_ids(answer.get("lost")):
            # Only what this heartbeat named: a newer attempt may have come to this worker in the meantime.
            self._leases.lose(job_id, {lease["attempt"] for lease in renewed if lease["job_id"] == job_id})
        return True

    async def _on_control(self, message: Msg) -> None:
        try:
            self._cancel(wire.unpack(message.data, bytes_max=limits.CONTROL_SUBJECT_BYTES_MAX))
        except InvalidInput as error:
            _log.warning("a control message is malformed", action="control_malformed", error=error.code)

    def _cancel(self, order: dict[str, Any]) -> None:
        for job_id in _job_ids(order.get("cancel")):
            self._leases.cancel(job_id)


def _job_ids(value: Any) -> list[str]:
    """One id or a list of them."""
    listed = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [item for item in listed if isinstance(item, str)]


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
