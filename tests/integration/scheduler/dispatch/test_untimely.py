"""What the kernel refuses whoever asks: an attempt that was not released, a job too early or too late."""

from __future__ import annotations

from nats.aio.client import Client as Nats

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import JobId
from holdgate.kernel.service import KernelService
from holdgate.scheduler.state.approvals import ApprovalStatus
from holdgate.scheduler.state.connection import Scripts, key
from holdgate.scheduler.state.log import ensure_streams
from holdgate.scheduler.state.transitions import State
from support.dispatching import ALLOW_ALL, HOLD_ALL, KERNEL, Rules, Stage, job_of
from support.state import POOL, TENANT
from support.waiting import Eventually


async def test_votes_that_stand_again_in_a_forged_store_do_not_run_the_job_again(stage: Stage) -> None:
    stage.rules.use(HOLD_ALL)
    job_id = await stage.submit()
    await stage.release(job_id)
    worker = stage.worker()
    (delivery,) = await worker.ask(wait_ms=8000)
    await stage.finish(delivery, State.SUCCEEDED)
    await stage.scripts.command("HSET", key(TENANT, "job", job_id), "state", "queued", "at", "backlog")
    await stage.scripts.command("HSET", key(TENANT, "approval", job_id), "status", "released")
    await stage.scripts.command("ZADD", key(TENANT, "backlog", POOL), 0, job_id)
    assert await worker.ask(wait_ms=1000) == []
    assert await stage.state_of(job_id) is State.HELD


async def test_the_next_attempt_runs_with_a_vote_of_its_own(stage: Stage) -> None:
    stage.rules.use(HOLD_ALL)
    job_id = await stage.submit(max_attempts=2)
    worker = stage.worker()
    for attempt in (1, 2):
        await stage.release(job_id)
        (delivery,) = await worker.ask(wait_ms=8000)
        assert (job_of(delivery).job_id, delivery["attempt"]) == (job_id, attempt)
        assert (await stage.approvals.require(TENANT, job_id)).status is ApprovalStatus.CONSUMED
        if attempt == 1:
            await stage.finish(delivery, State.QUEUED)
            assert await worker.ask(wait_ms=500) == []


async def test_a_job_that_was_brought_forward_waits_for_its_time(stage: Stage, eventually: Eventually) -> None:
    job_id = await stage.submit(run_at_ms=stage.clock.now_ms() + 3_600_000)
    worker = stage.worker()
    await stage.scripts.command("ZADD", key(TENANT, "due"), 0, job_id)
    assert await worker.ask(wait_ms=1500) == []
    view = await stage.view(job_id)
    assert (view.state, view.waiting_reason) == (State.QUEUED, "not_yet")
    due_ms = await stage.scripts.command("ZSCORE", key(TENANT, "due"), job_id)
    assert 30_000 < float(due_ms) - stage.clock.now_ms() <= 60_000


class Ahead(SystemClock):
    """Three seconds ahead: within what clocks may differ."""

    def now_ms(self) -> int:
        return super().now_ms() + 3000


async def test_a_job_too_late_for_the_kernel_is_put_back_until_it_expires(
    nc: Nats, scripts: Scripts, eventually: Eventually
) -> None:
    await ensure_streams(nc)
    stage = Stage(nc, scripts, Rules(ALLOW_ALL))
    stage.kernel = KernelService(nc, stage.rules, KERNEL, Ahead(), "kernel-1")
    await stage.start()
    job_id = await stage.submit(deadline_ms=stage.clock.now_ms() + 2000)
    assert await stage.worker().ask(wait_ms=500) == []
    assert (await stage.view(job_id)).waiting_reason == "deadline_passed"
    await eventually(lambda: _expired(stage, job_id))
    await stage.stop()


async def _expired(stage: Stage, job_id: JobId) -> bool:
    view = await stage.view(job_id)
    return (view.state, view.code) == (State.EXPIRED, "deadline_passed")
