"""What a fault takes away by its nature, as data: the checker allows just that, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Bend(StrEnum):
    """What may happen that otherwise may not."""

    LOST_WRITES = "lost_writes"
    """The state forgot what it told in the window: states may be seen earlier again, votes are void, a handler may run
    again. A job that was answered 202 still exists and ends."""
    LOST_RESULTS = "lost_results"
    """Results that had no verdict in the window are gone: such a job is `finishing` until a dispatcher gives it up,
    which takes longer than a torture waits. Nothing else is excused."""
    WRONG_CLOCK = "wrong_clock"
    """`who` told and judged times by a clock that was wrong in the window."""


@dataclass(frozen=True, slots=True)
class Bends:
    """One of them, for a window of the wall clock, as far as it concerns `who` (empty: everybody)."""

    bend: Bend
    since_ms: int
    until_ms: int
    who: str = ""
    ends_since_ms: int = 0
    """Of LOST_WRITES: ends that were told before that are in the log and stand, whatever else is gone."""


def lost_writes(since_ms: int, until_ms: int, ends_since_ms: int = 0) -> Bends:
    """What Redis told between the two may be gone; ends only from `ends_since_ms` on."""
    return Bends(Bend.LOST_WRITES, since_ms, until_ms, ends_since_ms=ends_since_ms)
