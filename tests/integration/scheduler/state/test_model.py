"""Random operations and crashes between their steps, over real Redis; after each, everything that must hold is checked.

A crash is a step that does not happen: accepted and never published, picked and never started, started and silent. The
seed is in the test's name: run that one again to see the same walk. `tests/support/walk.py` has what may happen.
"""

from __future__ import annotations

from collections import Counter

import pytest

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
_seen: Counter[str] = Counter()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whatever_happens_in_whatever_order_the_invariants_hold(world: World, seed: int) -> None:
    """Invariants 1 to 6 of the design as far as the state keeps them; and afterwards every job reaches an end."""
    walk = Walk(world, seed)
    await walk.steps(STEPS)
    await walk.drain()
    _seen.update(event.type for event in await walk.events())


def test_the_walks_went_everywhere() -> None:
    """A walk that never starts a job proves nothing: every kind of event came about."""
    if sum(_seen.values()) == 0:
        pytest.skip("the walks did not run in this process")
    assert set(_seen) >= MUST_HAPPEN, f"never seen: {MUST_HAPPEN - set(_seen)}"
