"""Background work that is owned: every task belongs to a set, ends with it, and never fails unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

CANCEL_AGAIN_S = 0.5


class TaskSet:
    """Tasks that live as long as their owner. `on_failure` hears of every exception but cancellation."""

    def __init__(self, on_failure: Callable[[str, BaseException], None]) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_failure = on_failure

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` until it ends or the set is closed."""
        task = asyncio.create_task(work, name=name)  # noqa: TID251  this is the one place that starts tasks
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def __len__(self) -> int:
        return len(self._tasks)

    async def close(self) -> None:
        """Cancel what still runs and wait for its end.

        Again and again: `asyncio.wait_for` of Python 3.11 can swallow a cancellation that comes together with a result.
        """
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(set(self._tasks), timeout=CANCEL_AGAIN_S)

    async def wait(self, timeout_s: float) -> None:
        """Let what runs, and what that starts here, come to its end; return after `timeout_s` at the latest."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._tasks:
                    await asyncio.wait(set(self._tasks))
        except TimeoutError:
            return

    async def drain(self, timeout_s: float) -> None:
        """Let what runs come to its end, at most `timeout_s`; cancel the rest."""
        await self.wait(timeout_s)
        await self.close()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(task.get_name(), error)
