"""The hourly look reads what came since the last one, wherever it is sure that the store still has the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.subjects import STREAM_ENDED, STREAM_JOBS
from holdgate.scheduler.errors import LogUnavailable, StateUnavailable
from holdgate.scheduler.recovery import Drift, Kind, reading, service
from holdgate.scheduler.recovery.covered import COVERED, READ_ALL_MS
from holdgate.scheduler.recovery.rebuild import Rebuild
from holdgate.scheduler.recovery.service import Recovery
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
    """It was lost, made again, and is longer by now."""
    for info in await keeper.nc.jetstream().streams_info():
        await keeper.nc.jetstream().delete_stream(info.config.name or "")
    await ensure_streams(keeper.nc)
    await keeper.scripts.command("DEL", "hg:{index}:log")
    for _ in range(4):
        await keeper.ran(State.SUCCEEDED)


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


@pytest.fixture
async def recovery(keeper: Keeper) -> Recovery:
    """Of a dispatcher that found the store sound."""
    recovery = Recovery(keeper.parts)
    recovery.start()
    await recovery.watch_once()
    return recovery


async def test_a_look_goes_on_where_it_was_when_the_log_answers_again(
    keeper: Keeper, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "AT_ONCE", 1)
    monkeypatch.setattr(service, "LOG_AGAIN_S", 0.0)
    asked: Counter[tuple[str, int]] = Counter()
    ask = reading.get_message

    async def fails_twice(nc: Nats, stream: str, seq: int) -> reading.Message | None:
        asked[stream, seq] += 1
        if asked[STREAM_JOBS, 2] in {1, 2} and (stream, seq) == (STREAM_JOBS, 2):
            raise LogUnavailable("another leader")
        return await ask(nc, stream, seq)

    monkeypatch.setattr(reading, "get_message", fails_twice)
    await keeper.lose()
    await recovery.watch_once()
    assert recovery.is_open()
    assert asked[STREAM_JOBS, 2] == 3
    assert asked[STREAM_JOBS, 1] == asked[STREAM_ENDED, 1] == 1


async def test_a_log_that_was_made_anew_meanwhile_is_not_gone_on_with(
    keeper: Keeper, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Rebuild.read_jobs

    async def loses(self: Rebuild, extent: reading.Extent) -> None:
        await another_log(keeper, "")
        await read(self, extent)

    monkeypatch.setattr(Rebuild, "read_jobs", loses)
    await keeper.lose()
    with pytest.raises(LogUnavailable):
        await recovery.watch_once()
    assert not recovery.is_open()


async def test_a_set_back_during_a_look_is_counted(
    keeper: Keeper, recovery: Recovery, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the look had put back is gone again, and the newest is there."""
    monkeypatch.setattr(service, "COUNT_S", 0.0)
    lost, _ = await keeper.let_in(), await keeper.let_in()
    copy = Copy.of(redis_url)
    read, looks = Rebuild.read_jobs, []

    async def goes_back(self: Rebuild, extent: reading.Extent) -> None:
        looks.append(1)
        if len(looks) == 1:
            copy.put_back()
            await keeper.scripts.command("DEL", key(TENANT, "job", lost.job_id))
        await read(self, extent)

    await keeper.lose()
    monkeypatch.setattr(Rebuild, "read_jobs", goes_back)
    with pytest.raises(StateUnavailable, match="during a look"):
        await recovery.watch_once()
    assert not recovery.is_open()
    await recovery.watch_once()
    assert recovery.is_open()
    assert await keeper.state(lost.job_id) is State.QUEUED


async def test_an_hourly_look_ends_for_one_that_hand_over_waits_for(
    keeper: Keeper, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, job = Rebuild.read_jobs, await keeper.let_in()

    async def doubts(self: Rebuild, extent: reading.Extent) -> None:
        recovery.doubt(TENANT, job.job_id)
        await read(self, extent)

    monkeypatch.setattr(Rebuild, "read_jobs", doubts)
    with pytest.raises(StateUnavailable):
        await recovery.reconcile_once()
    monkeypatch.undo()
    await recovery.watch_once()
    assert recovery.is_open()
    assert recovery.doubt(TENANT, job.job_id), "a look since then left it so"


async def test_half_of_the_time_of_a_look_is_for_hand_over_while_there_is_any(
    keeper: Keeper, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(service, "sleep", sleep)
    await keeper.scripts.command("DEL", COVERED)
    await recovery.reconcile_once()
    assert len(slept) > 1
    slept.clear()
    await keeper.lose()
    await recovery.watch_once()
    assert recovery.is_open()
    assert not slept
