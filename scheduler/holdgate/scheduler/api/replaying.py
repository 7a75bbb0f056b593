"""Replays for the API: one at a time, in slices between which the process serves everybody else.

What always holds: no slice takes longer than about a millisecond, unless a single decision does; `REST` times as long
passes before the next; a replay ends after `SECONDS_MAX`, and its report says that it is not whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from itertools import islice

from holdgate.bundles.replay import Recorded, Replay, ReplayReport
from holdgate.kernel.ids import Tenant
from holdgate.scheduler.api.problems import Problem
from holdgate.scheduler.state.recorded import RecordedDecisions, Wanted

SECONDS_MAX = 100.0
"""Under what callers wait for an answer."""
SLICE_S = 0.001
SLICE_RECORDS = 50
REST = 2.0
"""A submit passes the loop several times on its way, and waits for a slice each time that it meets one."""
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Replayed:
    """A report, and whether it is about all that was asked for."""

    report: ReplayReport
    complete: bool


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
        until = time.monotonic() + self._seconds_max
        async with aclosing(self._recorded.read(tenant, wanted)) as batches:
            async for batch in batches:
                whole = await feed_in_slices(replay, batch.records(), until)
                if batch.unreadable:
                    replay.leave_out(UNREADABLE, batch.unreadable)
                if not whole:
                    return Replayed(replay.report(), complete=False)
        return Replayed(replay.report(), complete=True)


async def feed_in_slices(replay: Replay, records: Iterator[Recorded], until: float) -> bool:
    """Feed `records` with pauses; False when it was later than `until` (monotonic clock) before all were fed."""
    size = SLICE_RECORDS
    while time.monotonic() < until:
        started = time.perf_counter()
        fed = list(islice(records, size))
        if not fed:
            return True
        replay.feed(fed)
        taken_s = time.perf_counter() - started
        size = max(1, min(SLICE_RECORDS, int(size * SLICE_S / max(taken_s, 1e-6))))
        await asyncio.sleep(taken_s * REST)
    return False
