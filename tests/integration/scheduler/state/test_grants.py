"""The use of a standing grant by the script that lets its job in: whatever was seen before, what is now counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from holdgate.kernel.canonical import digest
from holdgate.kernel.grants import GrantTerms, new_grant_id
from holdgate.kernel.ids import ActorId, Tenant
from holdgate.kernel.links import Signed
from holdgate.kernel.records import ApprovalRequirement, Outcome, Over, Throttle, Verdict
from holdgate.scheduler.errors import GrantEnded, GrantLimit, GrantNotFound
from holdgate.scheduler.state.approvals import ApprovalStatus
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.encoding import StoredVote
from holdgate.scheduler.state.entry import AcceptResult, Submission
from holdgate.scheduler.state.grants import Grants, GrantStatus, GrantUse
from holdgate.scheduler.state.transitions import State
from support.state import SNAPSHOT, TENANT, World, make_admission, make_decision, make_job

RULE = (ApprovalRequirement(rule="hold", roles=("release-manager",), grants=True),)
PART = Signed(b"part", "key", b"signature")


async def given(world: World, *, is_complete: bool = True, **changes: Any) -> GrantTerms:
    """A grant over plain jobs, of two uses."""
    job = make_job(world.now_ms)
    terms = GrantTerms(
        grant_id=new_grant_id(world.now_ms),
        tenant=TENANT,
        actor=job.actor,
        principals=(),
        topic=job.topic,
        capability=None,
        rules=(("hold", ""),),
        snapshot=SNAPSHOT,
        uses_max=2,
        requested_by=ActorId("ada"),
        requested_ms=world.now_ms,
        expires_ms=world.now_ms + 10_000,
        job_id=job.job_id,
        reason="routine",
    )
    terms = replace(terms, **changes)
    await Grants(world.scripts).request(terms, RULE, PART, is_complete=is_complete, now_ms=world.now_ms)
    return terms


async def use(world: World, terms: GrantTerms, *throttles: Throttle, **changes: Any) -> AcceptResult:
    """A held job that comes with a use of the grant as it was found; `changes` are of the use."""
    job = make_job(world.now_ms, **changes.pop("job", {}))
    decision = make_decision(job, Verdict.REQUIRE_APPROVAL, approvals=RULE)
    vote = StoredVote("ada", ("release-manager",), True, "routine", world.now_ms, False, PART, grant=terms.grant_id)
    taken = replace(GrantUse(terms, terms.digest(), (vote,)), **changes)
    admission = make_admission(job, Outcome.HELD)
    submission = Submission(job, decision, admission, State.HELD, throttles=throttles, grant=taken)
    return await world.jobs.accept(submission, world.now_ms)


async def status(world: World, terms: GrantTerms) -> tuple[GrantStatus, int]:
    """Where the grant is, and how often it was used."""
    found = await Grants(world.scripts).require(TENANT, terms.grant_id)
    return found.status, found.uses


async def test_a_use_lets_the_job_in_with_its_approval_released(world: World) -> None:
    terms = await given(world)
    result = await use(world, terms)
    assert (result.state, await status(world, terms)) == (State.ACCEPTED, (GrantStatus.ACTIVE, 1))
    assert result.job_id is not None
    approval = await world.approvals.require(TENANT, result.job_id)
    assert (approval.status, approval.resolved_ms) == (ApprovalStatus.RELEASED, world.now_ms)
    assert [(vote.approver, vote.grant) for vote in approval.votes] == [("ada", terms.grant_id)]
    assert await world.approvals.expire(TENANT, approval.expires_ms + 1) == []
    assert await Grants(world.scripts).uses(TENANT, terms.grant_id, 10) == [(result.job_id, world.now_ms)]


async def ended(world: World, terms: GrantTerms) -> None:
    await Grants(world.scripts).end(
        TENANT, terms.grant_id, by=ActorId("bea"), is_requester=False, reason="no", now_ms=world.now_ms
    )


async def voided(world: World, terms: GrantTerms) -> None:
    assert await Grants(world.scripts).void_others(TENANT, digest("policy two"), world.now_ms) == 1


async def expired(world: World, terms: GrantTerms) -> None:
    world.pass_ms(10_000)


async def told_expired(world: World, terms: GrantTerms) -> None:
    assert await Grants(world.scripts).expire(TENANT, world.pass_ms(10_000)) == 1


async def used_up(world: World, terms: GrantTerms) -> None:
    for _ in range(2):
        assert (await use(world, terms)).state is State.ACCEPTED


async def set_back(world: World, terms: GrantTerms) -> None:
    await used_up(world, terms)
    where = key(TENANT, "grant", terms.grant_id)
    await world.scripts.command("HSET", where, "status", "active", "max", 9)


async def of_another_policy(world: World, terms: GrantTerms) -> None:
    await world.scripts.command("HSET", key(TENANT, "grant", terms.grant_id), "snapshot", digest("policy two"))


async def of_other_terms(world: World, terms: GrantTerms) -> None:
    await world.scripts.command("HSET", key(TENANT, "grant", terms.grant_id), "digest", digest("other"))


async def gone(world: World, terms: GrantTerms) -> None:
    await world.scripts.command("DEL", key(TENANT, "grant", terms.grant_id))


@pytest.mark.parametrize(
    "happened",
    [ended, voided, expired, told_expired, used_up, set_back, of_another_policy, of_other_terms, gone],
    ids=lambda happened: happened.__name__,
)
async def test_what_happened_since_it_was_found_holds_the_job(
    world: World, happened: Callable[[World, GrantTerms], Awaitable[None]]
) -> None:
    terms = await given(world)
    await happened(world, terms)
    result = await use(world, terms)
    assert result.state is State.HELD
    assert result.job_id is not None
    approval = await world.approvals.require(TENANT, result.job_id)
    assert (approval.status, approval.votes) == (ApprovalStatus.PENDING, ())


async def test_a_pending_grant_lets_nothing_in(world: World) -> None:
    terms = await given(world, is_complete=False)
    assert (await use(world, terms)).state is State.HELD


async def test_of_many_at_once_exactly_as_many_are_let_in_as_there_are_uses(world: World) -> None:
    terms = await given(world, uses_max=20)
    results = await asyncio.gather(*(use(world, terms) for _ in range(100)))
    assert sum(result.state is State.ACCEPTED for result in results) == 20
    assert await status(world, terms) == (GrantStatus.EXHAUSTED, 20)


async def test_a_job_over_a_rate_limit_or_a_full_queue_takes_no_use(world: World) -> None:
    terms = await given(world)
    limit = Throttle("limit", "limit:x", 1, 3600, Over.REJECT)
    assert (await use(world, terms, limit)).state is State.ACCEPTED
    assert (await use(world, terms, limit)).over is Over.REJECT
    assert await status(world, terms) == (GrantStatus.ACTIVE, 1)


async def test_a_job_for_later_waits_for_its_time(world: World) -> None:
    terms = await given(world)
    result = await use(world, terms, job={"run_at_ms": world.now_ms + 5000})
    assert result.state is State.SCHEDULED
    assert await world.backlog.promote_due(TENANT, world.pass_ms(5000), 10)


async def test_cancelling_a_released_job_does_not_give_the_use_back(world: World) -> None:
    terms = await given(world)
    result = await use(world, terms)
    assert result.job_id is not None
    await world.jobs.cancel(TENANT, result.job_id, by="agent", reason="no", now_ms=world.now_ms)
    assert (await world.approvals.require(TENANT, result.job_id)).status is ApprovalStatus.CANCELLED
    assert await status(world, terms) == (GrantStatus.ACTIVE, 1)


async def test_the_event_of_a_use_names_grant_and_givers_and_comes_before_that_of_its_end(world: World) -> None:
    terms = await given(world, uses_max=1)
    await use(world, terms)
    told = [event for event in await world.audit.read(TENANT, 0) if event.type.startswith("grant.")]
    assert [event.type for event in told] == ["grant.requested", "grant.active", "grant.used", "grant.exhausted"]
    assert (told[2].details["grant_id"], told[2].details["approvers"]) == (terms.grant_id, ["ada"])
    assert told[2].who["actor"] == "agent"


async def test_there_is_an_end_to_live_grants_and_ended_ones_make_room(world: World) -> None:
    kept = [await given(world) for _ in range(16)]
    with pytest.raises(GrantLimit):
        await given(world)
    await given(world, topic="job.other")
    await ended(world, kept[0])
    await given(world)


async def test_ending_twice_and_what_is_not_there(world: World) -> None:
    terms = await given(world)
    await ended(world, terms)
    with pytest.raises(GrantEnded):
        await ended(world, terms)
    with pytest.raises(GrantNotFound):
        await ended(world, replace(terms, grant_id=new_grant_id(1)))
    with pytest.raises(GrantNotFound):
        await Grants(world.scripts).require(Tenant("other"), terms.grant_id)


async def test_what_ended_a_grant_by_itself_can_be_read_in_the_audit_trail(world: World) -> None:
    """One event that cannot be read would keep the tenant's whole trail from the archive."""
    void, late = await given(world), await given(world)
    await Grants(world.scripts).void_others(TENANT, digest("policy two"), world.now_ms)
    fresh = await given(world)
    assert await Grants(world.scripts).expire(TENANT, world.pass_ms(10_000)) == 1
    told = [(event.type, event.details) for event in await world.audit.read(TENANT, 0)]
    another = {"snapshot": digest("policy two"), "previous": SNAPSHOT}
    for terms in (void, late):
        assert ("grant.void", {"grant_id": terms.grant_id, **another}) in told
    assert ("grant.expired", {"grant_id": fresh.grant_id}) in told


async def test_only_grants_of_another_policy_are_void(world: World) -> None:
    mine, other = await given(world), await given(world, snapshot=digest("policy two"))
    assert await Grants(world.scripts).void_others(TENANT, SNAPSHOT, world.now_ms) == 1
    assert (await status(world, mine))[0] is GrantStatus.ACTIVE
    assert (await status(world, other))[0] is GrantStatus.VOID
