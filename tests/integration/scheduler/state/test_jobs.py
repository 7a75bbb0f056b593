"""Entry, idempotency, limits, lists, cancel and retry of jobs."""

from __future__ import annotations

import asyncio

import pytest

from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, JobId, Tenant, new_job_id
from holdgate.kernel.records import Over, Throttle, Verdict
from holdgate.scheduler.errors import JobNotFound, WrongState
from holdgate.scheduler.state.entry import AcceptKind, Idempotency, StateLimits
from holdgate.scheduler.state.jobs import JobFilter
from holdgate.scheduler.state.results import FinishKind
from holdgate.scheduler.state.transitions import State
from support.state import START_MS, TENANT, World, make_admission, make_decision, make_job

BODY, OTHER_BODY = "a" * 64, "b" * 64


def throttle(over: Over, *, limit: int = 2, bucket: str = "b") -> Throttle:
    """So many a minute."""
    return Throttle(rule=f"limit-{over}", bucket=bucket, limit=limit, per_s=60, over=over)


async def test_what_was_accepted_is_shown_whole(world: World) -> None:
    """Everything that came in comes out, but the payload, which has a call of its own."""
    job = make_job(
        world.now_ms,
        prompt="please",
        labels={"env": "prod"},
        principals=(ActorId("boss"),),
        deadline_ms=world.now_ms + 60_000,
        payload=b'{"a":[1,2]}',
    )
    await world.accept(job)
    view = await world.jobs.require(TENANT, job.job_id)
    assert view.job == job.with_payload(None)
    assert (view.state, view.attempt, view.attempts_max, view.logged) == (State.ACCEPTED, 0, 2, False)
    assert view.decision == make_decision(job)
    assert view.admission == make_admission(job)
    assert view.job_hash == job.job_hash()
    assert await world.jobs.payload(TENANT, job.job_id) == b'{"a":[1,2]}'
    assert await world.jobs.decisions(TENANT, job.job_id) == [make_decision(job)]


async def test_a_denied_job_keeps_its_decision_and_neither_payload_nor_prompt(world: World) -> None:
    """A search through everything stored finds neither."""
    job = make_job(world.now_ms, prompt="SECRET-PROMPT", payload=b'"SECRET-PAYLOAD"')
    decision = make_decision(job, Verdict.DENY)
    result = await world.jobs.deny(job, decision, code="denied", now_ms=world.now_ms)
    assert (result.kind, result.state) == (AcceptKind.ACCEPTED, State.DENIED)
    view = await world.jobs.require(TENANT, job.job_id)
    assert (view.state, view.code, view.decision, view.job.prompt) == (State.DENIED, "denied", decision, None)
    assert await world.jobs.payload(TENANT, job.job_id) is None
    assert await world.jobs.outbox_due(TENANT, world.now_ms + 1) == []
    for name in await world.scripts.command("KEYS", "*"):
        assert b"SECRET" not in (await world.scripts.command("DUMP", name))


async def test_the_same_key_and_body_is_answered_as_the_first(world: World) -> None:
    """However often and at once it comes: one job, one event."""
    key = Idempotency("k", BODY)
    first = await world.accept(idempotency=key)
    again = await asyncio.gather(*(world.accept(make_job(world.now_ms), idempotency=key) for _ in range(20)))
    assert {(result.kind, result.job_id, result.state) for result in again} == {
        (AcceptKind.REPLAY, first.job_id, State.ACCEPTED)
    }
    assert not any(result.logged for result in again)
    await world.backlog.enqueue(TENANT, [JobId(first.job_id or "")], world.now_ms)
    later = await world.accept(make_job(world.now_ms), idempotency=key)
    assert (later.state, later.logged) == (State.QUEUED, True)
    assert len(await world.audit.read(TENANT, 0)) == 2


async def test_the_same_key_with_another_body_is_refused(world: World) -> None:
    """A key names one body; in another tenant it is another key."""
    await world.accept(idempotency=Idempotency("k", BODY))
    refused = await world.accept(make_job(world.now_ms), idempotency=Idempotency("k", OTHER_BODY))
    assert refused.kind is AcceptKind.CONFLICT
    elsewhere = make_job(world.now_ms, tenant=Tenant("other"))
    assert (await world.accept(elsewhere, idempotency=Idempotency("k", OTHER_BODY))).kind is AcceptKind.ACCEPTED


async def test_a_replayed_denial_answers_as_the_denial(world: World) -> None:
    """Never as a success."""
    job, key = make_job(world.now_ms), Idempotency("k", BODY)
    decision = make_decision(job, Verdict.DENY)
    await world.jobs.deny(job, decision, code="denied", now_ms=world.now_ms, idempotency=key)
    for again in (
        await world.accept(make_job(world.now_ms), idempotency=key),
        await world.jobs.deny(make_job(world.now_ms), decision, code="denied", now_ms=world.now_ms, idempotency=key),
    ):
        assert (again.kind, again.job_id, again.state) == (AcceptKind.REPLAY, job.job_id, State.DENIED)


async def test_a_full_queue_refuses_and_stores_nothing(world: World) -> None:
    """Waiting jobs count, ended ones do not; another tenant has its own queue."""
    small = World(world.scripts, limits=StateLimits(queue_max=2))
    first = await small.accept()
    await small.held()
    refused = await small.accept()
    assert refused.kind is AcceptKind.QUEUE_FULL
    assert refused.retry_after_ms > 0
    assert sum((await small.jobs.counts(TENANT)).values()) == 2
    assert (await small.accept(make_job(small.now_ms, tenant=Tenant("other")))).kind is AcceptKind.ACCEPTED
    await small.jobs.cancel(TENANT, JobId(first.job_id or ""), by="me", reason="", now_ms=small.now_ms)
    assert (await small.accept()).kind is AcceptKind.ACCEPTED


@pytest.mark.parametrize("over", [Over.REJECT, Over.HOLD])
async def test_a_rate_limit_counts_jobs_that_enter_and_only_those(world: World, over: Over) -> None:
    """A refused job takes nothing, neither from this bucket nor from another; room comes back with time."""
    tight, wide = throttle(over), throttle(Over.REJECT, limit=3, bucket="wide")
    for _ in range(2):
        assert (await world.accept(throttles=(wide, tight))).kind is AcceptKind.ACCEPTED
    for _ in range(5):
        refused = await world.accept(throttles=(wide, tight))
        assert (refused.kind, refused.over, refused.rule) == (AcceptKind.THROTTLED, over, tight.rule)
        assert refused.retry_after_ms == 30_000
    assert (await world.accept(throttles=(wide,))).kind is AcceptKind.ACCEPTED
    assert (await world.accept(throttles=(wide,))).kind is AcceptKind.THROTTLED
    world.pass_ms(30_000)
    assert (await world.accept(throttles=(tight,))).kind is AcceptKind.ACCEPTED
    assert (await world.accept(throttles=(tight,))).kind is AcceptKind.THROTTLED


async def test_a_limit_that_delays_puts_jobs_off_until_there_is_room(world: World) -> None:
    """Each waits for its own turn; none is refused."""
    results = [await world.accept(throttles=(throttle(Over.DELAY),)) for _ in range(4)]
    assert [result.state for result in results] == [State.ACCEPTED] * 2 + [State.SCHEDULED] * 2
    views = [await world.jobs.require(TENANT, JobId(result.job_id or "")) for result in results[2:]]
    assert [view.ready_ms for view in views] == [START_MS + 30_000, START_MS + 60_000]
    world.pass_ms(30_000)
    assert list(await world.backlog.promote_due(TENANT, world.now_ms)) == [results[2].job_id]


async def test_a_replay_is_not_counted_again(world: World) -> None:
    """Once per job."""
    key = Idempotency("k", BODY)
    for _ in range(5):
        await world.accept(idempotency=key, throttles=(throttle(Over.REJECT),))
    assert (await world.accept(throttles=(throttle(Over.REJECT),))).kind is AcceptKind.ACCEPTED


async def test_at_once_no_more_enter_than_the_limit_says(world: World) -> None:
    """Looking and taking are one step."""
    results = await asyncio.gather(*(world.accept(throttles=(throttle(Over.REJECT, limit=7),)) for _ in range(50)))
    assert sum(result.kind is AcceptKind.ACCEPTED for result in results) == 7


async def test_lists_are_newest_first_in_pages_without_gaps(world: World) -> None:
    """By state or over all; a cursor goes on where the page ended."""
    job_ids = []
    for _ in range(7):
        world.pass_ms(1)
        job_ids.append((await world.accept()).job_id)
    await world.backlog.enqueue(TENANT, [JobId(str(job_id)) for job_id in job_ids[::2]], world.now_ms)
    newest_first = job_ids[::-1]
    for wanted, expected in (
        (JobFilter(), newest_first),
        (JobFilter(state=State.QUEUED), job_ids[::2][::-1]),
        (JobFilter(topic="job.other"), []),
        (JobFilter(actor=ActorId("agent")), newest_first),
    ):
        found, cursor = [], None
        while True:
            page = await world.jobs.list_jobs(TENANT, wanted, 3, cursor)
            assert len(page.items) <= 3
            found += [view.job.job_id for view in page.items]
            cursor = page.cursor
            if cursor is None:
                break
        assert found == expected
    with pytest.raises(InvalidInput):
        await world.jobs.list_jobs(TENANT, JobFilter(), 3, "+")


async def test_a_tenant_finds_nothing_of_another(world: World) -> None:
    """Neither by id nor by list, and cannot cancel or retry it."""
    job_id = await world.queued()
    other = Tenant("other")
    assert await world.jobs.get(other, job_id) is None
    assert (await world.jobs.list_jobs(other, JobFilter(), 10)).items == ()
    assert await world.jobs.timeline(other, job_id) == []
    assert await world.jobs.decisions(other, job_id) == []
    with pytest.raises(JobNotFound):
        await world.jobs.cancel(other, job_id, by="x", reason="", now_ms=world.now_ms)
    with pytest.raises(JobNotFound):
        await world.jobs.retry(other, job_id, by="x", now_ms=world.now_ms)
    assert await world.backlog.enqueue(other, [job_id], world.now_ms) == {job_id: None}


async def test_a_waiting_job_is_cancelled_at_once(world: World) -> None:
    """Wherever it waits; it is not handed over any more."""
    held = await world.held()
    queued = await world.queued()
    for job_id in (held.job_id, queued):
        result = await world.jobs.cancel(TENANT, job_id, by="agent", reason="changed my mind", now_ms=world.now_ms)
        assert result.state is State.CANCELLED
        with pytest.raises(WrongState):
            await world.jobs.cancel(TENANT, job_id, by="agent", reason="", now_ms=world.now_ms)
    assert await world.pick() == []
    assert (await world.jobs.require(TENANT, queued)).cancel_requested_by == "agent"


async def test_a_cancelled_run_that_fails_is_not_tried_again(world: World) -> None:
    """The flag tells the worker; whatever comes but success ends as cancelled."""
    picked, token = await world.running()
    result = await world.jobs.cancel(TENANT, picked.job.job_id, by="agent", reason="", now_ms=world.now_ms)
    assert (result.state, result.worker, result.pool) == (State.RUNNING, "w1", "default")
    request = world.finish_request(picked, token, State.QUEUED)
    [finished] = await world.results.finish(TENANT, [request], world.now_ms)
    assert finished.state is State.CANCELLED


async def test_success_that_comes_before_the_worker_heard_of_the_cancel_wins(world: World) -> None:
    """The state is right whoever wins."""
    picked, token = await world.running()
    await world.jobs.cancel(TENANT, picked.job.job_id, by="agent", reason="", now_ms=world.now_ms)
    request = world.finish_request(picked, token, State.SUCCEEDED, value=b"1")
    [finished] = await world.results.finish(TENANT, [request], world.now_ms)
    assert (finished.kind, finished.state) == (FinishKind.FINISHED, State.SUCCEEDED)


async def test_a_dead_job_gets_one_more_attempt_from_an_operator(world: World) -> None:
    """Out of the list, into the queue; the old result is gone; a second failure brings it back."""
    picked, token = await world.running(max_attempts=1)
    request = world.finish_request(picked, token, State.QUEUED, code="handler_error")
    [finished] = await world.results.finish(TENANT, [request], world.now_ms)
    assert finished.state is State.FAILED
    assert await world.jobs.result(TENANT, picked.job.job_id) is None
    view = await world.jobs.retry(TENANT, picked.job.job_id, by="op", now_ms=world.now_ms)
    assert (view.state, view.attempts_max) == (State.QUEUED, 2)
    [again] = await world.pick()
    assert again.attempt == 2
    _, token = await world.start(again)
    failed = world.finish_request(again, token, State.FAILED, error={"type": "E", "message": "m", "trace": ""})
    await world.results.finish(TENANT, [failed], world.now_ms)
    result = await world.jobs.result(TENANT, picked.job.job_id)
    assert result is not None
    assert result.error == {"type": "E", "message": "m", "trace": ""}
    with pytest.raises(JobNotFound):
        await world.jobs.retry(TENANT, new_job_id(world.now_ms), by="op", now_ms=world.now_ms)


async def test_a_large_payload_is_not_in_the_record(world: World) -> None:
    """Its digest is; the hash is the same as if it were inline."""
    payload = b'"' + b"x" * 300_000 + b'"'
    job = make_job(world.now_ms, payload=payload)
    assert job.with_payload(None).job_hash() == job.job_hash()
    await world.accept(job.with_payload(None))
    assert await world.jobs.payload(TENANT, job.job_id) is None
    assert (await world.jobs.require(TENANT, job.job_id)).job.payload_digest == digest_bytes(payload)
