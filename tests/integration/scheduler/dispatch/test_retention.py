"""What is deleted after its time, and what is given up."""

from __future__ import annotations

from typing import Any

import nats
import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel import wire
from holdgate.kernel.ids import ActorId, JobId
from holdgate.kernel.records import Verdict
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch import sealed_expiry
from holdgate.scheduler.dispatch.doomed import Doomed
from holdgate.scheduler.dispatch.lost_results import LostResults
from holdgate.scheduler.dispatch.retention import Retention
from holdgate.scheduler.dispatch.sealed_expiry import SealedExpiry
from holdgate.scheduler.errors import LogUnavailable, NotFound
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.connection import Scripts, key
from holdgate.scheduler.state.log import PayloadStore, ensure_streams
from holdgate.scheduler.state.quarantine import Act, SealedRequest, SealedStatus, SealedVote
from holdgate.scheduler.state.results import RESULT_LOST
from holdgate.scheduler.state.transitions import State
from support.dispatching import Stage
from support.invariants import dump, verify
from support.state import TENANT, World, make_decision, make_job, tell_log
from support.waiting import Eventually

DAY_MS = 24 * 3600 * 1000


class Clock:
    """The world's."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now_ms(self) -> int:
        """What the world says."""
        return self._world.now_ms


@pytest.fixture
def world(scripts: Scripts) -> World:
    """Every store of the state, and a clock that tests turn."""
    return World(scripts)


async def test_ended_jobs_are_forgotten_after_their_time_and_nothing_of_them_stays(world: World) -> None:
    ended, denied, waiting = await _ended(world), await _denied(world), await world.queued()
    held = await world.held()
    await world.vote(held)
    retention = Retention(world.jobs, clock=Clock(world), keep_s=7 * 24 * 3600)
    await tell_log(world.scripts)
    world.pass_ms(DAY_MS)
    assert await retention.run_once() == 0
    world.pass_ms(1000)
    assert await retention.run_once() == 1
    assert await world.jobs.get(TENANT, denied) is None
    world.pass_ms(6 * DAY_MS)
    assert await retention.run_once() == 1
    left = [name.decode() for name in await world.scripts.command("KEYS", key(TENANT, "*"))]
    assert not [name for name in left if ended in name or denied in name]
    assert await world.jobs.ids(TENANT, None, 10) == [held.job_id, waiting]
    assert [event.job_id for event in await AuditTrail(world.scripts).read(TENANT, 0)].count(ended) > 1
    verify(await dump(world.scripts, TENANT))


async def test_a_job_that_was_taken_out_of_the_dead_letter_list_is_not_forgotten(world: World) -> None:
    job_id = await _ended(world, State.FAILED)
    await world.jobs.retry(TENANT, job_id, by="operator", now_ms=world.now_ms)
    world.pass_ms(30 * DAY_MS)
    assert await Retention(world.jobs, clock=Clock(world), keep_s=60).run_once() == 0
    assert await world.state(job_id) is State.QUEUED


async def test_an_ended_job_that_the_log_may_still_bring_is_kept(world: World) -> None:
    job = make_job(world.now_ms)
    await world.accept(job)
    await world.jobs.cancel(TENANT, job.job_id, by="agent", reason="stop", now_ms=world.now_ms)
    world.pass_ms(30 * DAY_MS)
    retention = Retention(world.jobs, clock=Clock(world), keep_s=60)
    assert await retention.run_once() == 0
    await world.backlog.enqueue(TENANT, [job.job_id], world.now_ms)
    assert await world.state(job.job_id) is State.CANCELLED
    assert await retention.run_once() == 0, "the log does not know that it ended"
    await tell_log(world.scripts)
    assert await retention.run_once() == 1


async def test_more_than_one_batch_of_ended_jobs_is_forgotten_in_one_run(world: World) -> None:
    for _ in range(300):
        await _denied(world)
    world.pass_ms(2 * DAY_MS)
    assert await Retention(world.jobs, clock=Clock(world), keep_s=7 * 24 * 3600).run_once() == 300


async def test_a_job_whose_result_is_in_no_log_any_more_is_given_up(stage: Stage, eventually: Eventually) -> None:
    job_id, sweep = await _finishing(stage, eventually), _sweep(stage)
    for _ in range(2):
        assert await sweep.run_once() == 0, "its result waits for the output gate"
    await stage.nc.jetstream().purge_stream("RESULTS")
    await eventually(sweep.run_once)
    view = await stage.view(job_id)
    assert (view.state, view.code) == (State.FAILED, RESULT_LOST)


async def test_a_job_whose_result_went_with_its_stream_is_given_up(stage: Stage, eventually: Eventually) -> None:
    """The new stream counts from 1 again: what was seen of the old one must not be waited for."""
    job_id, sweep = await _finishing(stage, eventually), _sweep(stage)
    for _ in range(3):
        await stage.nc.jetstream().publish("holdgate.result.other.w", b"")
    assert await sweep.run_once() == 0
    await stage.nc.jetstream().delete_stream("RESULTS")
    await ensure_streams(stage.nc)
    await stage.nc.jetstream().publish("holdgate.result.other.w", b"")
    await eventually(sweep.run_once)
    assert (await stage.view(job_id)).code == RESULT_LOST


async def test_a_job_that_was_not_finishing_when_the_log_was_looked_at_is_not_given_up(
    stage: Stage, eventually: Eventually
) -> None:
    """Nor one that is by another attempt: its own result may be in the log behind what was judged."""
    job_id, sweep = await _finishing(stage, eventually), _sweep(stage)
    assert await sweep.run_once() == 0
    await stage.nc.jetstream().purge_stream("RESULTS")
    await stage.scripts.command("HSET", key(TENANT, "job", job_id), "attempt", 2)
    later = await _finishing(stage, eventually)
    await stage.nc.jetstream().purge_stream("RESULTS")
    assert await sweep.run_once() == 0
    assert (await stage.state_of(job_id), await stage.state_of(later)) == (State.FINISHING, State.FINISHING)
    await eventually(sweep.run_once)
    assert (await stage.state_of(job_id), await stage.state_of(later)) == (State.FAILED, State.FAILED)


def _sweep(stage: Stage) -> LostResults:
    return LostResults(
        stage.nc,
        jobs=stage.jobs,
        results=stage.results,
        hints=stage.dispatcher.hints,
        clock=stage.clock,
    )


async def _finishing(stage: Stage, eventually: Eventually) -> JobId:
    """A job whose result is in the log; nobody judges it."""
    job_id = await stage.submit()
    worker = stage.worker()
    (delivery,) = await worker.ask()
    headers: dict[str, Any] = {
        "Holdgate-Tenant": TENANT,
        "Holdgate-Job": job_id,
        "Holdgate-Attempt": str(delivery["attempt"]),
        "Holdgate-Token": delivery["token"],
        "Holdgate-Outcome": "succeeded",
    }
    await stage.nc.jetstream().publish(f"holdgate.result.{worker.pool}.{worker.name}", wire.pack({}), headers=headers)

    async def is_finishing() -> bool:
        return await stage.state_of(job_id) is State.FINISHING

    await eventually(is_finishing)
    return job_id


async def _ended(world: World, state: State = State.SUCCEEDED) -> JobId:
    picked, token = await world.running()
    await world.results.finish(TENANT, [world.finish_request(picked, token, state, value=b"1")], world.now_ms)
    return picked.job.job_id


async def _denied(world: World) -> JobId:
    job = make_job(world.now_ms)
    await world.jobs.deny(job, make_decision(job, Verdict.DENY), code="denied", now_ms=world.now_ms)
    return job.job_id


async def test_sealed_bytes_that_a_script_doomed_leave_the_object_store(world: World, nc: Nats) -> None:
    """Those of an output whose time is over, and no others; what could not be deleted is tried again."""
    await ensure_streams(nc)
    payloads, jobs = PayloadStore(nc), []
    for text in (b"one", b"two"):
        picked, token = await world.running()
        digest = await payloads.put(text)
        verdict = {"verdict": "quarantine", "findings": [], "sealed_digest": digest}
        request = world.finish_request(picked, token, State.QUARANTINED, verdict=verdict, sealed_ref=digest)
        await world.results.finish(TENANT, [request], world.now_ms)
        jobs.append((picked.job.job_id, digest))
        world.pass_ms(60_000)
    assert await _expiry(world, keep_s=90).run_once() == 1
    away = await nats.connect(nc.connected_url.geturl())
    await away.close()
    with pytest.raises(LogUnavailable):
        await Doomed(world.jobs, world.quarantine, PayloadStore(away)).run_once()
    doomed = Doomed(world.jobs, world.quarantine, payloads)
    assert (await doomed.run_once(), await doomed.run_once()) == (1, 0)
    with pytest.raises(NotFound):
        await payloads.get(jobs[0][1])
    assert await payloads.get(jobs[1][1]) == b"two"


async def test_a_sealed_output_waits_as_long_as_it_may_whatever_the_retention_of_jobs(world: World) -> None:
    """Then it is destroyed, in one write with its event; its record stays as long as that of a job that ends now."""
    job_id, released = await _sealed(world), await _ended(world)
    retention, expiry = Retention(world.jobs, clock=Clock(world), keep_s=60), _expiry(world, keep_s=30 * 24 * 3600)
    await tell_log(world.scripts)
    world.pass_ms(29 * DAY_MS)
    assert (await expiry.run_once(), await retention.run_once()) == (0, 1)
    assert await world.jobs.get(TENANT, released) is None
    world.pass_ms(DAY_MS + 1)
    before = metrics.QUARANTINE_EXPIRED._value.get()
    assert (await expiry.run_once(), await expiry.run_once(), await retention.run_once()) == (1, 0, 0)
    assert metrics.QUARANTINE_EXPIRED._value.get() == before + 1
    item = await world.quarantine.require(TENANT, job_id)
    assert (item.status, item.sealed, item.resolved_by, item.resolved_ms) == (
        SealedStatus.EXPIRED,
        None,
        None,
        world.now_ms,
    )
    assert await world.state(job_id) is State.QUARANTINED
    events = [event for event in await AuditTrail(world.scripts).read(TENANT, 0) if event.job_id == job_id]
    assert [event.type for event in events][-1] == "quarantine.expired"
    assert events[-1].details["sealed_digest"] == item.digest
    verify(await dump(world.scripts, TENANT))
    (told,) = await tell_log(world.scripts)
    assert (told.job_id, told.sealed_status) == (job_id, "expired")
    world.pass_ms(60_001)
    assert await retention.run_once() == 1
    assert await world.quarantine.get(TENANT, job_id) is None


async def test_more_than_one_batch_of_sealed_outputs_expires_in_one_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_expiry, "BATCH", 2)
    for _ in range(5):
        await _sealed(world)
    world.pass_ms(60_001)
    assert await _expiry(world, keep_s=60).run_once() == 5


async def test_what_people_decided_does_not_expire(world: World) -> None:
    job_id = await _sealed(world)
    item = await world.quarantine.require(TENANT, job_id)
    assert item.digest is not None
    vote = SealedVote(ActorId("approver"), Act.DESTROY, "nobody needs it", world.now_ms)
    request = SealedRequest(job_id, vote, item.digest, 0, completes=True, attempt=item.attempt)
    assert await world.quarantine.vote(TENANT, request, world.now_ms) is SealedStatus.DESTROYED
    world.pass_ms(60_001)
    assert await _expiry(world, keep_s=60).run_once() == 0
    assert (await world.quarantine.require(TENANT, job_id)).status is SealedStatus.DESTROYED
    assert [told.sealed_status for told in await tell_log(world.scripts)] == ["destroyed"]
    assert await Retention(world.jobs, clock=Clock(world), keep_s=60).run_once() == 1


def _expiry(world: World, *, keep_s: int) -> SealedExpiry:
    return SealedExpiry(world.jobs, world.quarantine, clock=Clock(world), keep_s=keep_s)


async def _sealed(world: World) -> JobId:
    picked, token = await world.running()
    verdict = {"verdict": "quarantine", "findings": [], "sealed_digest": "sha256:" + "1" * 64}
    request = world.finish_request(picked, token, State.QUARANTINED, verdict=verdict, sealed=b"sealed")
    await world.results.finish(TENANT, [request], world.now_ms)
    return picked.job.job_id
