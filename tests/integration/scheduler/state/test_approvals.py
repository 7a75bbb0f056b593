"""Approvals: who may release what, when, and how often."""

from __future__ import annotations

import asyncio

import pytest

from holdgate.kernel.canonical import digest
from holdgate.kernel.ids import ActorId, Tenant, new_job_id
from holdgate.kernel.records import ApprovalRequirement, Job, Outcome, Over, Throttle, Verdict
from holdgate.scheduler.errors import (
    ApprovalDuplicateVote,
    ApprovalExpired,
    ApprovalForbidden,
    ApprovalNotFound,
    ApprovalReasonRequired,
    ApprovalResolved,
    ApprovalSelf,
    ApprovalSignatureRequired,
    ApprovalStaleJob,
    ApprovalStalePolicy,
    HoldgateError,
    StateBroken,
)
from holdgate.scheduler.state.approvals import ApprovalStatus, Redecision
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.entry import Submission
from holdgate.scheduler.state.transitions import State
from support.state import SNAPSHOT, TENANT, World, make_admission, make_decision, make_job

NEW_SNAPSHOT = digest("policy two")
TWO_OF = (
    ApprovalRequirement(rule="a", roles=("release-manager",), quorum=2),
    ApprovalRequirement(rule="b", roles=("security",), names=("root",)),
)


async def held_by(world: World, *requirements: ApprovalRequirement) -> Job:
    """A job that waits for these."""
    job = make_job(world.now_ms, principals=(ActorId("boss"),))
    decision = make_decision(job, Verdict.REQUIRE_APPROVAL, approvals=requirements)
    await world.jobs.accept(Submission(job, decision, make_admission(job, Outcome.HELD), State.HELD), world.now_ms)
    return job


async def redecide(world: World, job: Job, verdict: Verdict) -> State | None:
    """The policy changed and the kernel decided again."""
    decision = make_decision(job, verdict, snapshot=NEW_SNAPSHOT)
    [state] = await world.approvals.redecide(TENANT, [Redecision(job.job_id, decision)], world.now_ms)
    return state


async def test_an_approval_shows_what_the_approver_must_send_back(world: World) -> None:
    """Hash, snapshot, who asks, who may release."""
    job = await world.held(principals=(ActorId("boss"),))
    view = await world.approvals.require(TENANT, job.job_id)
    assert (view.status, view.job_hash, view.snapshot) == (ApprovalStatus.PENDING, job.job_hash(), SNAPSHOT)
    assert (view.actor, view.principals, view.topic, view.round) == ("agent", ("boss",), "job.demo.read", 1)
    assert view.requirements == make_decision(job, Verdict.REQUIRE_APPROVAL).approvals
    assert view.expires_ms == world.now_ms + 24 * 3600 * 1000
    assert ([view], None) == await world.approvals.list_pending(TENANT, 10)


@pytest.mark.parametrize("by", ["vote", "policy"])
async def test_a_released_job_that_a_clock_ahead_let_in_waits_for_nobody(world: World, by: str) -> None:
    """Or it would wait until that time has come, though its submitter said none."""
    now_ms = world.now_ms
    world.now_ms += 3_600_000
    job = await world.held()
    world.now_ms = now_ms
    if by == "vote":
        await world.vote(job)
    else:
        assert await redecide(world, job, Verdict.ALLOW) is State.QUEUED
    assert [item.job.job_id for item in await world.pick()] == [job.job_id]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"reason": " "}, ApprovalReasonRequired),
        ({"job_hash": digest("other")}, ApprovalStaleJob),
        ({"snapshot": NEW_SNAPSHOT}, ApprovalStalePolicy),
        ({"fresh": NEW_SNAPSHOT}, ApprovalStalePolicy),
        ({"snapshot": NEW_SNAPSHOT, "fresh": NEW_SNAPSHOT}, ApprovalStalePolicy),
        ({"approver": ActorId("agent")}, ApprovalSelf),
        ({"approver": ActorId("boss")}, ApprovalSelf),
        ({"on_behalf_of": ActorId("agent")}, ApprovalSelf),
        ({"on_behalf_of": ActorId("boss")}, ApprovalSelf),
        ({"approver": ActorId("Agent")}, ApprovalSelf),
        ({"approver": ActorId("BOSS")}, ApprovalSelf),
        ({"on_behalf_of": ActorId("Boss")}, ApprovalSelf),
        ({"approver": ActorId("chief")}, ApprovalSelf),
        ({"roles": ("intern",)}, ApprovalForbidden),
        ({"roles": ()}, ApprovalForbidden),
        ({"approve": False, "roles": ()}, ApprovalForbidden),
        ({"approve": False, "approver": ActorId("agent")}, ApprovalSelf),
    ],
)
async def test_a_vote_that_does_not_hold_changes_nothing(
    world: World, changes: dict[str, object], error: type[HoldgateError]
) -> None:
    """Each check alone refuses, and the same vote without the flaw releases."""
    job = await world.held(principals=(ActorId("boss"), ActorId("Chief")))
    events = len(await world.audit.read(TENANT, 0))
    with pytest.raises(error):
        await world.vote(job, **changes)  # type: ignore[arg-type]
    assert len(await world.audit.read(TENANT, 0)) == events
    assert await world.state(job.job_id) is State.HELD
    assert (await world.vote(job)).status is ApprovalStatus.RELEASED


async def test_another_tenants_approval_is_not_found(world: World) -> None:
    """Neither to see nor to vote on."""
    job = await world.held()
    other = Tenant("other")
    assert await world.approvals.get(other, job.job_id) is None
    with pytest.raises(ApprovalNotFound):
        await world.approvals.vote(other, world.vote_request(job), world.now_ms)
    with pytest.raises(ApprovalNotFound):
        await world.approvals.require(TENANT, new_job_id(1))
    assert await world.approvals.list_pending(other, 10) == ([], None)


async def test_one_reject_ends_it(world: World) -> None:
    """The job is denied by a person, which is not `expired`."""
    job = await held_by(world, *TWO_OF)
    await world.vote(job, "ada")
    assert (await world.vote(job, "bob", approve=False)).status is ApprovalStatus.REJECTED
    view = await world.jobs.require(TENANT, job.job_id)
    assert (view.state, view.code) == (State.DENIED, "approval_rejected")
    with pytest.raises(ApprovalResolved):
        await world.vote(job, "eve")


async def test_every_requirement_needs_its_quorum_of_different_people(world: World) -> None:
    """Two release managers and one of security; nobody counts twice for one rule."""
    job = await held_by(world, *TWO_OF)
    first = await world.vote(job, "ada")
    assert (first.status, first.votes_missing) == (ApprovalStatus.PENDING, 1)
    for name in ("ada", "Ada"):
        with pytest.raises(ApprovalDuplicateVote):
            await world.vote(job, name)
    with pytest.raises(ApprovalDuplicateVote):
        await world.vote(job, "eve", on_behalf_of=ActorId("ADA"))
    assert (await world.vote(job, "bob")).status is ApprovalStatus.PENDING
    assert (await world.vote(job, "root", roles=("ops",))).status is ApprovalStatus.RELEASED
    view = await world.approvals.require(TENANT, job.job_id)
    assert [vote.approver for vote in view.votes] == ["ada", "bob", "root"]


@pytest.mark.parametrize("round_", range(10))
async def test_votes_at_the_same_moment_are_all_counted_and_release_once(world: World, round_: int) -> None:
    """The last of the quorum releases, whoever it is; late ones are told that it is decided."""
    job = await held_by(world, ApprovalRequirement(rule="a", roles=("release-manager",), quorum=3))
    names = [f"person{number}" for number in range(5)]
    results = await asyncio.gather(*(world.vote(job, name) for name in names), return_exceptions=True)
    statuses = [result.status for result in results if not isinstance(result, BaseException)]
    assert statuses.count(ApprovalStatus.RELEASED) == 1
    assert statuses.count(ApprovalStatus.PENDING) == 2
    assert sum(isinstance(result, ApprovalResolved) for result in results) == 2
    assert len(await world.pick(5)) == 1


async def test_a_rule_that_wants_own_keys_is_not_met_by_votes_the_api_signed(world: World) -> None:
    """`signed: true` counts only votes by the approver's own key."""
    job = await held_by(world, ApprovalRequirement(rule="a", roles=("release-manager",), signed=True))
    with pytest.raises(ApprovalSignatureRequired):
        await world.vote(job, "ada")
    with pytest.raises(ApprovalForbidden):
        await world.vote(job, "ada", own_key=True, roles=("intern",))
    assert (await world.vote(job, "ada", own_key=True)).status is ApprovalStatus.RELEASED


async def test_a_no_needs_no_signature_also_where_the_rule_wants_votes_signed(world: World) -> None:
    """Saying no is always possible for who may vote."""
    job = await held_by(world, ApprovalRequirement(rule="a", roles=("release-manager",), signed=True))
    with pytest.raises(ApprovalForbidden):
        await world.vote(job, "ada", approve=False, roles=("intern",))
    assert (await world.vote(job, "ada", approve=False)).status is ApprovalStatus.REJECTED


async def test_an_approval_that_nobody_decided_expires(world: World) -> None:
    """At the time it said, also when the reaper did not come by yet; and that is nobody's no."""
    job = await held_by(world, ApprovalRequirement(rule="a", roles=("release-manager",), expires_s=60))
    world.pass_ms(59_999)
    assert await world.approvals.expire(TENANT, world.now_ms) == []
    world.pass_ms(1)
    with pytest.raises(ApprovalExpired):
        await world.vote(job)
    assert await world.approvals.expire(TENANT, world.now_ms) == [job.job_id]
    view = await world.jobs.require(TENANT, job.job_id)
    assert (view.state, view.code) == (State.EXPIRED, "approval_expired")
    with pytest.raises(ApprovalExpired):
        await world.vote(job)
    assert await world.approvals.expire(TENANT, world.now_ms) == []


async def test_a_cancelled_job_can_no_longer_be_released(world: World) -> None:
    """The approval went with it."""
    job = await world.held()
    await world.jobs.cancel(TENANT, job.job_id, by="agent", reason="", now_ms=world.now_ms)
    with pytest.raises(ApprovalResolved):
        await world.vote(job)
    assert (await world.approvals.require(TENANT, job.job_id)).status is ApprovalStatus.CANCELLED


async def test_a_changed_policy_that_still_holds_voids_votes_and_asks_again(world: World) -> None:
    """Nothing is carried over; what was shown before is stale."""
    job = await held_by(world, *TWO_OF)
    await world.vote(job, "ada")
    assert await redecide(world, job, Verdict.REQUIRE_APPROVAL) is State.HELD
    view = await world.approvals.require(TENANT, job.job_id)
    assert (view.status, view.snapshot, view.previous_snapshot) == (ApprovalStatus.PENDING, NEW_SNAPSHOT, SNAPSHOT)
    assert (view.round, view.votes) == (2, ())
    with pytest.raises(ApprovalStalePolicy):
        await world.vote(job, "bob")
    released = await world.vote(job, "ada", snapshot=NEW_SNAPSHOT, fresh=NEW_SNAPSHOT)
    assert released.status is ApprovalStatus.RELEASED
    kinds = [event["type"] for event in await world.jobs.timeline(TENANT, job.job_id)]
    voted = ["approval.vote", "approval.released", "job.queued"]
    assert kinds[-6:] == ["approval.vote", "approval.stale", "approval.requested", *voted]
    assert [item.snapshot for item in await world.jobs.decisions(TENANT, job.job_id)] == [SNAPSHOT, NEW_SNAPSHOT]


async def test_other_approvers_under_the_same_policy_are_asked_anew(world: World) -> None:
    """A rule that looks at the time came to demand two: what one released before would never get a permit."""
    job = await world.held()
    one = make_decision(job, Verdict.REQUIRE_APPROVAL)
    two = make_decision(job, Verdict.REQUIRE_APPROVAL, approvals=TWO_OF)
    for decision, round_, needed in ((one, 1, one.approvals), (two, 2, TWO_OF), (two, 2, TWO_OF)):
        [state] = await world.approvals.redecide(TENANT, [Redecision(job.job_id, decision)], world.now_ms)
        view = await world.approvals.require(TENANT, job.job_id)
        assert (state, view.round, view.requirements) == (State.HELD, round_, needed)
    assert (await world.vote(job)).status is ApprovalStatus.PENDING
    await world.vote(job, "bob")
    assert (await world.vote(job, "root")).status is ApprovalStatus.RELEASED


async def test_redeciding_twice_under_the_same_policy_keeps_the_votes(world: World) -> None:
    """Several dispatchers may hear of one change."""
    job = await held_by(world, *TWO_OF)
    await redecide(world, job, Verdict.REQUIRE_APPROVAL)
    await redecide(world, job, Verdict.REQUIRE_APPROVAL)
    assert (await world.approvals.require(TENANT, job.job_id)).round == 2


@pytest.mark.parametrize(("verdict", "state"), [(Verdict.DENY, State.DENIED), (Verdict.ALLOW, State.QUEUED)])
async def test_a_changed_policy_that_no_longer_holds_decides(world: World, verdict: Verdict, state: State) -> None:
    """Deny ends it, allow lets it go; the approval is stale."""
    job = await world.held()
    assert await redecide(world, job, verdict) is state
    assert await world.state(job.job_id) is state
    assert (await world.approvals.require(TENANT, job.job_id)).status is ApprovalStatus.STALE
    assert await redecide(world, job, verdict) is None
    with pytest.raises(ApprovalResolved):
        await world.vote(job)
    assert len(await world.pick()) == (1 if state is State.QUEUED else 0)


async def test_a_released_job_held_again_at_hand_off_needs_a_new_release(world: World) -> None:
    """The old votes are gone."""
    job = await world.held()
    await world.vote(job)
    [picked] = await world.pick()
    decision = make_decision(job, Verdict.REQUIRE_APPROVAL, snapshot=NEW_SNAPSHOT)
    request = Redecision(job.job_id, decision, picked.reservation)
    assert await world.approvals.redecide(TENANT, [request], world.now_ms) == [State.HELD]
    assert await world.approvals.redecide(TENANT, [request], world.now_ms) == [None]
    view = await world.approvals.require(TENANT, job.job_id)
    assert (view.status, view.round, view.votes) == (ApprovalStatus.PENDING, 2, ())
    assert await world.pick() == []


async def test_a_decision_at_hand_off_counts_only_from_who_holds_the_reservation(world: World) -> None:
    """A dispatcher that was too slow decides nothing about a job that another one holds now."""
    job_id = await world.queued()
    [slow] = await world.pick()
    await world.backlog.release_reservations(TENANT, world.pass_ms(10_000))
    [other] = await world.pick()
    denial = make_decision(slow.job, Verdict.DENY)
    late = Redecision(job_id, denial, slow.reservation)
    assert await world.approvals.redecide(TENANT, [late], world.now_ms) == [None]
    assert await world.state(job_id) is State.QUEUED
    assert await world.approvals.redecide(TENANT, [Redecision(job_id, denial, other.reservation)], world.now_ms) == [
        State.DENIED
    ]


async def test_a_job_over_a_rate_limit_that_holds_can_be_released_by_an_approver(world: World) -> None:
    """The rule names nobody, so the role `approver` does it."""
    job = make_job(world.now_ms)
    limit = Throttle(rule="limit", bucket="b", limit=1, per_s=60, over=Over.HOLD)
    decision = make_decision(job, Verdict.THROTTLE, within=Verdict.ALLOW, throttles=(limit,))
    submission = Submission(job, decision, make_admission(job, Outcome.HELD), State.HELD)
    await world.jobs.accept(submission, world.now_ms)
    with pytest.raises(ApprovalForbidden):
        await world.vote(job, roles=("release-manager",))
    assert (await world.vote(job, roles=("approver",))).status is ApprovalStatus.RELEASED


async def test_an_approval_that_cannot_be_read_does_not_hide_the_others(world: World) -> None:
    """Neither from people nor from the next decision."""
    jobs = [await world.held() for _ in range(3)]
    await world.scripts.command("HSET", key(TENANT, "approval", jobs[1].job_id), "requirements", b"\xc1")
    listed, _ = await world.approvals.list_pending(TENANT, 10)
    assert {view.job_id for view in listed} == {jobs[0].job_id, jobs[2].job_id}
    with pytest.raises(StateBroken):
        await world.approvals.require(TENANT, jobs[1].job_id)


async def test_pending_approvals_come_in_pages_newest_first(world: World) -> None:
    """With a cursor until there are no more."""
    jobs = [await world.held() for _ in range(5)]
    found, cursor = [], None
    while True:
        views, cursor = await world.approvals.list_pending(TENANT, 2, cursor)
        found += [view.job_id for view in views]
        if cursor is None:
            break
    assert found == [job.job_id for job in reversed(jobs)]
