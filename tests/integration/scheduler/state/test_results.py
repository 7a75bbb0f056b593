"""Verdicts on results, quarantine, the audit trail and the registry of workers."""

from __future__ import annotations

import asyncio

import pytest

from holdgate.kernel.ids import LeaseToken, WorkerId
from holdgate.kernel.records import Constraints
from holdgate.scheduler.errors import StateBroken, StateUnavailable
from holdgate.scheduler.state.backlog import StartKind
from holdgate.scheduler.state.connection import Scripts, connect_redis, key
from holdgate.scheduler.state.results import FinishingClaim, FinishKind
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.state.workers import WorkerView
from support.state import TENANT, World, make_decision


async def test_a_result_is_stored_once_and_a_repeat_changes_nothing(world: World) -> None:
    """The message may come any number of times, with another content too."""
    picked, token = await world.running()
    request = world.finish_request(picked, token, State.SUCCEEDED, value=b'"first"', code="done")
    [first] = await world.results.finish(TENANT, [request], world.now_ms)
    assert first.kind is FinishKind.FINISHED
    other = world.finish_request(picked, token, State.FAILED, value=b'"second"')
    [again] = await world.results.finish(TENANT, [other], world.now_ms)
    assert (again.kind, again.state) == (FinishKind.ALREADY, State.SUCCEEDED)
    result = await world.jobs.result(TENANT, picked.job.job_id)
    assert result is not None
    assert result.value == b'"first"'
    claim = FinishingClaim(picked.job.job_id, picked.attempt, token)
    assert (await world.results.mark_finishing(TENANT, [claim], world.now_ms))[picked.job.job_id] is FinishKind.ALREADY


async def test_a_result_of_another_attempt_or_token_is_stale(world: World) -> None:
    """Also for a job that never ran."""
    picked, token = await world.running()
    waiting = await world.queued()
    requests = [
        world.finish_request(picked, LeaseToken("forged"), State.SUCCEEDED, value=b"1"),
        world.finish_request(picked, token, State.SUCCEEDED, value=b"1", attempt=2),
        world.finish_request(picked, token, State.SUCCEEDED, value=b"1", job_id=waiting),
    ]
    results = await world.results.finish(TENANT, requests, world.now_ms)
    assert [result.kind for result in results] == [FinishKind.STALE] * 3
    assert await world.state(picked.job.job_id) is State.RUNNING
    assert await world.state(waiting) is State.QUEUED


async def test_a_quarantined_output_is_kept_sealed_and_not_readable(world: World) -> None:
    """The job's result says that it is quarantined, and holds nothing of it."""
    picked, token = await world.running()
    verdict = {"verdict": "quarantine", "findings": [{"detector": "private-key"}]}
    request = world.finish_request(picked, token, State.QUARANTINED, verdict=verdict, sealed=b"SEALED")
    await world.results.finish(TENANT, [request], world.now_ms)
    result = await world.jobs.result(TENANT, picked.job.job_id)
    assert result is not None
    assert (result.state, result.value, result.logs, result.error) == (State.QUARANTINED, None, (), None)
    [item], cursor = await world.quarantine.list_items(TENANT, 10)
    assert (item.job_id, item.sealed, item.verdict, cursor) == (picked.job.job_id, None, verdict, None)
    whole = await world.quarantine.get(TENANT, picked.job.job_id)
    assert whole is not None
    assert whole.sealed == b"SEALED"
    assert await world.quarantine.get(TENANT, await world.queued()) is None


async def test_what_the_output_gate_needs_to_know_is_under_the_decision_at_hand_off(world: World) -> None:
    """Constraints are those of the permit, not those of the submit."""
    await world.queued(labels={"env": "prod"})
    [picked] = await world.pick()
    decision = make_decision(picked.job, constraints=Constraints(max_output_bytes=10))
    assert (await world.start(picked, decision=decision))[0].kind is StartKind.STARTED
    [facts, unknown] = await world.results.facts(TENANT, [picked.job.job_id, picked.job.job_id.replace("7", "8")])  # type: ignore[list-item]
    assert unknown is None
    assert facts is not None
    assert (facts.state, facts.attempt, facts.attempts_max, facts.max_output_bytes) == (State.RUNNING, 1, 2, 10)
    assert (facts.topic, facts.labels, facts.worker) == ("job.demo.read", {"env": "prod"}, "w1")


async def test_an_ending_that_the_table_does_not_allow_changes_nothing(world: World) -> None:
    """A result that is in cannot time out."""
    picked, token = await world.running()
    claim = FinishingClaim(picked.job.job_id, 1, token)
    await world.results.mark_finishing(TENANT, [claim], world.now_ms)
    request = world.finish_request(picked, token, State.TIMED_OUT)
    [result] = await world.results.finish(TENANT, [request], world.now_ms)
    assert (result.kind, result.state) == (FinishKind.NOT_ALLOWED, State.FINISHING)


async def test_the_audit_trail_is_read_in_pages_and_trimmed_without_gaps(world: World) -> None:
    """What is trimmed is gone; numbers go on."""
    for _ in range(3):
        await world.queued()
    assert await world.audit.append(TENANT, "policy.published", {"bundle": "base"}, world.now_ms) == 7
    first = await world.audit.read(TENANT, 0, 4)
    second = await world.audit.read(TENANT, first[-1].seq, 4)
    assert [event.seq for event in first + second] == [1, 2, 3, 4, 5, 6, 7]
    assert second[-1].as_dict() == {
        "seq": 7,
        "time_ms": world.now_ms,
        "tenant": TENANT,
        "type": "policy.published",
        "bundle": "base",
    }
    assert first[0].as_dict()["actor"] == "agent"
    assert await world.audit.trim(TENANT, 4) == 4
    assert [event.seq for event in await world.audit.read(TENANT, 0)] == [5, 6, 7]
    await world.accept()
    assert await world.audit.last_seq(TENANT) == 8


async def test_nothing_that_agents_or_workers_wrote_is_in_the_audit_trail(world: World) -> None:
    """Neither payload nor prompt nor result nor logs."""
    picked, token = await world.running(prompt="SECRET", payload=b'"SECRET"')
    request = world.finish_request(
        picked, token, State.FAILED, logs=("SECRET",), error={"type": "E", "message": "SECRET", "trace": ""}
    )
    await world.results.finish(TENANT, [request], world.now_ms)
    for name in (key(TENANT, "audit"), key(TENANT, "timeline", picked.job.job_id)):
        assert b"SECRET" not in await world.scripts.command("DUMP", name)


async def test_workers_are_listed_as_long_as_they_are_heard_of(world: World) -> None:
    """Pools are made of them."""
    for name, pool in (("w1", "default"), ("w2", "default"), ("w3", "gpu")):
        view = WorkerView(WorkerId(name), pool, ("job.>",), (name,), 4, 1, world.now_ms)
        await world.workers.seen(view, ttl_ms=15_000)
    assert [worker.worker for worker in await world.workers.list_workers(world.now_ms)] == ["w1", "w2", "w3"]
    default, gpu = await world.workers.list_pools(world.now_ms)
    assert (default.pool, default.workers, default.capacity, default.busy) == ("default", 2, 8, 2)
    assert default.capabilities == ("w1", "w2")
    assert gpu.pool == "gpu"
    await world.workers.gone("gpu", WorkerId("w3"))
    assert len(await world.workers.list_pools(world.now_ms)) == 1
    assert await world.workers.list_workers(world.now_ms + 15_000) == []


async def test_names_that_one_pool_makes_up_hide_no_worker_of_another(world: World) -> None:
    """Nor does one of the same name, or its goodbye; what a worker offers is kept as far as people look at it."""
    many = [WorkerView(WorkerId(f"w{n}"), "evil", ("x" * 9000,) * 9, (), 1, 0, world.now_ms) for n in range(1_100)]
    good = WorkerView(WorkerId("w1"), "good", ("job.>",), (), 4, 1, world.now_ms)
    await world.workers.seen(good, ttl_ms=15_000)
    await asyncio.gather(*(world.workers.seen(view, ttl_ms=15_000) for view in many))
    await world.workers.gone("evil", WorkerId("w1"))
    evil, kept = await world.workers.list_pools(world.now_ms)
    assert (kept.pool, kept.workers, kept.capacity, kept.topics) == ("good", 1, 4, ("job.>",))
    assert (evil.pool, evil.workers) == ("evil", 1_000)
    listed = await world.workers.list_workers(world.now_ms)
    assert good in listed
    assert {len(view.topics) for view in listed} == {1}


async def test_scripts_that_redis_forgot_are_sent_again(world: World) -> None:
    """As after a restart of Redis."""
    await world.scripts.command("SCRIPT", "FLUSH")
    await world.queued()
    assert len(await world.pick()) == 1


async def test_an_argument_that_cannot_be_stored_fails_its_caller_alone(world: World) -> None:
    """Others that leave at the same moment are served."""
    bad, good = await asyncio.gather(
        world.scripts.command("SET", "name", "\ud800"),
        world.queued(),
        return_exceptions=True,
    )
    assert isinstance(bad, StateBroken)
    assert isinstance(good, str)


async def test_a_lost_connection_is_made_anew(world: World) -> None:
    """A call that was under way fails as unavailable; later ones work."""
    await world.scripts.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    for _ in range(20):
        try:
            await world.jobs.counts(TENANT)
        except StateUnavailable:
            continue
    await world.queued()


async def test_a_redis_that_is_not_there_is_unavailable() -> None:
    """In time, and with a stable code."""
    with pytest.raises(StateUnavailable) as caught:
        await connect_redis("redis://127.0.0.1:1/0", timeout_s=1.0)
    assert caught.value.code == "state_unavailable"


async def test_a_redis_that_is_full_refuses_and_nothing_is_half_done(scripts: Scripts, world: World) -> None:
    """noeviction: unavailable, and no trace of the job."""
    await world.accept()
    before = await scripts.command("CONFIG", "GET", "maxmemory")
    await scripts.command("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(StateUnavailable):
            await world.accept()
    finally:
        await scripts.command("CONFIG", "SET", "maxmemory", before[1])
    assert sum((await world.jobs.counts(TENANT)).values()) == 1
    assert await world.audit.last_seq(TENANT) == 1


async def test_a_record_that_nobody_of_ours_wrote_is_told_as_broken(world: World) -> None:
    """Not a crash, not a guess."""
    job_id = await world.queued()
    await world.scripts.command("HSET", key(TENANT, "job", job_id), "job", b"\xff")
    with pytest.raises(StateBroken):
        await world.jobs.get(TENANT, job_id)
