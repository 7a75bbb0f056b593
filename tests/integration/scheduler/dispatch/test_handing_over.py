"""From the log to a worker: what is handed over, in what order, and to whom."""

from __future__ import annotations

from collections import Counter

import nats
import pytest
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from holdgate.kernel import subjects, wire
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.ids import JobId, Tenant
from holdgate.kernel.records import Priority
from holdgate.scheduler.dispatch import asks
from holdgate.scheduler.dispatch.config import DispatchConfig
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.log import PayloadStore, ensure_streams
from holdgate.scheduler.state.transitions import State
from support.dispatching import ALLOW_ALL, Rules, Stage, Worker, gathered, job_of, permit_of
from support.state import make_job
from support.waiting import Eventually


async def test_a_job_reaches_the_worker_with_a_permit_for_exactly_it(stage: Stage) -> None:
    worker = stage.worker()
    job_id = await stage.submit()
    (delivery,) = await worker.ask()
    permit, job = permit_of(delivery), job_of(delivery)
    assert job.job_id == job_id
    assert (permit.job_id, permit.job_hash, permit.attempt) == (job_id, job.job_hash(), 1)
    assert (permit.worker, permit.pool) == (worker.name, worker.pool)
    view = await stage.view(job_id)
    assert (view.state, view.worker, view.permit_id) == (State.RUNNING, worker.name, permit.permit_id)


async def test_a_waiting_ask_is_answered_as_soon_as_a_job_comes(stage: Stage, eventually: Eventually) -> None:
    worker = stage.worker()
    (asked, job_id) = await gathered(worker.ask(wait_ms=8000), _submit_once_somebody_waits(stage, eventually))
    assert [job_of(item).job_id for item in asked] == [job_id]


async def test_an_ask_without_jobs_is_answered_empty(stage: Stage) -> None:
    assert await stage.worker().ask(wait_ms=50) == []


async def test_a_job_goes_only_to_a_worker_that_offers_its_topic_and_what_it_requires(stage: Stage) -> None:
    gpu = await stage.submit(topic="job.train.run", requires=("gpu",))
    plain = stage.worker()
    assert await plain.ask(wait_ms=200, topics=("job.demo.*",)) == []
    assert await plain.ask(wait_ms=200, topics=("job.train.*",)) == []
    assert (await stage.view(gpu)).waiting_reason == "no_capable_worker"
    (delivery,) = await stage.worker().ask(wait_ms=8000, topics=("job.train.*",), capabilities=("gpu", "ssd"))
    assert job_of(delivery).job_id == gpu


async def test_more_urgent_jobs_come_first(stage: Stage, eventually: Eventually) -> None:
    low = await stage.submit(priority=Priority.LOW)
    normal = await stage.submit()
    high = await stage.submit(priority=Priority.HIGH)
    await eventually(lambda: _ready(stage, 3))
    assert [job_of(item).job_id for item in await stage.worker().ask(3)] == [high, normal, low]


async def test_tenants_take_turns_however_many_jobs_one_of_them_has(stage: Stage, eventually: Eventually) -> None:
    many, few = Tenant("many"), Tenant("few")
    for _ in range(20):
        await stage.submit(make_job(stage.clock.now_ms(), tenant=many))
    for _ in range(4):
        await stage.submit(make_job(stage.clock.now_ms(), tenant=few))
    await eventually(lambda: _ready(stage, 20, many))
    await eventually(lambda: _ready(stage, 4, few))
    worker = stage.worker()
    taken = [job_of(item).tenant for _ in range(8) for item in await worker.ask()]
    assert taken.count(few) == 4
    assert taken.count(many) == 4


async def test_one_ask_shares_out_and_gives_what_one_tenant_lacks_to_the_other(
    stage: Stage, eventually: Eventually
) -> None:
    many, few = Tenant("many"), Tenant("few")
    for tenant, count in ((many, 12), (few, 2)):
        for _ in range(count):
            await stage.submit(make_job(stage.clock.now_ms(), tenant=tenant))
        await eventually(lambda tenant=tenant, count=count: _ready(stage, count, tenant))
    taken = [job_of(item).tenant for item in await stage.worker().ask(10)]
    assert (taken.count(many), taken.count(few)) == (8, 2)


async def test_one_job_of_a_concurrency_key_runs_at_a_time_and_all_of_them_run(stage: Stage) -> None:
    job_ids = {await stage.submit(concurrency_key="db") for _ in range(3)}
    worker = stage.worker()
    seen = set()
    for _ in range(3):
        (delivery,) = await worker.ask(3, wait_ms=8000)
        assert await worker.ask(3, wait_ms=50) == []
        seen.add(job_of(delivery).job_id)
        await stage.finish(delivery)
    assert seen == job_ids


async def test_jobs_too_large_for_one_answer_come_in_several(
    stage: Stage, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asks, "REPLY_BYTES_MAX", 60_000)
    job_ids = [await stage.submit(prompt="é" * 10_000) for _ in range(3)]
    await eventually(lambda: _ready(stage, 3))
    worker = stage.worker()
    answers = [await worker.ask(3) for _ in job_ids]
    assert [[job_of(item).job_id for item in answer] for answer in answers] == [[job_id] for job_id in job_ids]


async def test_a_tenant_at_its_limit_waits_and_does_not_keep_the_others_waiting(
    nc: Nats, scripts: Scripts, eventually: Eventually
) -> None:
    await ensure_streams(nc)
    stage = Stage(nc, scripts, Rules(ALLOW_ALL), config=DispatchConfig(in_flight_max=2))
    await stage.start()
    other = Tenant("other")
    for tenant, count in ((Tenant("acme"), 5), (other, 1)):
        for _ in range(count):
            await stage.submit(make_job(stage.clock.now_ms(), tenant=tenant))
        await eventually(lambda tenant=tenant, count=count: _ready(stage, count, tenant))
    worker = stage.worker()
    running = await worker.ask(10)
    assert sorted(job_of(item).tenant for item in running) == ["acme", "acme", "other"]
    assert await worker.ask(10, wait_ms=300) == []
    await stage.finish(next(item for item in running if job_of(item).tenant == "acme"))
    (_,) = await worker.ask(10, wait_ms=8000)
    await stage.stop()


async def test_a_tenant_has_a_share_and_a_bound_of_its_own(nc: Nats, scripts: Scripts, eventually: Eventually) -> None:
    await ensure_streams(nc)
    config = DispatchConfig(in_flight_max=2, in_flight_of={"acme": 6}, weights={"acme": 3})
    stage = Stage(nc, scripts, Rules(ALLOW_ALL), config=config)
    await stage.start()
    tenants = (Tenant("acme"), Tenant("other"))
    for tenant in tenants:
        await gathered(*(stage.submit(tenant=tenant) for _ in range(8)))
        await eventually(lambda tenant=tenant: _ready(stage, 8, tenant))
    await stage.dispatcher.scan.run_once()
    handed: Counter[str] = Counter()
    for n, expected in ((4, {"acme": 3, "other": 1}), (10, {"acme": 6, "other": 2})):
        handed.update(job_of(item).tenant for item in await stage.worker().ask(n))
        assert handed == expected
    await stage.stop()


async def test_a_message_of_the_log_that_comes_twice_makes_one_run(stage: Stage, eventually: Eventually) -> None:
    job_id = await stage.submit()
    stream = stage.nc.jetstream()
    message = await stream.get_msg("JOBS", 1)
    # Another id, or the log itself would drop the repeat.
    await stream.publish(message.subject or "", message.data or b"", headers={"Nats-Msg-Id": job_id + "x"})
    await stage.nc.publish("holdgate.wake.default", b"")
    worker = stage.worker()
    (delivery,) = await worker.ask(5)
    await eventually(lambda: _log_read(stage, 2))
    assert job_of(delivery).job_id == job_id
    assert await worker.ask(5, wait_ms=300) == []


async def test_a_job_that_the_state_store_lost_is_restored_from_the_log(stage: Stage, eventually: Eventually) -> None:
    await stage.dispatcher.stop()
    job_id = await stage.submit()
    await stage.scripts.command("FLUSHDB")
    dispatcher = stage.dispatcher = stage.new_dispatcher()
    await dispatcher.start()
    (delivery,) = await stage.worker().ask(wait_ms=8000)
    assert job_of(delivery).job_id == job_id
    assert job_of(delivery).payload_holds()


@pytest.mark.parametrize(
    "reply", ["$KV.holdgate-policy.starter", "holdgate.wake.default", "_INBOX_api.x", "_INBOX.*", ""]
)
async def test_an_ask_or_beat_that_wants_its_answer_elsewhere_gets_none_and_no_job(stage: Stage, reply: str) -> None:
    """Neither jobs nor errors, nor words that say it is busy: all would be published with the dispatcher's rights."""
    job_id = await stage.submit()
    seen: list[str] = []

    async def see(message: Msg) -> None:
        if message.data != b"acme":  # a hint on `holdgate.wake`
            seen.append(message.subject)

    for subject in ("$KV.>", "holdgate.wake.*", "_INBOX_api.>"):
        await stage.nc.subscribe(subject, cb=see)
    worker = stage.worker()
    ask = {"worker": worker.name, "pool": worker.pool, "topics": ["job.>"], "capabilities": [], "n": 1, "wait_ms": 0}
    for body in (ask, {"not": "an ask"}):
        for make in (subjects.ask, subjects.beat):
            await stage.nc.publish(make(worker.pool, worker.name), wire.pack(body), reply=reply)
    (delivery,) = await worker.ask(wait_ms=8000)
    assert (job_of(delivery).job_id, delivery["attempt"]) == (job_id, 1)
    await stage.nc.flush()
    assert seen == []


async def test_a_worker_with_an_inbox_of_its_pool_is_answered(stage: Stage, nats_url: str) -> None:
    """As workers under a user of their own connect."""
    job_id = await stage.submit()
    prefix = subjects.inbox(f"{subjects.WORKER_USER}default").encode()
    nc = await nats.connect(nats_url, inbox_prefix=prefix)
    (delivery,) = await Worker(nc).ask(wait_ms=8000)
    assert job_of(delivery).job_id == job_id
    await nc.close()


async def test_two_dispatchers_hand_every_job_over_once(stage: Stage) -> None:
    second = stage.new_dispatcher()
    await second.start()
    job_ids = [await stage.submit() for _ in range(40)]
    workers = [stage.worker() for _ in range(4)]
    taken: list[str] = []
    while len(taken) < len(job_ids):
        answers = await gathered(*(worker.ask(3, wait_ms=300) for worker in workers[: len(job_ids) - len(taken)]))
        taken += [job_of(item).job_id for answer in answers for item in answer]
    assert sorted(taken) == sorted(job_ids)
    await second.stop()


async def test_a_payload_above_the_inline_limit_reaches_the_worker_whole(stage: Stage) -> None:
    payload = canonical_bytes("x" * 400_000)
    await PayloadStore(stage.nc).put(payload)
    job = make_job(stage.clock.now_ms(), payload=payload)
    await stage.submit(job.with_payload(None))
    (delivery,) = await stage.worker().ask(wait_ms=8000)
    assert job_of(delivery).payload == payload


async def _submit_once_somebody_waits(stage: Stage, eventually: Eventually) -> JobId:
    await eventually(lambda: stage.dispatcher.board.waiting)
    return await stage.submit()


async def _ready(stage: Stage, count: int, tenant: Tenant | None = None) -> bool:
    pools = await stage.backlog.pools(tenant or Tenant("acme"))
    return pools.get("default", 0) == count


async def _log_read(stage: Stage, count: int) -> bool:
    info = await stage.nc.jetstream().consumer_info("JOBS", "intake")
    return info.ack_floor is not None and info.ack_floor.stream_seq == count
