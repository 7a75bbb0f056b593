"""A duty of a service: `run_once` again and again, one failure never the last run.

Every duty can be driven by tests through its `run_once`; `Periodic` only repeats it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from holdgate.kernel.errors import HoldgateError
from holdgate.scheduler import metrics

log = structlog.get_logger(__name__)

PAUSE_AFTER_FAILURE_S = 1.0


class Periodic:
    """Calls `run_once` every `interval_s`, sooner after `nudge`. Run it as a task; cancel it to end it."""

    def __init__(self, name: str, run_once: Callable[[], Awaitable[object]], interval_s: float) -> None:
        self.name = name
        self._run_once = run_once
        self._interval_s = interval_s
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """Run again at once; several nudges before that are one."""
        self._nudged.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._nudged.clear()
            pause_s = self._interval_s if await run_safely(self.name, self._run_once) else PAUSE_AFTER_FAILURE_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._nudged.wait()
            except TimeoutError:
                continue


async def run_forever(name: str, run_once: Callable[[], Awaitable[object]]) -> None:
    """Call `run_once`, which itself waits for work, until cancelled."""
    while True:
        if not await run_safely(name, run_once):
            await asyncio.sleep(PAUSE_AFTER_FAILURE_S)


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
