"""The dispatch gate: every outcome of the decision at hand-off, no kernel, no policy, and forged records."""

from __future__ import annotations

import msgpack
import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel import subjects, wire
from holdgate.kernel.canonical import canonical_bytes, digest
from holdgate.kernel.ids import JobId, Tenant
from holdgate.kernel.links import Permit, Signed
from holdgate.kernel.permits import Keyring, open_signed
from holdgate.kernel.records import Phase
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.redecide import FULL_PASS_S
from holdgate.scheduler.state.approvals import ApprovalStatus
from holdgate.scheduler.state.connection import Scripts, key
from holdgate.scheduler.state.log import PayloadStore, ensure_streams
from holdgate.scheduler.state.transitions import State
from support.dispatching import ALLOW_ALL, DENY_ALL, DISPATCHER, HOLD_ALL, Rules, Stage, job_of, permit_of
from support.state import TENANT, make_job
from support.waiting import Eventually


async def test_a_job_that_a_new_policy_denies_ends_denied_and_never_runs(stage: Stage) -> None:
    job_id = await stage.submit()
    stage.rules.use(ALLOW_ALL, DENY_ALL)
    assert await stage.worker().ask(wait_ms=500) == []
    view = await stage.view(job_id)
    assert (view.state, view.decision.reason) == (State.DENIED, "closed")


async def test_a_job_that_a_new_policy_holds_waits_for_a_release_under_that_policy(stage: Stage) -> None:
    job_id = await stage.submit()
    stage.rules.use(HOLD_ALL)
    worker = stage.worker()
    assert await worker.ask(wait_ms=500) == []
    assert await stage.state_of(job_id) is State.HELD
    approval = await stage.approvals.require(TENANT, job_id)
    active = stage.rules.current()
    assert active is not None
    assert approval.snapshot == active.snapshot
    assert approval.shape != ""
    await stage.release(job_id)
    (delivery,) = await worker.ask(wait_ms=8000)
    assert permit_of(delivery).snapshot == active.snapshot


async def test_the_limits_of_the_decision_at_hand_off_hold_and_not_those_of_the_submit(stage: Stage) -> None:
    job_ids = [await stage.submit(max_attempts=3) for _ in range(2)]
    stage.rules.use(
        {
            **ALLOW_ALL,
            "decision": "allow_with_constraints",
            "constraints": {"max_concurrency": 1, "max_attempts": 1},
        }
    )
    worker = stage.worker()
    (delivery,) = await worker.ask(2)
    first = job_of(delivery).job_id
    (second,) = set(job_ids) - {first}
    waiting = await stage.view(second)
    assert (waiting.state, waiting.waiting_reason) == (State.QUEUED, "max_concurrency")
    await stage.finish(delivery, State.QUEUED)
    assert await stage.state_of(first) is State.FAILED
    (delivery,) = await worker.ask(wait_ms=8000)
    assert job_of(delivery).job_id == second


async def test_a_release_is_used_up_by_the_start_it_allowed(stage: Stage) -> None:
    stage.rules.use(HOLD_ALL)
    job_id = await stage.submit()
    await stage.release(job_id)
    worker = stage.worker()
    (delivery,) = await worker.ask(wait_ms=8000)
    assert (await stage.approvals.require(TENANT, job_id)).status is ApprovalStatus.CONSUMED
    await stage.finish(delivery, State.QUEUED)
    assert await worker.ask(wait_ms=500) == []
    assert await stage.state_of(job_id) is State.HELD


async def test_a_release_under_another_policy_releases_nothing(stage: Stage) -> None:
    stage.rules.use(HOLD_ALL)
    job_id = await stage.submit()
    await stage.release(job_id)
    stage.rules.use({**HOLD_ALL, "reason": "look again"})
    assert await stage.worker().ask(wait_ms=500) == []
    approval = await stage.approvals.require(TENANT, job_id)
    assert (await stage.state_of(job_id), approval.status, approval.votes) == (State.HELD, ApprovalStatus.PENDING, ())
    past = await stage.approvals.past(TENANT, job_id)
    assert past is not None
    assert (past.status, len(past.votes), past.snapshot) == (
        ApprovalStatus.RELEASED, 1, approval.previous_snapshot,
    )  # fmt: skip


async def test_a_held_job_is_queued_when_the_policy_comes_to_allow_it(stage: Stage) -> None:
    stage.rules.use(HOLD_ALL)
    job_id = await stage.submit()
    stage.rules.use(ALLOW_ALL)
    (delivery,) = await stage.worker().ask(wait_ms=8000)
    assert job_of(delivery).job_id == job_id


async def test_a_held_job_is_denied_when_the_policy_comes_to_deny_it(stage: Stage, eventually: Eventually) -> None:
    stage.rules.use(HOLD_ALL)
    job_id = await stage.submit()
    stage.rules.use(DENY_ALL)
    await eventually(lambda: _is(stage, job_id, State.DENIED))


async def test_a_held_job_that_a_new_policy_also_holds_is_asked_for_again(stage: Stage, eventually: Eventually) -> None:
    stage.rules.use(HOLD_ALL)
    job_id = await stage.submit()
    before = await stage.approvals.require(TENANT, job_id)
    stage.rules.use({**HOLD_ALL, "reason": "look again"})
    await eventually(lambda: _asked_again(stage, job_id, before.snapshot))
    after = await stage.approvals.require(TENANT, job_id)
    assert (after.round, after.previous_snapshot) == (before.round + 1, before.snapshot)
    assert after.shape == before.shape != ""


async def test_broken_held_jobs_are_denied_and_keep_nobody_else_waiting(stage: Stage, eventually: Eventually) -> None:
    stage.rules.use(HOLD_ALL)
    store, large = PayloadStore(stage.nc), canonical_bytes("x" * 400_000)
    gone = make_job(stage.clock.now_ms(), payload=large)
    await store.put(large)
    await stage.submit(gone.with_payload(None))
    await store.delete(gone.payload_digest)
    forged, altered = await stage.submit(), await stage.submit()
    await _alter(stage, forged, "payload")
    await _alter(stage, altered, "topic")
    other = Tenant("zeta")
    fine = [await stage.submit(), await stage.submit(make_job(stage.clock.now_ms(), tenant=other))]
    stage.rules.use(ALLOW_ALL)
    await eventually(lambda: _is(stage, fine[0], State.QUEUED))
    await eventually(lambda: _is(stage, fine[1], State.QUEUED, other))
    for job_id in (forged, altered):
        view = await stage.view(job_id)
        assert (view.state, view.code) == (State.DENIED, "custody_broken")
    view = await stage.view(gone.job_id)
    assert (view.state, view.code) == (State.FAILED, "payload_lost")


async def test_a_policy_that_goes_away_ends_no_held_job(stage: Stage) -> None:
    """Also not in the moment in which the dispatcher has not heard of it yet."""
    stage.rules.use(HOLD_ALL)
    job_id = await stage.submit()
    before = await stage.approvals.require(TENANT, job_id)
    stage.rules._active = None  # without telling anybody
    other = {"snapshot": digest("another"), "reads": [], "replica": "kernel-2", "policy": True}
    await stage.nc.publish(subjects.POLICY_SNAPSHOT, wire.pack(other))
    await stage.nc.flush()
    assert await stage.dispatcher.redecider.run_once() == 0
    assert await stage.state_of(job_id) is State.HELD
    assert await stage.approvals.require(TENANT, job_id) == before


async def test_without_a_kernel_jobs_stay_queued_say_why_and_run_when_it_is_back(
    stage: Stage, eventually: Eventually
) -> None:
    job_id = await stage.submit()
    await stage.kernel.stop()
    worker = stage.worker()
    assert await worker.ask(wait_ms=1000) == []
    view = await stage.view(job_id)
    assert (view.state, view.waiting_reason) == (State.QUEUED, "kernel_unavailable")
    stage.kernel = stage.new_kernel()
    await stage.kernel.start()
    (delivery,) = await worker.ask(wait_ms=8000)
    assert job_of(delivery).job_id == job_id
    assert (await stage.view(job_id)).waiting_reason is None


async def test_without_a_policy_jobs_stay_queued_and_run_under_the_next_one(stage: Stage) -> None:
    job_id = await stage.submit()
    stage.rules.use()
    worker = stage.worker()
    assert await worker.ask(wait_ms=500) == []
    assert (await stage.view(job_id)).waiting_reason == "no_policy"
    stage.rules.use(ALLOW_ALL)
    (delivery,) = await worker.ask(wait_ms=8000)
    assert job_of(delivery).job_id == job_id


async def test_a_root_that_lets_dispatch_fail_open_hands_over_with_a_marked_permit_of_the_dispatcher(
    nc: Nats, scripts: Scripts
) -> None:
    await ensure_streams(nc)
    stage = Stage(nc, scripts, Rules(ALLOW_ALL, fail_open=True))
    await stage.start()
    job_id = await stage.submit()
    await stage.kernel.stop()
    (delivery,) = await stage.worker().ask(wait_ms=8000)
    permit = open_signed(Signed.from_dict(delivery["permit"]), Permit, Keyring([DISPATCHER.public_key]))
    assert (permit.job_id, permit.fail_open) == (job_id, True)
    assert (await stage.view(job_id)).fail_open
    await stage.stop()


async def test_a_job_that_was_held_does_not_fail_open(nc: Nats, scripts: Scripts) -> None:
    await ensure_streams(nc)
    stage = Stage(nc, scripts, Rules(HOLD_ALL, fail_open=True))
    await stage.start()
    job_id = await stage.submit()
    await stage.release(job_id)
    await stage.kernel.stop()
    assert await stage.worker().ask(wait_ms=1000) == []
    assert (await stage.view(job_id)).waiting_reason == "kernel_unavailable"
    await stage.stop()


@pytest.mark.parametrize("altered", ["payload", "topic", "actor", "admission"])
async def test_an_altered_record_gets_no_permit_and_raises_an_alarm(stage: Stage, altered: str) -> None:
    await stage.dispatcher.stop()  # nobody picks the job before it is altered
    job_id = await stage.submit()
    await _alter(stage, job_id, altered)
    before = metrics.CUSTODY_BROKEN._value.get()
    stage.dispatcher = stage.new_dispatcher()
    await stage.start_dispatcher()
    assert await stage.worker().ask(wait_ms=1000) == []
    assert metrics.CUSTODY_BROKEN._value.get() > before
    view = await stage.view(job_id)
    assert (view.state, view.code) == (State.DENIED, "custody_broken")


async def _alter(stage: Stage, job_id: JobId, what: str) -> None:
    record = key(TENANT, "job", job_id)
    if what == "payload":
        await stage.scripts.command("HSET", record, "payload", canonical_bytes({"n": 2}))
    elif what == "admission":
        other = await stage.submit()
        stolen = await stage.scripts.command("HGET", key(TENANT, "job", other), "admission")
        await stage.scripts.command("HSET", record, "admission", stolen)
        await stage.jobs.cancel(TENANT, other, by="test", reason="only a thief's victim", now_ms=0)
    else:
        job = msgpack.unpackb(await stage.scripts.command("HGET", record, "job"))
        job[what] = "job.exec.shell" if what == "topic" else "root"
        await stage.scripts.command("HSET", record, "job", msgpack.packb(job))


async def _is(stage: Stage, job_id: JobId, state: State, tenant: Tenant = TENANT) -> bool:
    return await stage.state_of(job_id, tenant) is state


async def _asked_again(stage: Stage, job_id: JobId, before: str) -> bool:
    return (await stage.approvals.require(TENANT, job_id)).snapshot != before


async def test_held_jobs_are_read_again_only_when_the_policy_changed_or_much_time_passed(
    stage: Stage, eventually: Eventually
) -> None:
    stage.rules.use(HOLD_ALL)
    jobs = [await stage.submit() for _ in range(3)]
    redecider, approvals = stage.dispatcher.redecider, stage.approvals
    first = await approvals.require(TENANT, jobs[0])
    await eventually(lambda: redecider._done_for == first.snapshot)
    await stage.scripts.command("HSET", key(TENANT, "approval", jobs[0]), "snapshot", digest("an older one"))
    assert await redecider.run_once() == 0
    redecider._done_s -= FULL_PASS_S
    assert await redecider.run_once() == 1
    stage.rules.use({**HOLD_ALL, "reason": "look again"})
    for job_id in jobs:
        await eventually(lambda job_id=job_id: _asked_again(stage, job_id, first.snapshot))


async def test_all_pages_of_held_jobs_are_decided_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdgate.scheduler.dispatch.redecide.BATCH", 2)
    stage.rules.use(HOLD_ALL)
    for tenant in (TENANT, Tenant("zeta")):
        for _ in range(5):
            await stage.submit(make_job(stage.clock.now_ms(), tenant=tenant))
    await stage.dispatcher.stop()
    stage.rules.use(ALLOW_ALL)
    await stage.client.decide_fresh([make_job(stage.clock.now_ms())], Phase.SUBMIT)
    assert await stage.dispatcher.redecider.run_once() == 10
