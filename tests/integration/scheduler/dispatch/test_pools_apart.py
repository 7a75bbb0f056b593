"""Workers of one pool, under whatever names they ask, take nothing of another's."""

from __future__ import annotations

import asyncio

import pytest

from holdgate.kernel import wire
from holdgate.kernel.ids import WorkerId
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch import asks, offers
from holdgate.scheduler.dispatch.fairness import FairShare
from support.dispatching import Stage, Worker, job_of
from support.waiting import Eventually


async def test_the_asks_of_one_pool_leave_room_for_those_of_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(asks, "POOL_ASKS_MAX", 3)
    waiting = [
        asyncio.create_task(Worker(stage.nc, f"made-up-{number}", "evil").ask(wait_ms=1500)) for number in range(3)
    ]
    await eventually(lambda: _open() == 3)
    with pytest.raises(AssertionError, match="busy"):
        await Worker(stage.nc, "made-up-9", "evil").ask(wait_ms=0)
    assert await stage.worker().ask(wait_ms=0) == []
    await asyncio.gather(*waiting)
    assert await Worker(stage.nc, "made-up-9", "evil").ask(wait_ms=0) == []


async def test_a_name_that_another_pool_has_too_ends_no_ask_there(stage: Stage, eventually: Eventually) -> None:
    """Asks beyond three of one worker supersede its own, and not those of its namesake."""
    ours = asyncio.create_task(stage.worker("w1").ask(wait_ms=5000))
    await eventually(lambda: _open() == 1)
    theirs = [asyncio.create_task(Worker(stage.nc, "w1", "evil").ask(wait_ms=400)) for _ in range(3)]
    await eventually(lambda: _open() == 4)
    await asyncio.gather(*theirs)
    job_id = await stage.submit()
    assert [job_of(delivery).job_id for delivery in await ours] == [job_id]


def test_what_is_remembered_of_offers_is_bounded_and_the_newest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "OFFERS_CHARS_MAX", 10_000)
    pool = offers.Pool(FairShare({}))
    for number in range(1000):
        name = f"w{number % 500}"
        topic = f"job.{'x' * 80}.{number}"
        body = {"worker": name, "pool": "p", "topics": [topic], "capabilities": [], "n": 1, "wait_ms": 0}
        pool.note(offers.Ask.from_message(f"hg.ask.p.{name}", wire.pack(body)), 1.0)
        assert pool.chars == sum(ask.chars for ask, _ in pool.offers.values()) <= 10_000
    assert list(pool.offers)[-1] == WorkerId("w499")
    assert len(pool.offers) > 10


def _open() -> float:
    return sum(sample.value for sample in next(iter(metrics.ASKS_WAITING.collect())).samples)
