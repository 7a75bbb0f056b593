"""Redis lost, or set back to an older copy: nothing answered 202 is lost, and nothing that ended runs again."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel import subjects
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import ActorId
from holdgate.scheduler.errors import StateUnavailable
from holdgate.scheduler.recovery import Drift, Kind
from holdgate.scheduler.recovery.rebuild import OUTCOME_UNKNOWN, Rebuild
from holdgate.scheduler.recovery.soundness import extents_of, find_whole
from holdgate.scheduler.recovery.walk import Walk
from holdgate.scheduler.state.connection import Scripts, key
from holdgate.scheduler.state.endings import Endings
from holdgate.scheduler.state.entry import AcceptKind, Idempotency
from holdgate.scheduler.state.log import ensure_streams
from holdgate.scheduler.state.quarantine import Act, Released, SealedRequest, SealedStatus, SealedVote
from holdgate.scheduler.state.restoring import Restoring
from holdgate.scheduler.state.transitions import State
from support.invariants import dump, verify
from support.losing import DAY_S, Copy, Keeper
from support.state import TENANT, make_job

KEY = Idempotency("order-7", "f" * 64)


@pytest.fixture
async def keeper(nc: Nats, scripts: Scripts, streams: None) -> Keeper:
    """Nothing in it but what a first look leaves."""
    keeper = Keeper(scripts, SystemClock().now_ms(), nc=nc)
    await keeper.reconcile()
    return keeper


async def test_every_job_comes_back_in_the_state_that_it_may_go_on_from(keeper: Keeper) -> None:
    """Ended ones as they ended, with their results; held ones held, votes void; the others as they were let in."""
    ended = {
        state: await keeper.ran(state, max_attempts=1) for state in (State.SUCCEEDED, State.FAILED, State.QUARANTINED)
    }
    cancelled = await keeper.let_in()
    await keeper.jobs.cancel(TENANT, cancelled.job_id, by="agent", reason="stop", now_ms=keeper.now_ms)
    await keeper.telling.run_once()
    held, queued = await keeper.let_in(held=True), await keeper.let_in()
    scheduled = await keeper.let_in(run_at_ms=keeper.now_ms + 60_000)
    running = await keeper.let_in(concurrency_key="k")
    [picked] = [item for item in await keeper.pick(9) if item.job.job_id == running.job_id]
    await keeper.start(picked)
    before = await keeper.states()
    result = await keeper.jobs.result(TENANT, ended[State.SUCCEEDED])
    await keeper.lose()
    drift = await keeper.reconcile()
    assert (drift.was_lost, drift.counts[Kind.MISSING_ENDED], drift.counts[Kind.MISSING]) == (True, 4, 4)
    assert await keeper.states() == {**before, running.job_id: State.QUEUED}
    assert before[queued.job_id] is State.QUEUED
    assert before[scheduled.job_id] is State.SCHEDULED
    assert (await keeper.approvals.require(TENANT, held.job_id)).votes == ()
    assert await keeper.jobs.result(TENANT, ended[State.SUCCEEDED]) == result
    item = await keeper.quarantine.require(TENANT, ended[State.QUARANTINED])
    assert item.sealed_ref == "sha256:box"
    verify(await dump(keeper.scripts, TENANT))
    whole = await find_whole(keeper.scripts)
    assert whole is not None
    assert (whole.began_ms, whole.after_loss) == (keeper.now_ms, True)


async def test_a_second_look_finds_nothing(keeper: Keeper) -> None:
    await keeper.ran(State.SUCCEEDED)
    await keeper.let_in()
    await keeper.let_in(held=True)
    await keeper.lose()
    assert (await keeper.reconcile()).total == 3
    again = await keeper.reconcile()
    assert (again.was_lost, again.total) == (False, 0)


async def test_numbers_of_attempts_that_may_have_run_are_not_given_out_again(keeper: Keeper) -> None:
    """A worker would take the new one for the old one. Loss after loss."""
    job = await keeper.let_in(max_attempts=2)
    seen = []
    for _ in range(3):
        [picked] = await keeper.pick(9)
        await keeper.start(picked)
        seen.append(picked.attempt)
        await keeper.lose()
        await keeper.reconcile()
        assert (await keeper.jobs.require(TENANT, job.job_id)).attempt == 0
    assert seen == sorted(set(seen))
    assert seen[1] > 2
    [picked] = await keeper.pick(9)
    await keeper.start(picked)
    view = await keeper.jobs.require(TENANT, job.job_id)
    assert (view.attempt, view.attempts_max) == (picked.attempt, picked.attempt + 1), "two tries, as ever"


async def test_a_dry_run_changes_nothing_and_finds_the_same(keeper: Keeper, redis_url: str) -> None:
    await keeper.ran(State.SUCCEEDED)
    await keeper.let_in()
    copy = Copy.of(redis_url)
    await keeper.ran(State.FAILED, max_attempts=1)
    behind = await keeper.let_in(held=True)
    copy.put_back()
    streams = [await keeper.nc.jetstream().stream_info(name) for name in ("JOBS", "ENDED")]
    before = await keeper.everything()
    looked = await keeper.reconcile(dry_run=True)
    assert await keeper.everything() == before
    after = [await keeper.nc.jetstream().stream_info(name) for name in ("JOBS", "ENDED")]
    assert [info.state for info in after] == [info.state for info in streams]
    done = await keeper.reconcile()
    assert (looked.counts, looked.named) == (done.counts, done.named)
    assert f"acme/{behind.job_id}" in looked.named[Kind.MISSING]
    assert not looked.mended


async def test_two_at_once_bring_back_each_job_once(keeper: Keeper) -> None:
    for _ in range(5):
        await keeper.ran(State.SUCCEEDED)
        await keeper.let_in()
    before = await keeper.states()
    await keeper.lose()
    await asyncio.gather(*(keeper.reconcile() for _ in range(3)))
    assert await keeper.states() == before
    verify(await dump(keeper.scripts, TENANT))
    restored = [event.job_id for event in await keeper.audit.read(TENANT, 0, 1000) if event.type == "job.restored"]
    assert sorted(filter(None, restored)) == sorted(before)


async def test_a_job_that_was_set_back_to_before_its_end_ends_as_it_did(keeper: Keeper, redis_url: str) -> None:
    """Restored from a copy: queued, running and dead ones that ended since."""
    queued, running, dead = [await keeper.let_in(max_attempts=1) for _ in range(3)]
    [picked] = [item for item in await keeper.pick(9) if item.job.job_id == running.job_id]
    _, token = await keeper.start(picked)
    keeper.pass_ms(20_000)
    await keeper.backlog.release_reservations(TENANT, keeper.now_ms)
    await keeper.run(dead.job_id, State.FAILED)
    copy = Copy.of(redis_url)
    await keeper.results.finish(
        TENANT, [keeper.finish_request(picked, token, State.SUCCEEDED, value=b"1")], keeper.now_ms
    )
    await keeper.run(queued.job_id, State.SUCCEEDED)
    await keeper.jobs.retry(TENANT, dead.job_id, by="operator", now_ms=keeper.now_ms)
    await keeper.telling.run_once()
    before = await keeper.states()
    copy.put_back()
    drift = await keeper.reconcile()
    assert (drift.was_lost, drift.counts[Kind.BEHIND]) == (True, 3)
    assert await keeper.states() == before
    assert before[dead.job_id] is State.QUEUED, "that an operator undid an end came into the log"
    assert (await keeper.jobs.result(TENANT, queued.job_id)) is not None
    verify(await dump(keeper.scripts, TENANT))
    assert (await keeper.reconcile()).total == 0


async def test_an_end_that_the_store_knows_of_and_left_behind_is_not_put_on_again(keeper: Keeper) -> None:
    """An operator's retry between the look and the mending."""
    job = await keeper.let_in(max_attempts=1)
    [picked] = await keeper.pick(9)
    _, token = await keeper.start(picked)
    await keeper.results.finish(TENANT, [keeper.finish_request(picked, token, State.FAILED)], keeper.now_ms)
    [ending] = await Endings(keeper.scripts, "keeper").take(TENANT)
    await keeper.telling.run_once()
    await keeper.jobs.retry(TENANT, job.job_id, by="operator", now_ms=keeper.now_ms)
    await keeper.telling.run_once()
    assert not await Restoring(keeper.scripts).settle(ending, keeper.now_ms)
    assert await keeper.state(job.job_id) is State.QUEUED


async def test_a_release_is_not_sealed_again(keeper: Keeper, redis_url: str) -> None:
    """What people decided about a sealed output stands after a loss; a destroyed one does not come back."""
    released, destroyed = await keeper.ran(State.QUARANTINED), await keeper.ran(State.QUARANTINED)
    copy = Copy.of(redis_url)
    for job_id, act in ((released, Act.RELEASE), (destroyed, Act.DESTROY)):
        item = await keeper.quarantine.require(TENANT, job_id)
        assert item.digest is not None
        vote = SealedVote(ActorId("ada"), act, "looked", keeper.now_ms)
        out = Released({"verdict": "allow"}, b'"in clear"', (), None) if act is Act.RELEASE else None
        request = SealedRequest(job_id, vote, item.digest, 0, completes=True, attempt=1, released=out)
        await keeper.quarantine.vote(TENANT, request, keeper.now_ms)
    await keeper.telling.run_once()
    for lose in (copy.put_back, keeper.lose):
        waiting = lose()
        if waiting is not None:
            await waiting
        await keeper.reconcile()
        assert await keeper.state(released) is State.SUCCEEDED
        result = await keeper.jobs.result(TENANT, released)
        assert result is not None
        assert result.value == b'"in clear"'
        item = await keeper.quarantine.require(TENANT, destroyed)
        assert (item.status, item.sealed, item.sealed_ref) == (SealedStatus.DESTROYED, None, None)


async def test_an_idempotency_key_is_the_same_job_after_a_loss(keeper: Keeper) -> None:
    job = await keeper.let_in(idempotency=KEY)
    await keeper.lose()
    await keeper.reconcile()
    again = await keeper.accept(make_job(keeper.now_ms), idempotency=KEY)
    assert (again.kind, again.job_id) == (AcceptKind.REPLAY, job.job_id)
    other = await keeper.accept(make_job(keeper.now_ms), idempotency=Idempotency(KEY.key, "0" * 64))
    assert other.kind is AcceptKind.CONFLICT


async def test_a_request_that_was_sent_again_meanwhile_is_one_job(keeper: Keeper) -> None:
    """The one that was lost comes back, as cancelled, and stays so through another loss."""
    job = await keeper.let_in(idempotency=KEY)
    await keeper.lose()
    other = await keeper.let_in(idempotency=KEY)
    await keeper.reconcile()
    assert await keeper.states() == {job.job_id: State.CANCELLED, other.job_id: State.QUEUED}
    view = await keeper.jobs.require(TENANT, job.job_id)
    assert view.code == "duplicate"
    assert (await keeper.accept(make_job(keeper.now_ms), idempotency=KEY)).job_id == other.job_id
    await keeper.telling.run_once()
    await keeper.lose()
    await keeper.reconcile()
    assert await keeper.states() == {job.job_id: State.CANCELLED, other.job_id: State.QUEUED}


async def test_a_key_that_was_used_for_something_else_meanwhile_keeps_no_job_from_coming_back(keeper: Keeper) -> None:
    job = await keeper.let_in(idempotency=KEY)
    await keeper.lose()
    now = Idempotency(KEY.key, "0" * 64)
    other = await keeper.let_in(idempotency=now)
    await keeper.reconcile()
    assert await keeper.states() == {job.job_id: State.QUEUED, other.job_id: State.QUEUED}
    again = await keeper.accept(make_job(keeper.now_ms), idempotency=now)
    assert (again.kind, again.job_id) == (AcceptKind.REPLAY, other.job_id), "the key is whose it was used for last"


async def test_what_is_forgotten_stays_forgotten(keeper: Keeper) -> None:
    """Its end is in the log, so is the job; it ended too long ago to be kept."""
    ended = await keeper.ran(State.SUCCEEDED)
    waits = await keeper.let_in()
    keeper.pass_ms(8 * 24 * 3600 * 1000)
    await keeper.lose()
    await keeper.reconcile()
    assert set(await keeper.states()) == {waits.job_id}
    assert await keeper.jobs.get(TENANT, ended) is None
    assert (await keeper.reconcile()).total == 0


async def test_what_cannot_be_read_in_the_log_is_named_and_stops_nothing(keeper: Keeper) -> None:
    before, after = await keeper.let_in(), None
    await keeper.nc.jetstream().publish(subjects.job("acme"), b"junk", headers={"Nats-Msg-Id": make_job(1).job_id})
    await keeper.nc.jetstream().publish(subjects.job("acme"), b"junk")
    await keeper.nc.jetstream().publish(subjects.ending("acme"), b"junk")
    after = await keeper.let_in()
    await keeper.lose()
    drift = await keeper.reconcile()
    assert set(await keeper.states()) == {before.job_id, after.job_id}
    assert sorted(drift.named[Kind.BROKEN]) == ["ENDED/2", "JOBS/2", "JOBS/3"]


async def test_of_jobs_from_before_endings_were_kept_none_runs_again_by_itself(
    nc: Nats, scripts: Scripts, streams: None
) -> None:
    """After an update and a loss before the first look: nobody can say whether they ended."""
    keeper = Keeper(scripts, SystemClock().now_ms(), nc=nc)
    job = await keeper.let_in()
    await keeper.lose()
    drift = await keeper.reconcile()
    view = await keeper.jobs.require(TENANT, job.job_id)
    assert (view.state, view.code, drift.counts[Kind.UNKNOWN_OUTCOME]) == (State.FAILED, OUTCOME_UNKNOWN, 1)
    await keeper.jobs.retry(TENANT, job.job_id, by="operator", now_ms=keeper.now_ms)
    assert len(await keeper.pick(9)) == 1


async def test_a_retry_stands_though_the_log_has_the_job_as_ended(keeper: Keeper) -> None:
    """The log of jobs was lost and made again after the job's end; an operator retried it then."""
    job_id = await keeper.ran(State.FAILED, max_attempts=1)
    js = keeper.nc.jetstream()
    await js.delete_stream(subjects.STREAM_JOBS)
    await ensure_streams(keeper.nc)
    await keeper.reconcile()
    await keeper.jobs.retry(TENANT, job_id, by="operator", now_ms=keeper.now_ms)
    await keeper.telling.run_once()
    await keeper.lose()
    await keeper.reconcile()
    assert await keeper.state(job_id) is State.QUEUED


async def test_an_end_counts_though_its_number_was_given_to_a_step_of_the_same_job(
    keeper: Keeper, redis_url: str
) -> None:
    """Set back, and written to before anybody noticed."""
    job = await keeper.let_in(max_attempts=3)
    copy = Copy.of(redis_url)
    await keeper.run(job.job_id, State.SUCCEEDED)
    last = await keeper.audit.last_seq(TENANT)
    copy.put_back()
    while await keeper.audit.last_seq(TENANT) < last - 1:
        await keeper.let_in(enqueue=False)
    [picked] = await keeper.pick(9)
    await keeper.start(picked)
    assert await keeper.audit.last_seq(TENANT) == last
    await keeper.reconcile(is_set_back=True)
    assert await keeper.state(job.job_id) is State.SUCCEEDED


async def test_the_log_says_again_what_it_has_before_its_word_grows_old(keeper: Keeper) -> None:
    """That it has every end, and how often the state was lost: else every open job would end as of unknown outcome."""
    job = await keeper.let_in(max_attempts=2)
    for _ in range(2):
        await keeper.lose()
        await keeper.reconcile()
    keeper.pass_ms(2 * DAY_S * 1000)
    await keeper.reconcile()
    js = keeper.nc.jetstream()
    last = (await js.stream_info(subjects.STREAM_ENDED)).state.last_seq
    await js.purge_stream(subjects.STREAM_ENDED, seq=last)  # what was said before is past its age
    await keeper.lose()
    await keeper.reconcile()
    assert await keeper.state(job.job_id) is State.QUEUED
    [picked] = await keeper.pick(9)
    assert picked.attempt > 2 * 3, "as many as three losses use up"


async def test_what_ended_and_is_forgotten_while_a_look_is_under_way_does_not_come_back(keeper: Keeper) -> None:
    ended = await keeper.ran(State.SUCCEEDED)
    keeper.pass_ms(7 * DAY_S * 1000 - 1000)
    drift = Drift(mended=True)
    rebuild = Rebuild(keeper.parts, drift, keeper.ending_log)
    extents = await extents_of(keeper.parts)
    await rebuild.read_endings(extents[subjects.STREAM_ENDED])
    keeper.pass_ms(2000)
    await keeper.jobs.forget(TENANT, ended_before_ms=keeper.now_ms - 7 * DAY_S * 1000, denied_before_ms=0)
    assert await keeper.jobs.get(TENANT, ended) is None
    await rebuild.read_jobs(extents[subjects.STREAM_JOBS])
    assert drift.total == 0


async def test_a_store_that_is_set_back_while_it_is_made_good_is_looked_at_again(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keeper.let_in()
    await keeper.lose()

    async def set_back_again(_self: Walk, _tenant: object) -> None:
        await keeper.lose()

    monkeypatch.setattr(Walk, "mend", set_back_again)
    with pytest.raises(StateUnavailable):
        await keeper.reconcile()
    assert await find_whole(keeper.scripts) is None


async def test_events_go_on_behind_the_last_that_the_log_knows(keeper: Keeper) -> None:
    await keeper.ran(State.SUCCEEDED)
    last = await keeper.audit.last_seq(TENANT)
    await keeper.lose()
    await keeper.reconcile()
    events = await keeper.audit.read(TENANT, 0, 100)
    assert (events[0].seq, events[0].type, events[0].details["after"]) == (last + 1, "audit.resumed", last)
    assert (events[-1].type, events[-1].details["jobs"], events[-1].details["last_seq"]) == ("state.restored", 1, last)


@pytest.mark.parametrize("place", ["backlog:default", "state:queued", "due"])
async def test_a_job_that_lies_nowhere_is_put_where_it_belongs(keeper: Keeper, place: str) -> None:
    queued, later = await keeper.let_in(), await keeper.let_in(run_at_ms=keeper.now_ms + 60_000)
    await keeper.scripts.command("ZREM", key(TENANT, *place.split(":")), queued.job_id, later.job_id)
    await keeper.scripts.command("ZADD", key(TENANT, "backlog", "default"), 1, make_job(1).job_id)
    looked = await keeper.reconcile(dry_run=True)
    drift = await keeper.reconcile()
    assert looked.counts == drift.counts
    assert drift.counts[Kind.STRAY] == 1
    assert drift.counts[Kind.MISPLACED] == 1
    verify(await dump(keeper.scripts, TENANT))
    assert (await keeper.reconcile()).total == 0
