"""Who gets no work now, because an operator says so; looked up every second.

What always holds: what was looked up last holds on while the state cannot be read; before the first look everybody is
paused; a pause that is missing without anybody having ended it goes on, and is written again.
"""

from __future__ import annotations

import structlog

from holdgate.kernel.clock import Clock
from holdgate.scheduler.state.pauses import ENDED_KEPT_MS, Pause, Paused, Pauses

log = structlog.get_logger(__name__)

INTERVAL_S = 1.0
_Name = tuple[Paused, str]


class Pausing:
    """`run_once` looks; `is_paused` tells."""

    def __init__(self, pauses: Pauses, clock: Clock) -> None:
        self._pauses = pauses
        self._clock = clock
        self._now: dict[_Name, Pause] | None = None

    async def run_once(self) -> int:
        """How many there are. StateUnavailable."""
        known = {(pause.kind, pause.name): pause for pause in await self._pauses.known()}
        lost = [pause for name, pause in (self._now or {}).items() if name not in known]
        self._now = {name: pause for name, pause in known.items() if not pause.is_over}
        self._now |= {(pause.kind, pause.name): pause for pause in lost}
        if lost:
            log.critical("pauses were lost, and go on", action="pauses_lost", names=[pause.name for pause in lost])
            await self._pauses.bring_back(lost)
        long_ago_ms = self._clock.now_ms() - ENDED_KEPT_MS
        await self._pauses.forget([one for one in known.values() if one.is_over and one.since_ms < long_ago_ms])
        return len(self._now)

    def is_paused(self, pool: str, worker: str) -> bool:
        """Whether this worker of this pool is handed nothing."""
        now = self._now
        return now is None or (Paused.POOL, pool) in now or (Paused.WORKER, worker) in now
