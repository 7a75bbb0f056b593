"""One job that cannot be read, started or restored costs no other job anything."""

from __future__ import annotations

from holdgate.kernel.ids import JobId, Tenant
from holdgate.kernel.records import Job, Outcome, Phase
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.entry import Submission
from holdgate.scheduler.state.log import Envelope
from holdgate.scheduler.state.transitions import State
from support.dispatching import ALLOW_ALL, HOLD_ALL, Stage, job_of
from support.state import TENANT, make_job
from support.waiting import Eventually

OTHER = Tenant("other")
DENY_WRITES = {"id": "deny-writes", "decision": "deny", "reason": "closed", "match": {"topics": ["job.demo.write"]}}


async def test_a_start_that_fails_costs_other_tenants_jobs_no_hand_over(stage: Stage, eventually: Eventually) -> None:
    await stage.scripts.command("SET", key(OTHER, "running_topic", "job.demo.read"), "not a set")
    await _waiting(stage, eventually, [make_job(stage.clock.now_ms(), tenant=OTHER), make_job(stage.clock.now_ms())])
    assert [job_of(item).tenant for item in await stage.worker().ask(2)] == [TENANT]


async def test_a_start_that_fails_costs_jobs_of_the_same_tenant_no_hand_over(
    stage: Stage, eventually: Eventually
) -> None:
    await stage.scripts.command("SET", key(TENANT, "running_topic", "job.demo.write"), "not a set")
    now_ms = stage.clock.now_ms()
    await _waiting(stage, eventually, [make_job(now_ms, topic="job.demo.write"), make_job(now_ms)])
    assert [job_of(item).topic for item in await stage.worker().ask(2)] == ["job.demo.read"]


async def test_a_denial_that_cannot_be_written_costs_started_jobs_no_hand_over(
    stage: Stage, eventually: Eventually
) -> None:
    bad, good = make_job(stage.clock.now_ms(), topic="job.demo.write"), make_job(stage.clock.now_ms())
    await _waiting(stage, eventually, [bad, good])
    await stage.scripts.command("SET", key(TENANT, "decisions", bad.job_id), "not a list")
    stage.rules.use(ALLOW_ALL, DENY_WRITES)
    assert [job_of(item).job_id for item in await stage.worker().ask(2)] == [good.job_id]


async def test_an_envelope_that_was_published_again_later_restores_its_job(
    stage: Stage, eventually: Eventually
) -> None:
    job, ended, held = (make_job(stage.clock.now_ms()) for _ in range(3))
    await _publish(stage, job, State.QUEUED)
    await _publish(stage, ended, State.CANCELLED)
    await _publish(stage, held, State.QUEUED, Outcome.HELD)
    (delivery,) = await stage.worker().ask(3, wait_ms=8000)
    assert job_of(delivery).job_id == job.job_id
    await eventually(lambda: _is(stage, held.job_id, State.HELD))
    await eventually(lambda: _is(stage, ended.job_id, State.CANCELLED))


async def test_an_unreadable_job_in_the_outbox_keeps_no_other_from_the_log(stage: Stage) -> None:
    now_ms = stage.clock.now_ms()
    bad, good = make_job(now_ms), make_job(now_ms)
    for job, age_ms in ((bad, 70_000), (good, 60_000)):
        submission = await _submission(stage, job)
        await stage.jobs.accept(submission, now_ms - age_ms)
        if job is bad:
            await stage.scripts.command("HSET", key(TENANT, "job", bad.job_id), "job", "not a record")
    (delivery,) = await stage.worker().ask(wait_ms=8000)
    assert job_of(delivery).job_id == good.job_id


async def _waiting(stage: Stage, eventually: Eventually, jobs: list[Job]) -> None:
    for job in jobs:
        await stage.submit(job)
    for job in jobs:
        await eventually(lambda job=job: _is(stage, job.job_id, State.QUEUED, job.tenant))


async def _submission(stage: Stage, job: Job, outcome: Outcome = Outcome.ACCEPTED) -> Submission:
    (decision,) = await stage.client.decide_fresh([job], Phase.SUBMIT)
    return Submission(job, decision, stage.admission(job, decision, outcome), State.ACCEPTED)


async def _publish(stage: Stage, job: Job, state: State, outcome: Outcome = Outcome.ACCEPTED) -> None:
    """Into the log only."""
    if outcome is Outcome.HELD:
        stage.rules.use(HOLD_ALL)
    submission = await _submission(stage, job, outcome)
    if outcome is Outcome.HELD:
        stage.rules.use(ALLOW_ALL)
    await stage.log.publish(Envelope(job, submission.decision, submission.admission, state, stage.clock.now_ms()))


async def _is(stage: Stage, job_id: JobId, state: State, tenant: Tenant = TENANT) -> bool:
    view = await stage.jobs.get(tenant, job_id)
    return view is not None and view.state is state
