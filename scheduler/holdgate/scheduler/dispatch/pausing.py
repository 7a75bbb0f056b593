"""Who gets no work now, because an operator says so; looked up every second.

What always holds: what was looked up last holds on while the state cannot be read; before the first look everybody is
paused.
"""

from __future__ import annotations

from holdgate.scheduler.state.pauses import Paused, Pauses

INTERVAL_S = 1.0


class Pausing:
    """`run_once` looks; `is_paused` tells."""

    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses
        self._now: frozenset[tuple[Paused, str]] | None = None

    async def run_once(self) -> int:
        """How many there are. StateUnavailable."""
        found = await self._pauses.list_pauses()
        self._now = frozenset((pause.kind, pause.name) for pause in found)
        return len(found)

    def is_paused(self, pool: str, worker: str) -> bool:
        """Whether this worker of this pool is handed nothing."""
        now = self._now
        return now is None or (Paused.POOL, pool) in now or (Paused.WORKER, worker) in now
