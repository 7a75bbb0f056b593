"""Order, reservations, concurrency keys, limits and times of the backlog; leases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdgate.kernel.ids import JobId, LeaseToken, Tenant, WorkerId
from holdgate.kernel.records import Priority, Verdict
from holdgate.scheduler.state.approvals import ApprovalStatus, Redecision
from holdgate.scheduler.state.backlog import CROWDED_DELAY_MS, RESERVATION_MS, STOP_GRACE_MS, StartKind
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.leases import LeaseClaim
from holdgate.scheduler.state.results import FinishingClaim, FinishKind
from holdgate.scheduler.state.transitions import State
from support.state import TENANT, WORKER, World, make_decision, make_job


async def end(world: World, picked: object, token: LeaseToken) -> None:
    """The attempt succeeds."""
    request = world.finish_request(picked, token, State.SUCCEEDED, value=b"1")  # type: ignore[arg-type]
    await world.results.finish(TENANT, [request], world.now_ms)


async def test_high_goes_before_normal_before_low_and_each_in_order_of_arrival(world: World) -> None:
    """A low job that waited long enough goes before a new high one: nothing starves."""
    old_low = await world.queued(priority=Priority.LOW)
    world.pass_ms(1_200_001)
    normal = [await world.queued(), await world.queued()]
    high = await world.queued(priority=Priority.HIGH)
    new_low = await world.queued(priority=Priority.LOW)
    order = [picked.job.job_id for picked in await world.pick(10)]
    assert order == [old_low, high, *normal, new_low]


async def test_a_tenants_jobs_in_flight_are_limited_and_waiting_ones_do_not_count(world: World) -> None:
    """A limit of one runs one after the other."""
    for _ in range(3):
        await world.queued()
    for _ in range(3):
        [picked] = await world.pick(5, in_flight_max=1)
        assert await world.pick(5, in_flight_max=1) == []
        _, token = await world.start(picked)
        assert await world.pick(5, in_flight_max=1) == []
        await end(world, picked, token)
    assert await world.pick(5, in_flight_max=1) == []


async def test_a_reservation_that_nobody_used_comes_back_and_its_owner_is_late(world: World) -> None:
    """A dispatcher that died keeps nothing; one that woke up again starts nothing."""
    job_id = await world.queued()
    [picked] = await world.pick()
    assert await world.backlog.release_reservations(TENANT, world.now_ms) == {}
    world.pass_ms(RESERVATION_MS)
    assert await world.backlog.release_reservations(TENANT, world.now_ms) == {job_id: "default"}
    assert (await world.start(picked))[0].kind is StartKind.LOST
    [again] = await world.pick()
    assert (await world.start(picked))[0].kind is StartKind.LOST
    assert (await world.start(again))[0].kind is StartKind.STARTED
    assert (await world.start(again))[0].kind is StartKind.LOST


async def test_a_job_cancelled_after_it_was_picked_does_not_start(world: World) -> None:
    """The cancel came first."""
    job_id = await world.queued()
    [picked] = await world.pick()
    await world.jobs.cancel(TENANT, job_id, by="agent", reason="", now_ms=world.now_ms)
    assert (await world.start(picked))[0].kind is StartKind.LOST
    assert await world.state(job_id) is State.CANCELLED


async def test_a_job_put_back_waits_and_keeps_its_place(world: World) -> None:
    """It says why it waits."""
    first, second = await world.queued(), await world.queued()
    [picked] = await world.pick()
    assert picked.job.job_id == first
    await world.backlog.put_back(
        TENANT, [picked], waiting_reason="kernel_unavailable", delay_ms=500, now_ms=world.now_ms
    )
    view = await world.jobs.require(TENANT, first)
    assert (view.state, view.waiting_reason) == (State.QUEUED, "kernel_unavailable")
    assert await world.backlog.promote_due(TENANT, world.now_ms) == {}
    world.pass_ms(500)
    assert await world.backlog.promote_due(TENANT, world.now_ms) == {first: "default"}
    assert [item.job.job_id for item in await world.pick(5)] == [first, second]
    assert await world.backlog.promote_due(TENANT, world.now_ms) == {}


async def test_a_reservation_of_another_cannot_be_given_up(world: World) -> None:
    """A dispatcher that was too slow does not take the job from the one that holds it now."""
    await world.queued()
    [slow] = await world.pick()
    await world.backlog.release_reservations(TENANT, world.pass_ms(RESERVATION_MS))
    [other] = await world.pick()
    await world.backlog.put_back(TENANT, [slow], waiting_reason="late", delay_ms=0, now_ms=world.now_ms)
    assert await world.pick() == []
    assert (await world.start(other))[0].kind is StartKind.STARTED


@pytest.mark.parametrize("field", ["job", "admission", "decision"])
async def test_a_record_that_cannot_be_read_does_not_stop_those_behind_it(world: World, field: str) -> None:
    """It stays where it is, never runs, and the rest goes on."""
    broken, fine = await world.queued(), await world.queued()
    await world.scripts.command("HSET", key(TENANT, "job", broken), field, b"\xff")
    assert [item.job.job_id for item in await world.pick(5)] == [fine]
    assert await world.pick(5) == []
    await world.scripts.command("HDEL", key(TENANT, "job", broken), field)
    await world.backlog.release_reservations(TENANT, world.pass_ms(RESERVATION_MS))
    assert broken not in [item.job.job_id for item in await world.pick(5)]


async def test_one_at_a_time_runs_under_a_concurrency_key(world: World) -> None:
    """Others park, hold nothing while they wait, and come back one by one, whatever becomes of those before them."""
    job_ids = [await world.queued(concurrency_key="db") for _ in range(4)]
    one, *rest = await world.pick(4)
    _, token = await world.start(one)
    for picked in rest:
        assert (await world.start(picked))[0].kind is StartKind.PARKED
    assert (await world.backlog.depths([TENANT], "default"))[0].in_flight == 1
    assert await world.pick(4) == []
    view = await world.jobs.require(TENANT, job_ids[1])
    assert view.waiting_reason == "concurrency_key"
    await end(world, one, token)
    [two] = await world.pick(4)
    assert two.job.job_id == job_ids[1]
    await world.jobs.cancel(TENANT, job_ids[1], by="agent", reason="", now_ms=world.now_ms)
    [three] = await world.pick(4)
    [state] = await world.approvals.redecide(
        TENANT, [Redecision(three.job.job_id, make_decision(three.job, Verdict.DENY), three.reservation)], world.now_ms
    )
    assert state is State.DENIED
    [four] = await world.pick(4)
    assert (await world.start(four))[0].kind is StartKind.STARTED


async def test_a_decision_lets_that_many_jobs_of_a_topic_run_whatever_keys_they_bring(world: World) -> None:
    """With a key each, the same key, or none: the submitter's keys neither loosen nor avoid what the policy says."""
    for concurrency_key in (None, "a", "b", None):
        await world.queued(concurrency_key=concurrency_key)
    other = await world.queued(topic="job.demo.write")
    picked = await world.pick(5)
    kinds = [(await world.start(item, topic_max=2))[0].kind for item in picked]
    assert kinds == [*[StartKind.STARTED] * 2, *[StartKind.CROWDED] * 2, StartKind.STARTED]
    assert (await world.jobs.require(TENANT, other)).state is State.RUNNING
    view = await world.jobs.require(TENANT, picked[3].job.job_id)
    assert (view.state, view.waiting_reason) == (State.QUEUED, "max_concurrency")


async def test_a_limit_counts_jobs_that_were_started_without_one(world: World) -> None:
    """A policy that came to say so holds against what runs already."""
    await world.running()
    await world.queued()
    [picked] = await world.pick(5)
    assert (await world.start(picked, topic_max=1))[0].kind is StartKind.CROWDED


@pytest.mark.parametrize("ending", ["finished", "marked", "lease"])
async def test_a_job_too_many_comes_back_by_itself_and_runs_when_another_ended(world: World, ending: str) -> None:
    """In its old place."""
    one, token = await world.running()
    two = await world.queued()
    [picked] = await world.pick(5)
    assert (await world.start(picked, topic_max=1))[0].kind is StartKind.CROWDED
    assert await world.pick(5) == []
    await world.backlog.promote_due(TENANT, world.pass_ms(CROWDED_DELAY_MS))
    if ending == "finished":
        await end(world, one, token)
    elif ending == "marked":
        await world.results.mark_finishing(TENANT, [FinishingClaim(one.job.job_id, 1, token)], world.now_ms)
    else:
        [lease] = await world.leases.expired(TENANT, world.pass_ms(60_000))
        await world.leases.reclaim(
            TENANT, lease, to_state=State.FAILED, code="lease_expired", retry_at_ms=None, now_ms=world.now_ms
        )
    [again] = await world.pick(5)
    assert again.job.job_id == two
    assert (await world.start(again, topic_max=1))[0].kind is StartKind.STARTED


async def test_a_concurrency_key_is_one_at_once_whatever_a_decision_lets(world: World) -> None:
    """A rule that lets five run does not loosen what the submitter asked for."""
    for _ in range(2):
        await world.queued(concurrency_key="db")
    kinds = [(await world.start(item, topic_max=5))[0].kind for item in await world.pick(2)]
    assert kinds == [StartKind.STARTED, StartKind.PARKED]


async def test_the_decision_at_hand_off_lowers_the_attempts_and_never_raises_them(world: World) -> None:
    """What a rule of now does not allow is not tried again, whatever held when the job came in."""
    for allowed, expected in ((1, State.FAILED), (9, State.QUEUED), (None, State.QUEUED)):
        job_id = await world.queued(max_attempts=3)
        picked = next(item for item in await world.pick(5) if item.job.job_id == job_id)
        _, token = await world.start(picked, attempts_max=allowed)
        assert (await world.jobs.require(TENANT, job_id)).attempts_max == min(3, allowed or 3)
        await world.results.finish(
            TENANT, [world.finish_request(picked, token, State.QUEUED, retry_at_ms=world.now_ms)], world.now_ms
        )
        assert await world.state(job_id) is expected
        if expected is State.QUEUED:
            await world.jobs.cancel(TENANT, job_id, by="test", reason="", now_ms=world.now_ms)


async def test_a_parked_job_whose_key_is_free_is_found_by_the_reaper(world: World) -> None:
    """Even when whoever should have woken it could not run: here it sits in a pool without workers."""
    await world.queued(concurrency_key="db")
    await world.queued(concurrency_key="db", pool="lonely")
    await world.queued(concurrency_key="db")
    [one, three] = await world.pick(5)
    [two] = await world.pick(5, pool="lonely")
    _, token = await world.start(one)
    await world.start(two)
    await world.start(three)
    await end(world, one, token)
    assert await world.pick(5) == []
    await world.backlog.promote_due(TENANT, world.now_ms)
    assert [item.job.job_id for item in await world.pick(5)] == [three.job.job_id]


async def test_a_job_that_was_let_in_by_a_clock_that_is_ahead_waits_for_nobody(world: World) -> None:
    """Or it would wait until that time has come, though its submitter said none."""
    now_ms = world.now_ms
    world.now_ms += 3_600_000
    job = make_job(world.now_ms)
    await world.accept(job)
    world.now_ms = now_ms
    assert await world.backlog.enqueue(TENANT, [job.job_id], world.now_ms) == {job.job_id: "default"}
    assert [item.job.job_id for item in await world.pick(5)] == [job.job_id]


async def test_a_scheduled_job_waits_for_its_time(world: World) -> None:
    """The log knows it; workers do not see it before."""
    job = make_job(world.now_ms, run_at_ms=world.now_ms + 60_000)
    await world.accept(job, initial=State.SCHEDULED)
    assert await world.backlog.enqueue(TENANT, [job.job_id], world.now_ms) == {job.job_id: ""}
    assert await world.backlog.promote_due(TENANT, world.now_ms + 59_999) == {}
    assert await world.backlog.promote_due(TENANT, world.now_ms + 60_000) == {job.job_id: "default"}
    assert await world.state(job.job_id) is State.QUEUED


async def test_a_held_job_released_before_its_time_still_waits_for_it(world: World) -> None:
    """Release says may, run_at says when."""
    job = await world.held(run_at_ms=world.now_ms + 60_000)
    assert (await world.vote(job)).pool is None
    assert await world.pick() == []
    await world.backlog.promote_due(TENANT, world.pass_ms(60_000))
    assert len(await world.pick()) == 1


async def test_a_deadline_ends_what_did_not_run_and_nothing_else(world: World) -> None:
    """Queued, held, scheduled and picked ones expire; a running one goes on."""
    deadline_ms = world.now_ms + 1_000
    running, _ = await world.running(deadline_ms=deadline_ms)
    held = await world.held(deadline_ms=deadline_ms)
    queued = await world.queued(deadline_ms=deadline_ms)
    picked_id = await world.queued(deadline_ms=deadline_ms)
    picked = next(item for item in await world.pick(5) if item.job.job_id == picked_id)
    world.pass_ms(1_000)
    assert (await world.start(picked))[0].kind is StartKind.EXPIRED
    assert set(await world.backlog.expire_deadlines(TENANT, world.now_ms)) == {held.job_id, queued}
    assert await world.backlog.expire_deadlines(TENANT, world.now_ms) == []
    for job_id in (held.job_id, queued, picked_id):
        view = await world.jobs.require(TENANT, job_id)
        assert (view.state, view.code) == (State.EXPIRED, "deadline_passed")
    assert await world.state(running.job.job_id) is State.RUNNING


async def test_intake_is_idempotent_and_tells_what_it_does_not_know(world: World) -> None:
    """A message may come any number of times, also after the job went on."""
    picked, token = await world.running()
    unknown = JobId("job_00000000-0000-7000-8000-000000000000")
    assert await world.backlog.enqueue(TENANT, [picked.job.job_id, unknown], world.now_ms) == {
        picked.job.job_id: "",
        unknown: None,
    }
    await end(world, picked, token)
    await world.backlog.enqueue(TENANT, [picked.job.job_id], world.now_ms)
    assert await world.state(picked.job.job_id) is State.SUCCEEDED


async def test_a_start_needs_the_very_job_that_was_decided_about(world: World) -> None:
    """Another hash, another attempt: nothing starts."""
    await world.queued()
    [picked] = await world.pick()
    other = replace(make_decision(picked.job), job_hash=make_decision(make_job(1, topic="job.other")).job_hash)
    assert (await world.start(picked, decision=other))[0].kind is StartKind.LOST
    assert (await world.start(picked, attempt=2))[0].kind is StartKind.LOST
    assert (await world.start(picked))[0].kind is StartKind.STARTED


async def test_a_job_that_started_without_the_kernel_stays_marked(world: World) -> None:
    """Also when a later attempt starts with it."""
    await world.queued()
    for fail_open in (True, False):
        [picked] = await world.pick()
        _, token = await world.start(picked, fail_open=fail_open)
        assert (await world.jobs.require(TENANT, picked.job.job_id)).fail_open
        await world.results.finish(TENANT, [world.finish_request(picked, token, State.QUEUED)], world.now_ms)


async def test_a_start_without_the_approval_that_is_required_does_not_happen(world: World) -> None:
    """No approval, a pending one, one for another policy, one that was used: each time missing."""
    await world.queued()
    [picked] = await world.pick()
    assert (await world.start(picked, approval_required=True))[0].kind is StartKind.APPROVAL_MISSING
    [state] = await world.approvals.redecide(
        TENANT,
        [Redecision(picked.job.job_id, make_decision(picked.job, Verdict.REQUIRE_APPROVAL), picked.reservation)],
        world.now_ms,
    )
    assert state is State.HELD
    await world.vote(picked.job)
    [again] = await world.pick()
    newer = make_decision(again.job, snapshot=make_job(1).job_hash())
    assert (await world.start(again, decision=newer, approval_required=True))[0].kind is StartKind.APPROVAL_MISSING
    started, token = await world.start(again, approval_required=True)
    assert started.kind is StartKind.STARTED
    retry = world.finish_request(again, token, State.QUEUED)
    await world.results.finish(TENANT, [retry], world.now_ms)
    [second] = await world.pick()
    assert second.votes == ()
    assert (await world.start(second, approval_required=True))[0].kind is StartKind.APPROVAL_MISSING
    assert (await world.approvals.require(TENANT, again.job.job_id)).status is ApprovalStatus.CONSUMED


async def test_a_lease_lives_as_long_as_its_worker_renews_it(world: World) -> None:
    """By attempt, token and worker; the rest is told that it lost."""
    picked, token = await world.running()
    claim = LeaseClaim(picked.job.job_id, 1, token, 0.25)
    for _ in range(5):
        world.pass_ms(20_000)
        renewal = await world.leases.renew(TENANT, [claim], WORKER, lease_ms=30_000, now_ms=world.now_ms)
        assert renewal.renewed == (picked.job.job_id,)
        assert await world.leases.expired(TENANT, world.now_ms) == []
    assert (await world.jobs.require(TENANT, picked.job.job_id)).progress == 0.25
    for worker, wrong in (
        (WORKER, replace(claim, token=LeaseToken("x"))),
        (WORKER, replace(claim, attempt=2)),
        (WorkerId("w2"), claim),
    ):
        renewal = await world.leases.renew(TENANT, [wrong], worker, lease_ms=30_000, now_ms=world.now_ms)
        assert renewal.lost == (picked.job.job_id,)
    await world.jobs.cancel(TENANT, picked.job.job_id, by="agent", reason="", now_ms=world.now_ms)
    renewal = await world.leases.renew(TENANT, [claim], WORKER, lease_ms=30_000, now_ms=world.now_ms)
    assert renewal.cancel == (picked.job.job_id,)


async def test_a_lease_cannot_be_renewed_beyond_the_permitted_run_time(world: World) -> None:
    """The worker's own clock is not trusted with that."""
    await world.queued()
    [picked] = await world.pick()
    _, token = await world.start(picked, max_runtime_ms=40_000)
    claim = LeaseClaim(picked.job.job_id, 1, token)
    world.pass_ms(25_000)
    await world.leases.renew(TENANT, [claim], WORKER, lease_ms=30_000, now_ms=world.now_ms)
    world.pass_ms(15_000 + STOP_GRACE_MS)
    [lease] = await world.leases.expired(TENANT, world.now_ms)
    assert lease.over_time
    assert await world.leases.reclaim(
        TENANT, lease, to_state=State.TIMED_OUT, code="max_runtime", retry_at_ms=None, now_ms=world.now_ms
    )
    assert (await world.jobs.require(TENANT, picked.job.job_id)).code == "max_runtime"


async def test_a_lost_lease_is_the_next_attempt_and_the_old_worker_changes_nothing(world: World) -> None:
    """The second attempt is the last: then the dead-letter list."""
    picked, old = await world.running()
    world.pass_ms(30_000)
    [lease] = await world.leases.expired(TENANT, world.now_ms)

    async def reclaim() -> bool:
        return await world.leases.reclaim(
            TENANT, lease, to_state=State.QUEUED, code="lease_lost", retry_at_ms=world.now_ms, now_ms=world.now_ms
        )

    assert await reclaim()
    assert not await reclaim()
    late = world.finish_request(picked, old, State.SUCCEEDED, value=b"1")
    [result] = await world.results.finish(TENANT, [late], world.now_ms)
    assert result.kind is FinishKind.STALE
    [again] = await world.pick()
    assert again.attempt == 2
    await world.start(again)
    assert not await reclaim()
    world.pass_ms(30_000)
    assert not await reclaim(), "a reaper that looked at the first attempt must not end the second"
    [lease] = await world.leases.expired(TENANT, world.now_ms)
    assert await reclaim()
    assert await world.state(picked.job.job_id) is State.FAILED


async def test_a_lease_that_was_renewed_in_between_is_not_reclaimed(world: World) -> None:
    """The reaper looked, the heartbeat came, the reaper acts: too late."""
    picked, token = await world.running()
    world.pass_ms(30_000)
    [lease] = await world.leases.expired(TENANT, world.now_ms)
    claim = LeaseClaim(picked.job.job_id, 1, token)
    await world.leases.renew(TENANT, [claim], WORKER, lease_ms=30_000, now_ms=world.now_ms)
    assert not await world.leases.reclaim(
        TENANT, lease, to_state=State.QUEUED, code="lease_lost", retry_at_ms=world.now_ms, now_ms=world.now_ms
    )
    assert await world.state(picked.job.job_id) is State.RUNNING


async def test_a_cancelled_job_whose_worker_died_is_cancelled(world: World) -> None:
    """Not tried again."""
    picked, _ = await world.running()
    await world.jobs.cancel(TENANT, picked.job.job_id, by="agent", reason="", now_ms=world.now_ms)
    world.pass_ms(30_000)
    [lease] = await world.leases.expired(TENANT, world.now_ms)
    assert lease.cancel_requested
    await world.leases.reclaim(
        TENANT, lease, to_state=State.QUEUED, code="lease_lost", retry_at_ms=world.now_ms, now_ms=world.now_ms
    )
    assert await world.state(picked.job.job_id) is State.CANCELLED


async def test_a_job_whose_result_is_in_does_not_lose_its_lease(world: World) -> None:
    """However long the output gate takes."""
    picked, token = await world.running()
    claim = FinishingClaim(picked.job.job_id, 1, token)
    for expected in (FinishKind.FINISHED, FinishKind.ALREADY):
        assert (await world.results.mark_finishing(TENANT, [claim], world.now_ms))[picked.job.job_id] is expected
    world.pass_ms(3_600_000)
    assert await world.leases.expired(TENANT, world.now_ms) == []
    assert await world.jobs.result(TENANT, picked.job.job_id) is None
    await end(world, picked, token)
    assert await world.state(picked.job.job_id) is State.SUCCEEDED


async def test_pools_and_depths_say_what_waits(world: World) -> None:
    """For the dispatcher and the overview."""
    await world.queued()
    await world.queued(pool="gpu")
    await world.queued(tenant=Tenant("other"))
    await world.pick()
    assert await world.backlog.pools(TENANT) == {"default": 0, "gpu": 1}
    depths = await world.backlog.depths([TENANT, Tenant("other")], "default")
    assert [(depth.waiting, depth.in_flight) for depth in depths] == [(0, 1), (1, 0)]


@pytest.mark.parametrize("priority", Priority)
async def test_a_delayed_retry_stands_where_its_time_puts_it(world: World, priority: Priority) -> None:
    """Backoff is a time in Redis."""
    picked, token = await world.running(priority=priority)
    retry = world.finish_request(picked, token, State.QUEUED, retry_at_ms=world.now_ms + 5_000, code="handler_error")
    [result] = await world.results.finish(TENANT, [retry], world.now_ms)
    assert (result.state, result.pool) == (State.QUEUED, "default")
    assert await world.pick() == []
    await world.backlog.promote_due(TENANT, world.pass_ms(5_000))
    assert [item.attempt for item in await world.pick()] == [2]
