"""Replays for the API: one at a time, in slices between which the process serves everybody else.

What always holds: no slice takes longer than about a millisecond, unless a single decision does; `REST` times as long
passes before the next; a replay ends at the first decision that takes too long, and after `SECONDS_MAX`, and its report
says that it is not whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from enum import StrEnum

from holdgate.bundles.replay import Recorded, Replay, ReplayReport
from holdgate.kernel.ids import Tenant
from holdgate.scheduler.api.problems import Problem
from holdgate.scheduler.state.recorded import RecordedDecisions, Wanted

SECONDS_MAX = 100.0
"""Under what callers wait for an answer."""
SLICE_S = 0.001
REST = 2.0
"""A submit passes the loop several times on its way, and waits for a slice each time that it meets one."""
DECISION_S_MAX = 0.05
"""Of a processor, for one record: others wait meanwhile, and would as well if the candidate were published."""
UNREADABLE = "unreadable"


class Stopped(StrEnum):
    """Why a replay ended before its end."""

    TIME = "time"
    SLOW = "slow"
    """The candidate takes so long for a single decision that nobody else would be served."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A report, and why it is not about all that was asked for; None where it is."""

    report: ReplayReport
    stopped: Stopped | None


class Replays:
    """The one place of a process where replays run."""

    def __init__(self, recorded: RecordedDecisions, *, seconds_max: float = SECONDS_MAX) -> None:
        self._recorded = recorded
        self._seconds_max = seconds_max
        self._is_busy = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The one turn that there is, for the block; Problem `overloaded` while somebody else has it."""
        if self._is_busy:
            raise Problem("overloaded", "another replay is under way", retry_after_s=5)
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False

    async def run(self, replay: Replay, tenant: Tenant, wanted: Wanted) -> Replayed:
        """Feed `replay` with what is on record of `tenant`. StateUnavailable."""
        pace = Pace(time.monotonic() + self._seconds_max)
        async with aclosing(self._recorded.read(tenant, wanted)) as batches:
            async for batch in batches:
                stopped = await pace.feed(replay, batch.records())
                if batch.unreadable:
                    replay.leave_out(UNREADABLE, batch.unreadable)
                if stopped is not None:
                    return Replayed(replay.report(), stopped)
        return Replayed(replay.report(), None)


class Pace:
    """How much is fed at once, and how long is rested after; until `until`, of the monotonic clock."""

    def __init__(self, until: float, *, decision_s_max: float = DECISION_S_MAX) -> None:
        self._until = until
        self._decision_s_max = decision_s_max

    async def feed(self, replay: Replay, records: Iterator[Recorded]) -> Stopped | None:
        """Feed `records` with pauses; why not all of them were, None where they were."""
        while time.monotonic() < self._until:
            started = time.perf_counter()
            while time.perf_counter() < started + SLICE_S:
                record = next(records, None)
                if record is None:
                    return None
                worked = time.thread_time()
                replay.feed((record,))
                if time.thread_time() - worked > self._decision_s_max:
                    return Stopped.SLOW
            await asyncio.sleep((time.perf_counter() - started) * REST)
        return Stopped.TIME
