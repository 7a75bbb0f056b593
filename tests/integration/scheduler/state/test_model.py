"""Random operations and crashes between their steps, over real Redis; after each, everything that must hold is checked.

A crash is a step that does not happen: accepted and never published, picked and never started, started and silent. The
seed is in the test's name: run that one again to see the same walk. `tests/support/walk.py` has what may happen.
"""

from __future__ import annotations

import pytest

from holdgate.scheduler.state.connection import Scripts
from support.state import World
from support.walk import Walk

SEEDS = 24
STEPS = 150
MUST_HAPPEN = {
    "job.accepted",
    "job.held",
    "job.scheduled",
    "job.denied",
    "job.queued",
    "job.running",
    "job.finishing",
    "job.succeeded",
    "job.quarantined",
    "job.failed",
    "job.timed_out",
    "job.cancelled",
    "job.expired",
    "job.cancel_requested",
    "approval.vote",
    "approval.consumed",
    "approval.stale",
    "approval.requested",
}


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whatever_happens_in_whatever_order_the_invariants_hold(world: World, seed: int) -> None:
    """Invariants 1 to 6 of the design as far as the state keeps them; and afterwards every job reaches an end."""
    walk = Walk(world, seed)
    await walk.steps(STEPS)
    await walk.drain()


async def test_walks_go_everywhere(scripts: Scripts) -> None:
    """A walk that never starts a job proves nothing: within as many walks, every kind of event comes about."""
    missing = set(MUST_HAPPEN)
    for seed in range(SEEDS):
        walk = Walk(World(scripts), seed)
        await walk.steps(STEPS)
        await walk.drain()
        missing -= {event.type for event in await walk.events()}
        if not missing:
            return
        await scripts.everywhere("FLUSHDB")
    raise AssertionError(f"never seen: {missing}")
