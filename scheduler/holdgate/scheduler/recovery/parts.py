"""What everything here works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nats.aio.client import Client as Nats

from holdgate.kernel.clock import Clock
from holdgate.scheduler.errors import LogUnavailable
from holdgate.scheduler.recovery.reading import Pause, Wait
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.endings import Ending
from holdgate.scheduler.state.transitions import State

Progress = Callable[[str, int, int], None]
"""What is under way, how many are done, how many there are."""


def say_nothing(_what: str, _done: int, _of: int) -> None:
    """Nobody looks."""


async def go_on(_took_s: float) -> None:
    """Nobody waits for what a look takes."""


async def give_up(error: LogUnavailable) -> None:
    """Whoever looks may look again."""
    raise error


@dataclass(frozen=True, slots=True)
class RecoveryParts:
    """What a look needs. `retention_s`, `denied_s`, `quarantine_keep_s`: how long ended, denied and sealed jobs are
    kept in the state store."""

    nc: Nats
    scripts: Scripts
    clock: Clock
    retention_s: int
    denied_s: int
    quarantine_keep_s: int
    results_wait_s: float = 0.0
    """After a loss output gates have so long to say which jobs that came back have a result already."""
    idempotency_ttl_ms: int = 24 * 3600 * 1000
    on_progress: Progress = say_nothing
    pause: Pause = go_on
    """Awaited after each page of a look, with the seconds that it took. What it raises ends the look."""
    wait: Wait = give_up
    """Awaited where the log does not answer; then the look goes on where it was. What it raises ends the look."""

    @property
    def kept_s_min(self) -> int:
        """Whatever became of a job, so long it is kept after its end."""
        return min(self.retention_s, self.denied_s)

    def is_forgotten(self, ending: Ending, now_ms: int) -> bool:
        """Whether a job that ended so is not kept any more by now."""
        keep_s = self.denied_s if ending.state is State.DENIED else self.retention_s
        if ending.state is State.QUARANTINED and not ending.sealed_status:
            keep_s += self.quarantine_keep_s
        return ending.has_ended and ending.ended_ms < now_ms - keep_s * 1000
