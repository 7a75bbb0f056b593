"""The hourly look reads what came since the last one, wherever it is sure that the store still has the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.recovery import Drift, Kind
from holdgate.scheduler.recovery.covered import COVERED, READ_ALL_MS
from holdgate.scheduler.state.connection import Scripts, key
from holdgate.scheduler.state.log import ensure_streams
from holdgate.scheduler.state.transitions import State
from support.losing import Copy, Keeper
from support.state import TENANT

Doubtful: TypeAlias = Callable[[Keeper, str], Awaitable[None]]


@pytest.fixture
async def keeper(nc: Nats, scripts: Scripts, streams: None) -> Keeper:
    """Two jobs, looked at."""
    keeper = Keeper(scripts, SystemClock().now_ms(), nc=nc)
    await keeper.let_in()
    await keeper.ran(State.SUCCEEDED)
    await keeper.reconcile()
    assert (await keeper.reconcile()).total == 0
    return keeper


async def look(keeper: Keeper) -> Drift:
    """The hourly one."""
    return await keeper.reconcile(reads_all=False)


async def test_what_an_earlier_look_read_is_not_read_again(keeper: Keeper) -> None:
    await keeper.ran(State.SUCCEEDED)
    for jobs in (1, 0):
        drift = await look(keeper)
        assert (drift.read_all, drift.jobs, drift.endings, drift.total) == (False, jobs, jobs, 0)


async def test_a_job_that_was_lost_since_comes_back(keeper: Keeper) -> None:
    lost, _ = await keeper.let_in(), await keeper.let_in()
    await keeper.scripts.command("DEL", key(TENANT, "job", lost.job_id))
    drift = await look(keeper)
    assert (drift.read_all, drift.counts[Kind.MISSING]) == (True, 1)
    assert await keeper.state(lost.job_id) is State.QUEUED
    assert (await look(keeper)).read_all, "what was put back may be lost again"
    assert not (await look(keeper)).read_all


async def test_an_end_since_of_a_job_from_before_is_known_or_comes_back(keeper: Keeper, redis_url: str) -> None:
    job = await keeper.let_in()
    await look(keeper)
    copy = Copy.of(redis_url)
    await keeper.run(job.job_id, State.SUCCEEDED)
    await keeper.ran(State.SUCCEEDED)
    assert not (await look(keeper)).read_all
    copy.put_back()
    drift = await look(keeper)
    assert drift.was_lost
    assert (drift.counts[Kind.BEHIND], drift.counts[Kind.MISSING_ENDED]) == (1, 1)


async def test_an_ended_job_from_before_that_is_gone_comes_back(keeper: Keeper) -> None:
    """Of it only the end came since; the newest of everything is there."""
    job = await keeper.let_in()
    await look(keeper)
    await keeper.run(job.job_id, State.SUCCEEDED)
    await keeper.ran(State.SUCCEEDED)
    await keeper.scripts.command("DEL", key(TENANT, "job", job.job_id))
    drift = await look(keeper)
    assert (drift.read_all, drift.counts[Kind.MISSING_ENDED]) == (True, 1)


async def day_later(keeper: Keeper, _url: str) -> None:
    """Nobody said that anything was lost."""
    keeper.pass_ms(READ_ALL_MS)


async def clock_back(keeper: Keeper, _url: str) -> None:
    """How long ago everything was read nobody knows."""
    keeper.pass_ms(-READ_ALL_MS)


async def tenant_set_back(keeper: Keeper, _url: str) -> None:
    """One primary of several was, and the mark is on another."""
    for name in await keeper.scripts.command("KEYS", key(TENANT, "looked:*")):
        await keeper.scripts.command("DEL", name)


async def another_log(keeper: Keeper, _url: str) -> None:
    """It was lost, and made again."""
    for info in await keeper.nc.jetstream().streams_info():
        await keeper.nc.jetstream().delete_stream(info.config.name or "")
    await ensure_streams(keeper.nc)
    await keeper.scripts.command("DEL", "hg:{index}:log")


async def unreadable_mark(keeper: Keeper, _url: str) -> None:
    """Another release wrote it."""
    await keeper.scripts.command("SET", COVERED, b"1 2 3")


async def look_without_end(keeper: Keeper, _url: str) -> None:
    """Only what came to its end counts."""
    await keeper.scripts.command("DEL", COVERED)


@pytest.mark.parametrize(
    "befalls", [day_later, clock_back, tenant_set_back, another_log, unreadable_mark, look_without_end]
)
async def test_everything_is_read_where_nobody_can_say(keeper: Keeper, redis_url: str, befalls: Doubtful) -> None:
    assert not (await look(keeper)).read_all
    await befalls(keeper, redis_url)
    assert (await look(keeper)).read_all
