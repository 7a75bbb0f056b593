"""What happens because time passes or somebody stops: leases, retries, deadlines, schedules, cancels, the outbox."""

from __future__ import annotations

import asyncio
from typing import Any

from holdgate.kernel import wire
from holdgate.kernel.ids import JobId
from holdgate.kernel.records import Outcome, Phase
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.reaper import LEASE_LOST
from holdgate.scheduler.state.entry import Submission
from holdgate.scheduler.state.pull import BATCH
from holdgate.scheduler.state.restoring import Restoring
from holdgate.scheduler.state.results import FinishKind
from holdgate.scheduler.state.transitions import State
from support.dispatching import Stage, Worker, job_of
from support.state import TENANT, make_job
from support.waiting import Eventually


async def test_a_lease_that_is_not_renewed_becomes_the_next_attempt(stage: Stage) -> None:
    job_id = await stage.submit(max_attempts=2)
    worker = stage.worker()
    (first,) = await worker.ask()
    await stage.end_lease(first, worker)
    (second,) = await worker.ask(wait_ms=8000)
    assert (job_of(second).job_id, first["attempt"], second["attempt"]) == (job_id, 1, 2)
    assert first["token"] != second["token"]


async def test_attempts_that_a_loss_left_out_make_nobody_wait_longer(stage: Stage, eventually: Eventually) -> None:
    """The wait grows with the attempts that were made, not with their numbers."""
    job_id = await stage.submit(requires=("gpu",), max_attempts=10)
    await eventually(lambda: _is(stage, job_id, State.QUEUED))
    for _ in range(3):
        await Restoring(stage.scripts).skip_attempts(TENANT, [job_id])
    worker = stage.worker()
    (first,) = await worker.ask(capabilities=("gpu",))
    assert first["attempt"] == 31
    await stage.end_lease(first, worker)
    (second,) = await worker.ask(wait_ms=8000, capabilities=("gpu",))
    assert second["attempt"] == 32


async def test_the_result_of_a_lost_attempt_changes_nothing(stage: Stage) -> None:
    await stage.submit(max_attempts=2)
    worker = stage.worker()
    (first,) = await worker.ask()
    await stage.end_lease(first, worker)
    (second,) = await worker.ask(wait_ms=8000)
    assert (await stage.finish(first)).kind is FinishKind.STALE
    assert (await stage.finish(second)).kind is FinishKind.FINISHED


async def test_a_job_whose_attempts_are_used_up_is_in_the_dead_letter_list(
    stage: Stage, eventually: Eventually
) -> None:
    job_id = await stage.submit(max_attempts=1)
    worker = stage.worker()
    (delivery,) = await worker.ask()
    await stage.end_lease(delivery, worker)
    await eventually(lambda: _is(stage, job_id, State.FAILED))
    assert (await stage.view(job_id)).code == LEASE_LOST


async def test_jobs_for_a_worker_that_died_while_it_waited_go_to_another_at_once(
    stage: Stage, eventually: Eventually
) -> None:
    gone, here = stage.worker(), stage.worker()
    body = {"worker": gone.name, "pool": gone.pool, "topics": ["job.>"], "capabilities": [], "n": 5, "wait_ms": 9000}
    await stage.nc.publish(f"holdgate.ask.{gone.pool}.{gone.name}", wire.pack(body), reply="_INBOX.nobody.listens")
    await eventually(lambda: stage.dispatcher.board.waiting)
    before = metrics.UNDELIVERED._value.get()
    job_id = await stage.submit(max_attempts=2)
    await eventually(lambda: metrics.UNDELIVERED._value.get() > before)
    (delivery,) = await here.ask(wait_ms=8000)
    assert (job_of(delivery).job_id, delivery["attempt"]) == (job_id, 2)


async def test_a_heartbeat_keeps_the_lease_and_reports_progress(stage: Stage) -> None:
    job_id = await stage.submit()
    worker = stage.worker()
    (delivery,) = await worker.ask()
    answer = await worker.beat(delivery)
    assert (answer["cancel"], answer["lost"]) == ([], [])
    assert (await stage.view(job_id)).progress == 0.5


async def test_a_heartbeat_hears_that_its_lease_is_another_worker_s(stage: Stage) -> None:
    job_id = await stage.submit(max_attempts=2)
    slow, fast = stage.worker(), stage.worker()
    (first,) = await slow.ask()
    await stage.end_lease(first, slow)
    (_,) = await fast.ask(wait_ms=8000)
    assert (await slow.beat(first))["lost"] == [job_id]


async def test_a_worker_cannot_renew_what_another_one_holds(stage: Stage) -> None:
    job_id = await stage.submit()
    (delivery,) = await stage.worker().ask()
    assert (await stage.worker().beat(delivery))["lost"] == [job_id]


async def test_a_queued_job_is_cancelled_at_once_and_never_handed_over(stage: Stage) -> None:
    job_id = await stage.submit()
    await stage.jobs.cancel(TENANT, job_id, by="agent", reason="changed my mind", now_ms=stage.clock.now_ms())
    assert await stage.worker().ask(wait_ms=300) == []
    assert await stage.state_of(job_id) is State.CANCELLED


async def test_a_cancelled_running_job_is_told_to_its_worker_with_the_next_heartbeat(stage: Stage) -> None:
    job_id = await stage.submit()
    worker = stage.worker()
    (delivery,) = await worker.ask()
    await _cancel(stage, job_id)
    assert (await worker.beat(delivery))["cancel"] == [job_id]


async def test_a_cancelled_job_whose_worker_died_ends_cancelled_and_is_not_tried_again(
    stage: Stage, eventually: Eventually
) -> None:
    job_id = await stage.submit(max_attempts=3)
    worker = stage.worker()
    (delivery,) = await worker.ask()
    await _cancel(stage, job_id)
    await stage.end_lease(delivery, worker)
    await eventually(lambda: _is(stage, job_id, State.CANCELLED))


async def test_a_success_that_came_before_the_cancel_took_effect_wins(stage: Stage) -> None:
    job_id = await stage.submit()
    (delivery,) = await stage.worker().ask()
    await _cancel(stage, job_id)
    await stage.finish(delivery)
    assert await stage.state_of(job_id) is State.SUCCEEDED


async def test_a_job_whose_deadline_passed_expires_and_does_not_run(stage: Stage, eventually: Eventually) -> None:
    job_id = await stage.submit(deadline_ms=stage.clock.now_ms() + 50)
    await eventually(lambda: _is(stage, job_id, State.EXPIRED))
    assert (await stage.view(job_id)).code == "deadline_passed"
    assert await stage.worker().ask(wait_ms=50) == []


async def test_a_scheduled_job_runs_at_its_time_and_not_before(stage: Stage) -> None:
    run_at_ms = stage.clock.now_ms() + 700
    await stage.submit(run_at_ms=run_at_ms)
    worker = stage.worker()
    assert await worker.ask(wait_ms=100) == []
    (_,) = await worker.ask(wait_ms=8000)
    assert stage.clock.now_ms() >= run_at_ms


async def test_a_job_that_never_reached_the_log_is_published_and_runs(stage: Stage) -> None:
    job = make_job(stage.clock.now_ms())
    (decision,) = await stage.client.decide_fresh([job], Phase.SUBMIT)
    admission = stage.admission(job, decision, Outcome.ACCEPTED)
    long_ago_ms = stage.clock.now_ms() - 60_000
    await stage.jobs.accept(Submission(job, decision, admission, State.ACCEPTED), long_ago_ms)
    (delivery,) = await stage.worker().ask(wait_ms=8000)
    assert job_of(delivery).job_id == job.job_id


async def test_a_reservation_of_a_dispatcher_that_died_comes_back(stage: Stage, eventually: Eventually) -> None:
    await stage.dispatcher.asks.stop()
    job_id = await stage.submit()
    await eventually(lambda: _ready(stage))
    # Picked by one that dies before it starts anything, long ago.
    (picked,) = await stage.backlog.pick(TENANT, "default", 1, in_flight_max=9, now_ms=stage.clock.now_ms() - 60_000)
    assert picked.job.job_id == job_id
    await eventually(lambda: _ready(stage))


async def test_a_result_in_the_log_marks_its_job_finishing(stage: Stage, eventually: Eventually) -> None:
    job_id = await stage.submit()
    worker = stage.worker()
    (delivery,) = await worker.ask()
    await _publish_result(stage, worker, delivery, token=delivery["token"])
    await eventually(lambda: _is(stage, job_id, State.FINISHING))
    assert (await worker.beat(delivery))["lost"] == []


async def test_a_result_that_was_judged_at_once_is_not_marked_as_well(stage: Stage, eventually: Eventually) -> None:
    job_id = await stage.submit()
    worker = stage.worker()
    (delivery,) = await worker.ask()
    await stage.dispatcher.stop()
    watch = stage.new_dispatcher().result_watch
    await _publish_result(stage, worker, delivery, token=delivery["token"])
    marking = asyncio.create_task(watch.run_once())
    await eventually(lambda: watch._reader._wanted not in (0, BATCH))
    await stage.finish(delivery)
    assert await marking == 0
    await watch.stop()
    assert await stage.state_of(job_id) is State.SUCCEEDED


async def test_a_result_with_another_token_marks_nothing(stage: Stage, eventually: Eventually) -> None:
    job_id = await stage.submit()
    worker = stage.worker()
    (delivery,) = await worker.ask()
    await _publish_result(stage, worker, delivery, token="0" * 32)
    await eventually(lambda: _results_read(stage, 1))
    assert await stage.state_of(job_id) is State.RUNNING


async def _cancel(stage: Stage, job_id: JobId) -> None:
    await stage.jobs.cancel(TENANT, job_id, by="agent", reason="stop", now_ms=stage.clock.now_ms())


async def _publish_result(stage: Stage, worker: Worker, delivery: dict[str, Any], *, token: str) -> None:
    headers = {
        "Holdgate-Tenant": TENANT,
        "Holdgate-Job": delivery["job"]["job_id"],
        "Holdgate-Attempt": str(delivery["attempt"]),
        "Holdgate-Token": token,
        "Holdgate-Outcome": "succeeded",
    }
    subject = f"holdgate.result.{worker.pool}.{worker.name}"
    await stage.nc.jetstream().publish(subject, wire.pack({}), headers=headers)


async def _is(stage: Stage, job_id: JobId, state: State) -> bool:
    return await stage.state_of(job_id) is state


async def _ready(stage: Stage) -> bool:
    return (await stage.backlog.pools(TENANT)).get("default", 0) == 1


async def _results_read(stage: Stage, count: int) -> bool:
    info = await stage.nc.jetstream().consumer_info("RESULTS", "result-watch")
    return info.ack_floor is not None and info.ack_floor.stream_seq == count
