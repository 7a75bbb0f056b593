"""One process of a cluster, server or ours, that can be killed, stopped, paused and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import replace

from holdgate.scheduler.errors import ServerUnusable
from holdgate.scheduler.torture.cluster.topology import kind_of
from holdgate.scheduler.up.supervise import Child, Spec, Supervisor

STOP_TIMEOUT_S = 15.0
START_TIMEOUT_S = 80.0
POLL_S = 0.02
Answers = Callable[[], bool] | None


class Member:
    """A child of the supervisor. One that dies by itself is started again; one that was ended here stays away.

    `answers`: how a server shows that it is there; None: the process says so itself.
    """

    def __init__(self, child: Child, supervisor: Supervisor, answers: Answers = None) -> None:
        self.name = child.spec.name
        self.kind = kind_of(child.spec.name)
        self._child = child
        self._supervisor = supervisor
        self._answers = answers
        self._away = contextlib.ExitStack()
        self.is_held = False
        """Whether it was ended here and is to stay away."""
        self.ends = 0
        """How often it was ended here."""

    @property
    def pid(self) -> int | None:
        """None while it is not there."""
        return self._child.pid

    @property
    def is_alive(self) -> bool:
        """Whether there is a process; a paused one is alive, too."""
        return self._child.pid is not None

    @property
    def spec(self) -> Spec:
        """What is started."""
        return self._child.spec

    async def kill(self) -> None:
        """SIGKILL; away until `start`."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, by force after STOP_TIMEOUT_S; away until `start`."""
        await self._end(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    async def start(self) -> None:
        """There again, and ready where it says so. Does nothing when it is not away."""
        if not self.is_held:
            return
        self._child.failures = 0
        self.is_held = False
        self._away.close()
        await self.wait_there()

    async def start_as(self, change: Callable[[Spec], Spec]) -> None:
        """`start`, as `change` has it: other variables, another program. Lasts until the next `start_as`."""
        self._child.spec = replace(change(self._child.spec), name=self.name, kind=self.name)
        await self.start()

    async def wait_there(self) -> None:
        """Until it is ready; ServerUnusable after START_TIMEOUT_S."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                if self._answers is None:
                    await self._child.ready.wait()
                    return
                while not (self.is_alive and await asyncio.to_thread(self._answers)):  # noqa: ASYNC110  no event tells
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise ServerUnusable(f"{self.name} did not start; see `{self._child.spec.log}`") from error

    async def _end(self, number: signal.Signals) -> None:
        if not self.is_held:
            self._away.enter_context(self._supervisor.hold(self.name))
            self.is_held = True
        self.ends += self.is_alive
        self._signal(number)
        if number is not signal.SIGKILL:
            self._signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._gone()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self._gone()

    async def _gone(self) -> None:
        while self.is_alive:
            await self._child.gone.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._child.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, number)
