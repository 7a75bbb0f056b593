"""What was told of jobs that ran survives a loss: that they had started in time, and that they are to be cancelled."""

from __future__ import annotations

from dataclasses import replace

import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import JobId
from holdgate.scheduler.recovery import Kind, reading
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.transitions import State
from support.dispatching import Stage
from support.losing import Copy, Keeper
from support.state import TENANT
from support.waiting import eventually

IN_TIME_MS = 60_000


@pytest.fixture
async def keeper(nc: Nats, scripts: Scripts, streams: None) -> Keeper:
    """Nothing in it but what a first look leaves."""
    keeper = Keeper(scripts, SystemClock().now_ms(), nc=nc)
    await keeper.reconcile()
    return keeper


async def runs(keeper: Keeper, job_id: JobId) -> None:
    """It is handed over."""
    [picked] = [item for item in await keeper.pick(9) if item.job.job_id == job_id]
    await keeper.start(picked)


async def ask_to_cancel(keeper: Keeper, job_id: JobId) -> None:
    """Told to whoever asks, and a moment later to the log."""
    await keeper.jobs.cancel(TENANT, job_id, by="agent", reason="stop", now_ms=keeper.now_ms)
    await keeper.telling.run_once()


async def expire(keeper: Keeper) -> None:
    """What the reaper does of itself."""
    await keeper.backlog.expire_deadlines(TENANT, keeper.now_ms)


async def test_a_job_that_started_in_time_comes_back_though_its_deadline_is_over(keeper: Keeper) -> None:
    started = await keeper.let_in(deadline_ms=keeper.now_ms + IN_TIME_MS, max_attempts=2)
    await runs(keeper, started.job_id)
    late = await keeper.let_in(deadline_ms=keeper.now_ms + IN_TIME_MS)
    await keeper.telling.run_once()
    await keeper.lose()
    keeper.pass_ms(IN_TIME_MS + 1)
    assert (await keeper.reconcile()).counts[Kind.MISSING] == 2
    await expire(keeper)
    assert await keeper.states() == {started.job_id: State.QUEUED, late.job_id: State.EXPIRED}
    await runs(keeper, started.job_id)
    assert await keeper.state(started.job_id) is State.RUNNING


async def test_nor_does_one_end_that_was_set_back_to_before_its_start(keeper: Keeper, redis_url: str) -> None:
    job = await keeper.let_in(deadline_ms=keeper.now_ms + IN_TIME_MS, max_attempts=2)
    copy = Copy.of(redis_url)
    await runs(keeper, job.job_id)
    await keeper.telling.run_once()
    copy.put_back()
    keeper.pass_ms(IN_TIME_MS + 1)
    drift = await keeper.reconcile()
    assert (drift.was_lost, drift.counts[Kind.BEHIND]) == (True, 1)
    await expire(keeper)
    [again] = await keeper.pick(9)
    assert again.attempt > 1
    await keeper.start(again)
    assert await keeper.state(job.job_id) is State.RUNNING
    assert (await keeper.reconcile()).total == 0


async def test_what_people_ended_meanwhile_does_not_run_for_it(keeper: Keeper, redis_url: str) -> None:
    job = await keeper.let_in(deadline_ms=keeper.now_ms + IN_TIME_MS)
    copy = Copy.of(redis_url)
    await runs(keeper, job.job_id)
    await keeper.telling.run_once()
    copy.put_back()
    await keeper.jobs.cancel(TENANT, job.job_id, by="agent", reason="stop", now_ms=keeper.now_ms)
    assert (await keeper.reconcile()).counts[Kind.BEHIND] == 0
    assert await keeper.state(job.job_id) is State.CANCELLED


async def test_a_running_job_that_was_to_be_cancelled_does_not_run_again(keeper: Keeper) -> None:
    job = await keeper.let_in(max_attempts=2)
    await runs(keeper, job.job_id)
    await ask_to_cancel(keeper, job.job_id)
    await keeper.lose()
    assert (await keeper.reconcile()).counts[Kind.MISSING_ENDED] == 1
    view = await keeper.jobs.require(TENANT, job.job_id)
    assert (view.state, view.code, view.cancel_requested_by) == (State.CANCELLED, "cancelled", "agent")
    await keeper.telling.run_once()
    await keeper.lose()
    await keeper.reconcile()
    assert await keeper.state(job.job_id) is State.CANCELLED, "the log was told of it"
    assert await keeper.pick(9) == []


async def test_one_that_was_set_back_to_before_its_start_is_cancelled(keeper: Keeper, redis_url: str) -> None:
    job = await keeper.let_in(max_attempts=2)
    copy = Copy.of(redis_url)
    await runs(keeper, job.job_id)
    await ask_to_cancel(keeper, job.job_id)
    copy.put_back()
    assert (await keeper.reconcile()).counts[Kind.BEHIND] == 1
    assert await keeper.state(job.job_id) is State.CANCELLED
    assert await keeper.telling.run_once() == 1
    assert (await keeper.reconcile()).total == 0


async def test_one_that_runs_still_hears_of_it(keeper: Keeper, redis_url: str) -> None:
    job = await keeper.let_in(max_attempts=2)
    await runs(keeper, job.job_id)
    copy = Copy.of(redis_url)
    await ask_to_cancel(keeper, job.job_id)
    copy.put_back()
    assert (await keeper.reconcile()).counts[Kind.BEHIND] == 1
    view = await keeper.jobs.require(TENANT, job.job_id)
    assert (view.state, view.cancel_requested_by) == (State.RUNNING, "agent")


async def test_a_job_that_was_retried_after_its_cancel_is_not_cancelled_again(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the log says last counts, however it is read."""
    monkeypatch.setattr(reading, "AT_ONCE", 1)
    job = await keeper.let_in(max_attempts=1)
    [picked] = await keeper.pick(9)
    _, token = await keeper.start(picked)
    await ask_to_cancel(keeper, job.job_id)
    request = replace(keeper.finish_request(picked, token, State.FAILED), code="boom")
    await keeper.results.finish(TENANT, [request], keeper.now_ms)
    await keeper.telling.run_once()
    await keeper.jobs.retry(TENANT, job.job_id, by="operator", now_ms=keeper.now_ms)
    await keeper.telling.run_once()
    assert (await keeper.reconcile()).total == 0
    await keeper.lose()
    await keeper.reconcile()
    assert await keeper.state(job.job_id) is State.QUEUED


async def test_an_end_is_not_known_for_a_step_that_waits_to_be_told(keeper: Keeper, redis_url: str) -> None:
    """A state that was set back gives numbers again: the start has the number that the end had, and more."""
    job = await keeper.let_in(deadline_ms=keeper.now_ms + IN_TIME_MS, max_attempts=2)
    copy = Copy.of(redis_url)
    await keeper.run(job.job_id, State.SUCCEEDED)
    copy.put_back()
    for _ in range(9):
        await keeper.let_in()
    await runs(keeper, job.job_id)
    await keeper.reconcile(is_set_back=True)
    assert await keeper.state(job.job_id) is State.SUCCEEDED


async def test_nothing_expires_while_nobody_knows_whether_the_state_is_whole(stage: Stage, keeper: Keeper) -> None:
    """What started in time may be queued in it."""
    job_id = (await keeper.let_in(deadline_ms=keeper.now_ms + 1)).job_id
    recovery, reaper = stage.dispatcher.recovery, stage.dispatcher.reaper
    recovery.start()
    await eventually_over(stage, keeper.now_ms + 1)
    await reaper.run_once()
    assert (await stage.jobs.require(TENANT, job_id)).state is State.QUEUED
    await recovery.watch_once()
    await reaper.run_once()
    assert (await stage.jobs.require(TENANT, job_id)).state is State.EXPIRED


async def eventually_over(stage: Stage, at_ms: int) -> None:
    """That moment is past."""

    async def is_over() -> bool:
        return stage.clock.now_ms() > at_ms

    await eventually(is_over)
