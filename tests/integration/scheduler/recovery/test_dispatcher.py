"""A dispatcher whose Redis is lost or set back under it: closed until all is back, and then it goes on."""

from __future__ import annotations

import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel.ids import JobId
from holdgate.scheduler.recovery.service import Recovery
from holdgate.scheduler.recovery.soundness import Epochs, say_set_back
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.endings import Endings
from holdgate.scheduler.state.transitions import State
from support.dispatching import Stage, job_of
from support.losing import Copy, Keeper, connect_anew
from support.state import TENANT
from support.waiting import Eventually, eventually


@pytest.fixture
def keeper(nc: Nats, scripts: Scripts) -> Keeper:
    """For its parts."""
    return Keeper(scripts, nc=nc)


async def ended(stage: Stage, count: int = 1) -> list[JobId]:
    """Jobs that ran to their end; the log knows."""
    deliveries = []
    for _ in range(count):
        await stage.submit()
        deliveries += await stage.worker().ask(1, wait_ms=5000)
    for delivery in deliveries:
        await stage.finish(delivery)

    async def is_told() -> bool:
        return not await Endings(stage.scripts, "look").waiting([TENANT])

    await eventually(is_told)
    return [job_of(delivery).job_id for delivery in deliveries]


async def test_an_emptied_redis_is_noticed_and_only_what_had_not_ended_runs(stage: Stage) -> None:
    await stage.start()
    over = await ended(stage, 3)
    waiting = await stage.submit(requires=("gpu",))
    await stage.scripts.command("FLUSHDB")

    async def is_back() -> bool:
        views = await stage.jobs.get_many(TENANT, [*over, waiting])
        states = [None if view is None else view.state for view in views]
        return states == [State.SUCCEEDED] * 3 + [State.QUEUED]

    await eventually(is_back)
    [delivery] = await stage.worker().ask(4, wait_ms=5000, capabilities=("gpu",))
    assert job_of(delivery).job_id == waiting
    assert delivery["attempt"] > 2, "a number that no run had"


async def test_nothing_is_handed_over_by_a_dispatcher_that_cannot_tell(stage: Stage, keeper: Keeper) -> None:
    """Another one found the store set back; this one is closed until that is made good."""
    recovery = Recovery(keeper.parts)
    assert recovery.is_open(), "it serves nobody yet"
    recovery.start()
    assert not recovery.is_open()
    await recovery.watch_once()
    assert recovery.is_open()
    await keeper.scripts.command("SET", "hg:{index}:reconciling", "another")
    await say_set_back(keeper.scripts)
    await recovery.watch_once()
    assert not recovery.is_open()
    await keeper.scripts.command("DEL", "hg:{index}:reconciling")
    await recovery.watch_once()
    assert recovery.is_open()


async def test_counters_that_went_back_are_noticed(scripts: Scripts, redis_url: str) -> None:
    """An older copy over the same connection, in which nothing that was told is missing."""
    epochs = Epochs(scripts)
    assert not await epochs.count()
    copy = Copy.of(redis_url)
    assert not await epochs.count()
    copy.put_back()
    assert await epochs.count()
    assert not await epochs.count(), "told once"


async def test_a_new_connection_is_not_trusted_before_it_was_looked_at(stage: Stage, keeper: Keeper) -> None:
    """It may lead to a server with an older state."""
    recovery = Recovery(keeper.parts)
    recovery.start()
    await recovery.watch_once()
    await connect_anew(keeper.scripts)

    async def has_reconnected() -> bool:
        await keeper.scripts.command("PING")
        return not recovery.is_open()

    await eventually(has_reconnected)
    await recovery.watch_once()
    assert recovery.is_open()


async def test_a_copy_from_before_the_end_of_a_job_does_not_run_it_again(
    stage: Stage, redis_url: str, eventually: Eventually
) -> None:
    await stage.start()
    job_id = await stage.submit(requires=("gpu",))
    await eventually(lambda: _is(stage, job_id, State.QUEUED))
    copy = Copy.of(redis_url)
    [delivery] = await stage.worker().ask(1, wait_ms=5000, capabilities=("gpu",))
    await stage.finish(delivery)

    async def is_told() -> bool:
        return not await Endings(stage.scripts, "look").waiting([TENANT])

    await eventually(is_told)
    copy.put_back()
    await eventually(lambda: _is(stage, job_id, State.SUCCEEDED))
    assert await stage.worker().ask(1, wait_ms=300, capabilities=("gpu",)) == []


async def _is(stage: Stage, job_id: JobId, state: State) -> bool:
    view = await stage.jobs.get(TENANT, job_id)
    return view is not None and view.state is state
