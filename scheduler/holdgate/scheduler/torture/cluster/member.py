"""One process of a cluster, server or ours, that can be killed, stopped, paused and started again."""

from __future__ import annotations

import contextlib
import os
import signal

from holdgate.scheduler.torture.cluster.topology import kind_of
from holdgate.scheduler.up.supervise import Child, Supervisor

STOP_TIMEOUT_S = 15.0
START_TIMEOUT_S = 40.0


class Member:
    """A child of the supervisor. One that dies by itself is started again; one that was ended here stays away."""

    def __init__(self, child: Child, supervisor: Supervisor) -> None:
        self.name = child.spec.name
        self.kind = kind_of(child.spec.name)
        self._child = child
        self._supervisor = supervisor
        self._away = contextlib.ExitStack()

    @property
    def pid(self) -> int | None:
        """None while it is not there."""
        return self._child.pid

    @property
    def is_alive(self) -> bool:
        """Whether there is a process; a paused one is alive, too."""
        return self._child.pid is not None

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
        raise NotImplementedError

    async def _end(self, number: signal.Signals) -> None:
        raise NotImplementedError

    def _signal(self, number: signal.Signals) -> None:
        if self._child.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, number)
