"""A flag that says `stop`: set from any thread, read by handlers on the loop, in threads and in processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from enum import StrEnum


class StopReason(StrEnum):
    """Why a handler is to end before its end."""

    CANCELLED = "cancelled"
    """Somebody cancelled the job."""
    TIMED_OUT = "timed_out"
    """The run is over its time limit."""
    LEASE_LOST = "lease_lost"
    """The dispatcher gave the job to somebody else; nothing this run returns will count."""
    SHUTDOWN = "shutdown"
    """The worker ends and its drain time is used up."""


class Cancellation:
    """Set once, with the first reason given; true when set. Safe to use from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []
        self.reason: StopReason | None = None

    def __bool__(self) -> bool:
        return self._event.is_set()

    def is_set(self) -> bool:
        """Whether the handler should stop."""
        return self._event.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block the calling thread until the flag is set, at most `timeout_s`; returns whether it is set."""
        return self._event.wait(timeout_s)

    async def wait_async(self) -> None:
        """Wait on the running loop until the flag is set."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

        self.on_set(wake)
        await event.wait()

    def on_set(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, in the thread that sets the flag; at once when it is set already."""
        with self._lock:
            if not self._event.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def set(self, reason: StopReason) -> None:
        """Ask the handler to stop; the first reason stays."""
        with self._lock:
            if self._event.is_set():
                return
            self.reason = reason
            self._event.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
