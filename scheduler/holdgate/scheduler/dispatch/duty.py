"""A duty of a service: `run_once` again and again, one failure never the last run.

Every duty can be driven by tests through its `run_once`; `Periodic` and `Steady` only repeat it. What always holds: one
that is told to `end` begins no more runs, and ends the one that is under way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from holdgate.kernel.errors import HoldgateError
from holdgate.scheduler import metrics

log = structlog.get_logger(__name__)

PAUSE_AFTER_FAILURE_S = 1.0


class Periodic:
    """Calls `run_once` every `interval_s`, sooner after `nudge`. Run it as a task, until `end`."""

    def __init__(self, name: str, run_once: Callable[[], Awaitable[object]], interval_s: float) -> None:
        self.name = name
        self._run_once = run_once
        self._interval_s = interval_s
        self._nudged = asyncio.Event()
        self._is_ending = False

    def end(self) -> None:
        """Run no more."""
        self._is_ending = True
        self._nudged.set()

    def nudge(self) -> None:
        """Run again at once; several nudges before that are one."""
        self._nudged.set()

    async def run(self) -> None:
        """Until `end`, or cancelled."""
        while not self._is_ending:
            self._nudged.clear()
            pause_s = self._interval_s if await run_safely(self.name, self._run_once) else PAUSE_AFTER_FAILURE_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._nudged.wait()
            except TimeoutError:
                continue


class Steady:
    """Calls `run_once`, which itself waits for work. Run it as a task, until `end`."""

    def __init__(self, name: str, run_once: Callable[[], Awaitable[object]]) -> None:
        self.name = name
        self._run_once = run_once
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Run no more."""
        self._ending.set()

    async def run(self) -> None:
        """Until `end`, or cancelled."""
        while not self._ending.is_set():
            if await run_safely(self.name, self._run_once):
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_AFTER_FAILURE_S):
                    await self._ending.wait()


async def run_safely(name: str, run_once: Callable[[], Awaitable[object]]) -> bool:
    """Whether the run went well. A failure is logged and counted: the duty must go on when its servers are back."""
    try:
        await run_once()
    except HoldgateError as error:
        metrics.DUTY_FAILURES.labels(name).inc()
        log.warning("a duty failed", action="duty_failed", duty=name, code=error.code, error=str(error))
    except Exception:
        metrics.DUTY_FAILURES.labels(name).inc()
        log.exception("a duty failed", action="duty_failed", duty=name)
    else:
        return True
    return False
