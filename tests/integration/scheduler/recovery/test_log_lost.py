"""JetStream lost: what waits or ended in Redis comes into the log again, once an operator made the streams."""

from __future__ import annotations

import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel import subjects
from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import JobId
from holdgate.scheduler.errors import LogUnavailable
from holdgate.scheduler.recovery import Kind
from holdgate.scheduler.recovery.service import Recovery
from holdgate.scheduler.state.backlog import PAYLOAD_LOST
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.log import PayloadStore, StreamSettings, ensure_streams
from holdgate.scheduler.state.transitions import State
from support.dispatching import ALLOW_ALL, HOLD_ALL, Stage, job_of
from support.losing import Keeper
from support.state import TENANT, make_job
from support.waiting import Eventually

LARGE = b'"' + b"x" * 300_000 + b'"'


@pytest.fixture
async def keeper(nc: Nats, scripts: Scripts, streams: None) -> Keeper:
    """Nothing in it but what a first look leaves."""
    keeper = Keeper(scripts, SystemClock().now_ms(), nc=nc)
    await keeper.reconcile()
    return keeper


async def wipe(nc: Nats) -> None:
    """Every stream is gone."""
    js = nc.jetstream()
    for info in await js.streams_info():
        await js.delete_stream(info.config.name or "")


async def test_jobs_and_endings_come_into_the_log_again_and_survive_a_loss_of_redis(keeper: Keeper) -> None:
    ended, waiting, held = await keeper.ran(State.SUCCEEDED), await keeper.let_in(), await keeper.let_in(held=True)
    before = await keeper.states()
    await wipe(keeper.nc)
    with pytest.raises(LogUnavailable):
        await keeper.reconcile()
    await ensure_streams(keeper.nc)
    drift = await keeper.reconcile()
    assert (drift.counts[Kind.UNLOGGED], drift.counts[Kind.UNLOGGED_ENDING]) == (3, 1)
    assert not drift.was_lost
    assert (await keeper.reconcile()).total == 0
    await keeper.lose()
    again = await keeper.reconcile()
    assert (again.counts[Kind.MISSING], again.counts[Kind.MISSING_ENDED]) == (2, 1)
    assert await keeper.states() == before
    assert {ended, waiting.job_id, held.job_id} == set(before)


async def test_only_the_log_of_endings_lost_nothing_runs_again(keeper: Keeper) -> None:
    ended = await keeper.ran(State.SUCCEEDED)
    await keeper.nc.jetstream().delete_stream(subjects.STREAM_ENDED)
    await ensure_streams(keeper.nc)
    drift = await keeper.reconcile()
    assert drift.counts[Kind.UNLOGGED_ENDING] == 1
    await keeper.lose()
    await keeper.reconcile()
    assert await keeper.state(ended) is State.SUCCEEDED


async def test_a_dispatcher_sees_by_itself_that_the_log_was_lost(keeper: Keeper) -> None:
    await keeper.let_in()
    recovery = Recovery(keeper.parts)
    recovery.start()
    await recovery.watch_once()
    await wipe(keeper.nc)
    await ensure_streams(keeper.nc)
    for _ in range(6):
        await recovery.watch_once()
    assert (await keeper.nc.jetstream().stream_info(subjects.STREAM_JOBS)).state.messages == 1
    assert recovery.is_open()


async def test_a_job_that_waits_for_long_outlives_its_record_in_the_log(keeper: Keeper) -> None:
    """It is put into the log again in time."""
    job = await keeper.let_in(held=True)
    keeper.pass_ms(4 * 24 * 3600 * 1000)
    await keeper.reconcile()
    await keeper.reconcile()
    js = keeper.nc.jetstream()
    last = await js.get_last_msg(subjects.STREAM_JOBS, subjects.job(TENANT))
    assert (last.headers or {})["Nats-Msg-Id"] == job.job_id
    relogged = await keeper.scripts.command("HGET", f"hg:{{{TENANT}}}:job:{job.job_id}", "relogged")
    assert int(relogged) == keeper.now_ms


async def test_a_job_that_the_log_confirmed_and_lost_before_it_was_taken_in_is_published_again(stage: Stage) -> None:
    """For as long as the window against repeats is the log says that it has it; after that it takes it anew."""
    await ensure_streams(stage.nc, StreamSettings(duplicate_window_s=3))
    await stage.kernel.start()
    await stage.client.start()
    kept, lost = await stage.submit(), await stage.submit()
    js, subject = stage.nc.jetstream(), subjects.job(TENANT)
    message = await js.get_last_msg(subjects.STREAM_JOBS, subject)
    assert message.seq is not None
    await js.delete_msg(subjects.STREAM_JOBS, message.seq)
    await stage.start_dispatcher()
    worker = stage.worker()
    asked = [await worker.ask(wait_ms=10_000), await worker.ask(wait_ms=10_000)]
    assert [job_of(delivery).job_id for deliveries in asked for delivery in deliveries] == [kept, lost]
    assert ((await js.get_last_msg(subjects.STREAM_JOBS, subject)).headers or {})["Nats-Msg-Id"] == lost


async def test_a_job_whose_payload_is_lost_ends_and_says_so(stage: Stage, eventually: Eventually) -> None:
    """It lay in the object store alone: not hung, and not called altered."""
    await stage.start()
    await stage.submit()
    job_id = await _with_large_payload(stage)
    await PayloadStore(stage.nc).delete(digest_bytes(LARGE))
    await stage.worker().ask(2, wait_ms=2000)

    async def has_failed() -> bool:
        return await stage.state_of(job_id) is State.FAILED

    await eventually(has_failed)
    assert (await stage.view(job_id)).code == PAYLOAD_LOST


async def test_a_held_job_whose_payload_is_lost_ends_so_when_the_policy_changes(
    stage: Stage, eventually: Eventually
) -> None:
    """Nobody altered anything: that is no breach of custody."""
    stage.rules.use(HOLD_ALL)
    await stage.start()
    job_id = await _with_large_payload(stage)
    assert await stage.state_of(job_id) is State.HELD
    await PayloadStore(stage.nc).delete(digest_bytes(LARGE))
    stage.rules.use(ALLOW_ALL)

    async def has_failed() -> bool:
        return await stage.state_of(job_id) is State.FAILED

    await eventually(has_failed)
    assert (await stage.view(job_id)).code == PAYLOAD_LOST
    assert await stage.worker().ask(wait_ms=300) == []


async def _with_large_payload(stage: Stage) -> JobId:
    job = make_job(stage.clock.now_ms(), payload=LARGE)
    await PayloadStore(stage.nc).put(LARGE)
    return await stage.submit(job.with_payload(None))
