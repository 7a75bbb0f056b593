"""Jobs that nobody who asks can do stay out of the way of those that can run, and come back when somebody can."""

from __future__ import annotations

from holdgate.kernel.ids import JobId
from holdgate.kernel.records import Outcome, Phase
from holdgate.scheduler.dispatch import offers
from holdgate.scheduler.dispatch.fairness import FairShare
from holdgate.scheduler.state.backlog import NO_CAPABLE_WORKER
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.entry import Submission
from holdgate.scheduler.state.transitions import State
from support.dispatching import Stage, job_of
from support.state import TENANT, make_job
from support.waiting import Eventually


async def test_a_runnable_job_is_found_behind_hundreds_that_nobody_can_do(stage: Stage) -> None:
    await _many(stage, 600, requires=("gpu",))
    (runnable,) = await _many(stage, 1)
    (delivery,) = await stage.worker().ask(wait_ms=3000)
    assert job_of(delivery).job_id == runnable


async def test_a_runnable_job_is_found_behind_hundreds_for_a_busy_worker(stage: Stage) -> None:
    special = stage.worker()
    assert await special.ask(wait_ms=0, capabilities=("gpu",)) == []
    await _many(stage, 600, requires=("gpu",))
    (runnable,) = await _many(stage, 1)
    (delivery,) = await stage.worker().ask(wait_ms=3000)
    assert job_of(delivery).job_id == runnable
    assert len(await special.ask(5, wait_ms=3000, capabilities=("gpu",))) == 5


def test_each_time_nobody_can_do_a_job_it_is_put_off_for_longer() -> None:
    pool = offers.Pool(FairShare({}))
    job = make_job(1)
    delays = [pool.put_off(job)[1] for _ in range(8)]
    assert delays[:3] == [1_000, 2_000, 4_000]
    assert delays[-1] == offers.INCAPABLE_DELAY_MS_MAX


async def test_a_worker_that_offers_something_new_gets_what_waited_for_it_at_once(
    stage: Stage, eventually: Eventually
) -> None:
    job_ids = await _many(stage, 3, requires=("gpu",))
    for worker in ("w1", "w2"):
        assert await stage.worker(worker).ask(wait_ms=300) == []
    for job_id in job_ids:
        await eventually(lambda job_id=job_id: _is_put_off(stage, job_id))
    far_ms = stage.clock.now_ms() + 30_000
    for job_id in job_ids:
        await stage.scripts.command("ZADD", key(TENANT, "due"), far_ms, job_id)
    found = await stage.worker().ask(3, wait_ms=2000, capabilities=("gpu",))
    assert [job_of(item).job_id for item in found] == job_ids
    assert await stage.scripts.command("SCARD", key(TENANT, "unwanted", "default")) == 0


async def _many(stage: Stage, count: int, **changes: tuple[str, ...]) -> list[JobId]:
    """Straight into the backlog."""
    now_ms = stage.clock.now_ms()
    jobs = [make_job(now_ms, **changes) for _ in range(count)]
    (decision,) = await stage.client.decide_fresh([jobs[0]], Phase.SUBMIT)
    for job in jobs:
        admission = stage.admission(job, decision, Outcome.ACCEPTED)
        await stage.jobs.accept(Submission(job, decision, admission, State.ACCEPTED), now_ms)
    await stage.backlog.enqueue(TENANT, [job.job_id for job in jobs], now_ms)
    return [job.job_id for job in jobs]


async def _is_put_off(stage: Stage, job_id: JobId) -> bool:
    return (await stage.view(job_id)).waiting_reason == NO_CAPABLE_WORKER
