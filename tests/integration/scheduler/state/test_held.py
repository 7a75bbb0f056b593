"""Held jobs in lists, put off, escalated, held again, and what is told of them."""

from __future__ import annotations

import pytest

from holdgate.kernel.canonical import digest
from holdgate.kernel.ids import ActorId, JobId
from holdgate.kernel.records import ApprovalRequirement, Job, Outcome, Severity, Verdict
from holdgate.scheduler.errors import ApprovalForbidden
from holdgate.scheduler.state.approvals import (
    ApprovalFilter,
    ApprovalStatus,
    Order,
    Redecision,
    Viewer,
    gravest,
    listing,
)
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.entry import Submission
from holdgate.scheduler.state.transitions import State
from support.invariants import dump
from support.state import SNAPSHOT, TENANT, World, make_admission, make_decision, make_job

NEW_SNAPSHOT = digest("policy two")
ANY = ApprovalFilter()


async def held(
    world: World, rule: str = "a", *, expires_s: int = 3600, topic: str = "job.demo.read", **more: object
) -> Job:
    """A job that `rule` holds."""
    job = make_job(world.now_ms, topic=topic)
    asked = ApprovalRequirement(rule=rule, roles=("release-manager",), expires_s=expires_s, **more)  # type: ignore[arg-type]
    decision = make_decision(job, Verdict.REQUIRE_APPROVAL, approvals=(asked,))
    await world.jobs.accept(Submission(job, decision, make_admission(job, Outcome.HELD), State.HELD), world.now_ms)
    return job


async def walk(world: World, wanted: ApprovalFilter = ANY, order: Order = Order.NEWEST, limit: int = 2) -> list[JobId]:
    """Every page, one after the other."""
    found: list[JobId] = []
    mark: str | None = None
    while True:
        views, mark = await world.approvals.list_waiting(
            TENANT, wanted, order, limit=limit, after=mark, now_ms=world.now_ms
        )
        assert len(views) <= limit
        found += [view.job_id for view in views]
        if mark is None:
            return found


async def defer(world: World, job: Job, ms: int) -> None:
    """Put it off."""
    until_ms = world.now_ms + ms
    await world.approvals.defer(
        TENANT, job.job_id, by=ActorId("ada"), until_ms=until_ms, reason="later", now_ms=world.now_ms
    )


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_what_expires_first_comes_first_also_where_many_expire_at_once(world: World, limit: int) -> None:
    """In pages of any size, each once."""
    late = [await held(world, expires_s=7200) for _ in range(2)]
    soon = [await held(world, expires_s=60) for _ in range(5)]
    expected = [job.job_id for job in (*soon, *late)]
    assert await walk(world, order=Order.EXPIRING, limit=limit) == expected
    assert await walk(world, limit=limit) == list(reversed([job.job_id for job in (*late, *soon)]))


@pytest.mark.parametrize("limit", [1, 2, 100])
@pytest.mark.parametrize("looked_at", [4, 100])
async def test_the_gravest_come_first_and_what_was_not_looked_at_is_listed_too(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: int, looked_at: int
) -> None:
    """By severity, then by expiry; each once, however many are put in order. A broken record is seen first."""
    monkeypatch.setattr(gravest, "WINDOW_MAX", looked_at)
    monkeypatch.setattr(gravest, "READ_AT_ONCE", 2)
    low = [await held(world, expires_s=60 + n, severity=Severity.LOW) for n in range(3)]
    critical = await held(world, expires_s=3000, severity=Severity.CRITICAL)
    broken = await held(world, expires_s=3500, severity=Severity.LOW)
    high = await held(world, expires_s=3600, severity=Severity.HIGH)
    await world.scripts.command("HSET", key(TENANT, "held"), broken.job_id, b"?")
    all_seen = [critical, broken, high, *low]
    expected = all_seen if looked_at == 100 else [critical, *low, broken, high]
    assert await walk(world, order=Order.GRAVEST, limit=limit) == [job.job_id for job in expected]
    wanted = ApprovalFilter(severity=Severity.HIGH)
    assert high.job_id in await walk(world, wanted, Order.GRAVEST, limit)


@pytest.mark.parametrize("order", list(Order))
async def test_what_was_put_off_comes_last_until_its_time(world: World, order: Order) -> None:
    """In both orders; then it is back, and that is told once."""
    jobs = [await held(world) for _ in range(4)]
    before = await walk(world, order=order)
    await defer(world, jobs[0], 20_000)
    await defer(world, jobs[3], 10_000)
    there = [job_id for job_id in before if job_id in (jobs[1].job_id, jobs[2].job_id)]
    assert await walk(world, order=order, limit=1) == [*there, jobs[3].job_id, jobs[0].job_id]
    world.pass_ms(10_000)
    assert await walk(world, order=order) == [job_id for job_id in before if job_id != jobs[0].job_id] + [
        jobs[0].job_id
    ]
    assert await world.approvals.resume(TENANT, world.now_ms, 10) == [jobs[3].job_id]
    assert await world.approvals.resume(TENANT, world.now_ms, 10) == []
    assert (await world.approvals.require(TENANT, jobs[3].job_id)).deferred_until_ms is None


async def test_filters_are_exact_and_reach_past_what_one_page_looks_through(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that had too much to look through gives a mark to go on."""
    monkeypatch.setattr(listing, "SCAN_PAGE", 3)
    monkeypatch.setattr(listing, "SCAN_PAGES_MAX", 2)
    wanted = await held(world, "rare", topic="job.rare.run", severity=Severity.CRITICAL)
    for _ in range(15):
        await held(world)
    for found in (ApprovalFilter(rule="rare"), ApprovalFilter(topic="job.rare.run"),
                  ApprovalFilter(severity=Severity.CRITICAL)):  # fmt: skip
        assert await walk(world, found) == [wanted.job_id]
        assert await walk(world, found, Order.EXPIRING) == [wanted.job_id]
    assert await walk(world, ApprovalFilter(rule="none")) == []


async def test_mine_is_what_i_may_vote_on_now(world: World) -> None:
    """Not my own, nor what escalates to me later, nor what I voted on."""
    job = await held(world, escalate_after_s=60, escalate_roles=("boss",), quorum=2)

    def of(actor: str, *roles: str) -> ApprovalFilter:
        return ApprovalFilter(voter=Viewer(ActorId(actor), lambda _topic: frozenset(roles)))

    assert await walk(world, of("ada", "release-manager")) == [job.job_id]
    assert await walk(world, of("agent", "release-manager")) == []
    assert await walk(world, of("boss", "boss")) == []
    world.pass_ms(60_000)
    assert await walk(world, of("boss", "boss")) == [job.job_id]
    await world.vote(job, "ada")
    assert await walk(world, of("ada", "release-manager")) == []
    assert await walk(world, of("bob", "release-manager")) == [job.job_id]


async def test_nothing_is_left_of_a_job_that_is_not_held_any_more(world: World) -> None:
    """Released, rejected, cancelled, expired, decided otherwise: in no list of held jobs."""
    jobs = [await held(world, escalate_after_s=10) for _ in range(5)]
    for job in jobs:
        await defer(world, job, 5000)
    await world.vote(jobs[0])
    await world.vote(jobs[1], approve=False)
    await world.jobs.cancel(TENANT, jobs[2].job_id, by="agent", reason="", now_ms=world.now_ms)
    decision = make_decision(jobs[3], Verdict.DENY, snapshot=NEW_SNAPSHOT)
    await world.approvals.redecide(TENANT, [Redecision(jobs[3].job_id, decision)], world.now_ms)
    left = [jobs[4].job_id.encode()]
    assert await world.scripts.command("HKEYS", key(TENANT, "held")) == left
    for name in ("approvals_due", "escalations", "deferred"):
        assert await world.scripts.command("ZRANGE", key(TENANT, name), 0, -1) == left, name
    world.pass_ms(3_600_000)
    assert await world.approvals.expire(TENANT, world.now_ms) == [jobs[4].job_id]
    for name in ("held", "approvals_due", "escalations", "deferred"):
        assert await world.scripts.command("EXISTS", key(TENANT, name)) == 0, name
    kinds = [event.type for event in await world.audit.read(TENANT, 0)]
    assert [kinds.count(f"approval.{what}") for what in ("released", "rejected", "expired", "stale")] == [1, 1, 1, 1]


async def test_escalation_is_told_once_a_round_and_lets_others_vote(world: World) -> None:
    """Who may vote follows from the time, whether it was told or not."""
    job = await held(world, escalate_after_s=60, escalate_roles=("boss",))
    with pytest.raises(ApprovalForbidden):
        await world.vote(job, "bob", roles=("boss",))
    assert await world.approvals.escalations_due(TENANT, world.now_ms + 59_999, 10) == []
    early = await world.approvals.require(TENANT, job.job_id)
    assert await world.approvals.escalate(TENANT, early, {}, world.now_ms + 59_999) is False
    world.pass_ms(60_000)
    (due,) = await world.approvals.escalations_due(TENANT, world.now_ms, 10)
    assert await world.approvals.escalate(TENANT, due, {"roles": ["boss"]}, world.now_ms) is True
    assert await world.approvals.escalate(TENANT, due, {"roles": ["boss"]}, world.now_ms) is False
    assert await world.approvals.escalations_due(TENANT, world.now_ms, 10) == []
    (told,) = [
        event for event in await world.jobs.timeline(TENANT, job.job_id) if event["type"] == "approval.escalated"
    ]
    assert (told["roles"], told["round"]) == (["boss"], 1)
    again = make_decision(job, Verdict.REQUIRE_APPROVAL, snapshot=NEW_SNAPSHOT, approvals=due.requirements)
    await world.approvals.redecide(TENANT, [Redecision(job.job_id, again)], world.now_ms)
    assert (await world.approvals.require(TENANT, job.job_id)).has_escalated(world.now_ms) is False
    assert await world.approvals.escalate(TENANT, due, {}, world.now_ms) is False
    world.pass_ms(60_000)
    assert await world.approvals.escalate(TENANT, due, {}, world.now_ms) is False  # as it was read a round before
    assert len(await world.approvals.escalations_due(TENANT, world.now_ms, 10)) == 1


async def test_a_job_held_again_for_its_next_attempt_shows_who_released_the_one_before(world: World) -> None:
    """A release is used up by one start; what was said for it is shown, and counts for nothing."""
    job = await held(world)
    await world.vote(job)
    [picked] = await world.pick()
    _, token = await world.start(picked, approval_required=True)
    await world.results.finish(TENANT, [world.finish_request(picked, token, State.QUEUED)], world.now_ms)
    world.pass_ms(600_000)
    await world.backlog.promote_due(TENANT, world.now_ms)
    [picked] = await world.pick()
    asked = (await world.approvals.require(TENANT, job.job_id)).requirements
    decision = make_decision(job, Verdict.REQUIRE_APPROVAL, approvals=asked)
    await world.approvals.redecide(TENANT, [Redecision(job.job_id, decision, picked.reservation)], world.now_ms)
    view = await world.approvals.require(TENANT, job.job_id)
    past = await world.approvals.past(TENANT, job.job_id)
    assert past is not None
    assert (view.status, view.round, view.votes) == (ApprovalStatus.PENDING, 2, ())
    assert (past.status, past.round, past.snapshot, past.job_hash) == (
        ApprovalStatus.CONSUMED, 1, SNAPSHOT, job.job_hash(),
    )  # fmt: skip
    assert [(vote.approver, vote.approve) for vote in past.votes] == [("ada", True)]
    assert (past.requirements, past.decision.verdict) == (asked, Verdict.REQUIRE_APPROVAL)
    assert view.shape != ""


async def test_every_change_of_a_held_job_is_among_the_newest_changes(world: World) -> None:
    """In order, and nothing of jobs that never were held."""
    await world.queued()
    job = await held(world)
    await defer(world, job, 1000)
    await world.vote(job)
    oldest, newest = await world.approvals.changes_kept(TENANT)
    found = await world.approvals.changes(TENANT, 0)
    assert [(change.job_id, change.state) for change in found] == [(job.job_id, State.HELD)] * 4 + [
        (job.job_id, State.QUEUED)
    ]
    assert (oldest, newest) == (found[0].seq, found[-1].seq)
    assert await world.approvals.changes(TENANT, newest) == []
    assert (await dump(world.scripts, TENANT)).events[-1].seq == newest


async def test_only_the_newest_changes_are_kept(world: World) -> None:
    """However many jobs are held."""
    changes = key(TENANT, "held_changes")
    for n in range(1, 1501):
        await world.scripts.command("XADD", changes, f"{n}-0", "j", "x", "s", "held")
    await world.scripts.command("SET", key(TENANT, "seq"), 1500)
    await held(world)
    assert await world.scripts.command("XLEN", changes) < 1200
