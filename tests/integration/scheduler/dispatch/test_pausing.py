"""What operators keep from getting work gets none, and nothing else happens to it."""

from __future__ import annotations

import pytest

from holdgate.kernel.ids import SYSTEM
from holdgate.scheduler.dispatch.pausing import Pausing
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.pauses import ENDED_KEPT_MS, Pause, Paused, Pauses
from holdgate.scheduler.state.transitions import State
from support.dispatching import Stage
from support.state import POOL


def pause(kind: Paused, name: str) -> Pause:
    return Pause(kind, name, "root", "a new machine", 1)


@pytest.mark.parametrize("kind", Paused)
async def test_who_is_paused_gets_nothing_until_that_ends(stage: Stage, kind: Paused) -> None:
    """The job waits in its place; it is neither lost nor tried in vain."""
    worker, pauses = stage.worker(), Pauses(stage.scripts)
    name = POOL if kind is Paused.POOL else worker.name
    await pauses.begin(pause(kind, name))
    await stage.dispatcher.pausing.run_once()
    job_id = await stage.submit()
    assert await worker.ask(wait_ms=300) == []
    assert await stage.state_of(job_id) is State.QUEUED
    assert await pauses.end(kind, name, by="root", now_ms=2)
    assert not await pauses.end(kind, name, by="root", now_ms=3)
    await stage.dispatcher.pausing.run_once()
    (delivery,) = await worker.ask()
    assert (delivery["job"]["job_id"], delivery["attempt"]) == (job_id, 1)


async def test_another_worker_of_the_pool_takes_what_a_draining_one_would_have(stage: Stage) -> None:
    """Also where the draining one asked first."""
    draining, other = stage.worker("w1"), stage.worker("w2")
    await Pauses(stage.scripts).begin(pause(Paused.WORKER, draining.name))
    await stage.dispatcher.pausing.run_once()
    await stage.submit()
    assert await draining.ask(wait_ms=200) == []
    assert len(await other.ask()) == 1


async def test_nobody_gets_anything_before_the_first_look(stage: Stage) -> None:
    """A dispatcher that starts while the state is away must not forget a pause."""
    looking = Pausing(Pauses(stage.scripts), stage.clock)
    assert looking.is_paused(POOL, "w1")
    await looking.run_once()
    assert not looking.is_paused(POOL, "w1")


async def test_a_pause_outlives_a_state_store_that_was_lost(stage: Stage) -> None:
    """Only somebody who ends it ends it, and a dispatcher that starts then hears of it again."""
    pauses, running = Pauses(stage.scripts), Pausing(Pauses(stage.scripts), stage.clock)
    await pauses.begin(pause(Paused.POOL, POOL))
    await pauses.begin(pause(Paused.WORKER, "w9"))
    await running.run_once()
    assert await pauses.end(Paused.WORKER, "w9", by="root", now_ms=stage.clock.now_ms())
    await running.run_once()
    await stage.scripts.everywhere("FLUSHDB")
    await running.run_once()
    assert running.is_paused(POOL, "w1")
    started = Pausing(Pauses(stage.scripts), stage.clock)
    await started.run_once()
    assert started.is_paused(POOL, "w1")
    assert [found.name for found in await pauses.list_pauses()] == [POOL]


async def test_that_a_pause_was_ended_is_forgotten_after_a_day(stage: Stage) -> None:
    """So that workers of long ago leave nothing behind."""
    pauses, running = Pauses(stage.scripts), Pausing(Pauses(stage.scripts), stage.clock)
    for name, ended_ms in (("old", stage.clock.now_ms() - ENDED_KEPT_MS - 1), ("new", stage.clock.now_ms())):
        await pauses.begin(pause(Paused.WORKER, name))
        await pauses.end(Paused.WORKER, name, by="root", now_ms=ended_ms)
    assert await running.run_once() == 0
    assert [found.name for found in await pauses.known()] == ["new"]


async def test_pauses_are_in_the_trail_of_the_system(stage: Stage) -> None:
    """With who and why."""
    pauses = Pauses(stage.scripts)
    await pauses.begin(pause(Paused.POOL, POOL))
    await pauses.end(Paused.POOL, POOL, by="root", now_ms=2)
    events = await AuditTrail(stage.scripts).read(SYSTEM, 0)
    told = [(event.type, event.details.get("name"), event.details.get("reason")) for event in events]
    assert told[-2:] == [("pool.paused", POOL, "a new machine"), ("pool.resumed", POOL, None)]
