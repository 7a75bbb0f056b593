"""What kernels make of policy comes into the audit trail: every event, once, in order, and nothing that is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats.js.api import AckPolicy

from holdgate.kernel import subjects, wire
from holdgate.kernel.calls import SnapshotInfo
from holdgate.kernel.ids import SYSTEM
from holdgate.scheduler.dispatch.policy_events import PolicyEvents
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.connection import Scripts, connect_redis
from holdgate.scheduler.state.jobs import Jobs
from support.trust import ALLOW_READS, bundle
from support.waiting import Eventually

from .conftest import System


@pytest.fixture
async def scripts(redis_url: str) -> AsyncIterator[Scripts]:
    connected = await connect_redis(redis_url)
    yield connected
    await connected.close()


async def events_of(system: System, scripts: Scripts) -> PolicyEvents:
    made = PolicyEvents(system.nc, await system.client(), AuditTrail(scripts), system.clock)
    system.stack.push_async_callback(made.stop)
    return made


async def told(scripts: Scripts) -> list[dict[str, Any]]:
    return [event.as_dict() for event in await AuditTrail(scripts).read(SYSTEM, 0)]


async def test_a_refused_bundle_is_in_the_trail_with_its_reason(
    system: System, scripts: Scripts, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await (await events_of(system, scripts)).start()
    await system.nc.flush()
    await system.kernel()
    await system.put("house", bundle(tmp_path, ALLOW_READS, version=2, signers=["mallory"]))

    async def is_told() -> bool:
        return len(await told(scripts)) == 2

    await eventually(is_told)
    accepted, refused = await told(scripts)
    assert (accepted["type"], accepted["bundle"], accepted["version"]) == ("policy.accepted", "house", 1)
    assert (refused["type"], refused["bundle"], refused["code"]) == ("policy.refused", "house", "bundle_unknown_key")
    assert refused["replica"] == "k1"
    assert "no author of the root" in refused["message"]
    assert SYSTEM in await Jobs(scripts).tenants(), "or no auditor would archive it"


async def test_what_was_not_heard_is_caught_up_on_and_written_once(
    system: System, scripts: Scripts, tmp_path: Path
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    await system.put("house", b"{")
    await kernel.source.refresh()
    await system.put("house", b"[")
    await kernel.source.refresh()
    one, other = await events_of(system, scripts), await events_of(system, scripts)
    assert await one.run_once() == 3
    assert await one.run_once() == 0
    assert await other.run_once() == 0
    assert [event["event"] for event in await told(scripts)] == [1, 2, 3]


async def test_an_event_is_not_written_before_one_that_was_lost(
    system: System, scripts: Scripts, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    await system.put("house", b"{")
    await kernel.source.refresh()
    listening = await events_of(system, scripts)
    await listening.start()
    last = {"replica": "k1", "epoch_ms": kernel.source.epoch_ms, "event": kernel.source.events(1)[0].as_dict()}
    await system.nc.publish(subjects.POLICY_EVENT, wire.pack(last))
    await system.nc.flush()
    trail = AuditTrail(scripts)
    source = f"k1/{kernel.source.epoch_ms}"
    gap = {"source": source, "number": 2, "may_skip": False}
    assert await trail.append_once(SYSTEM, "policy.refused", {}, 1, **gap) == -1  # type: ignore[arg-type]
    assert await listening.run_once() == 2
    assert [event["event"] for event in await told(scripts)] == [1, 2]


GOOD = {"seq": 1, "at_ms": 1, "kind": "refused", "bundle": "b", "version": None, "code": "c", "message": "m"}
NO_EVENTS: list[Any] = [
    {},
    {"replica": "k1", "epoch_ms": 1, "event": []},
    {"replica": "k1 k2", "epoch_ms": 1, "event": GOOD},
    {"replica": "k1", "epoch_ms": "1", "event": GOOD},
    {"replica": "k1", "epoch_ms": 1, "event": {**GOOD, "seq": -1}},
    {"replica": "k1", "epoch_ms": 1, "event": {**GOOD, "seq": True}},
    {"replica": "k1", "epoch_ms": 1, "event": {**GOOD, "kind": "job.done"}},
    {"replica": "k1", "epoch_ms": 1, "event": {**GOOD, "version": "1"}},
    {"replica": "k1", "epoch_ms": 1, "event": {**GOOD, "message": "x" * 501}},
    {"replica": "k1", "epoch_ms": 1, "event": {**GOOD, "code": None}},
]


async def test_what_a_stream_holds_is_neither_an_event_nor_an_announcement(
    system: System, scripts: Scripts, eventually: Eventually
) -> None:
    """Who fetches from a stream has the server send it wherever they like, with the server's rights."""
    js, heard, announced = system.nc.jetstream(), asyncio.Event(), list[SnapshotInfo]()
    (await system.client()).on_snapshot(announced.append)
    await js.add_stream(name="WORK", subjects=["work.>"])
    await js.add_consumer("WORK", durable_name="mine", ack_policy=AckPolicy.EXPLICIT)
    await (await events_of(system, scripts)).start()

    async def hear(_message: Msg) -> None:
        heard.set()

    event = {"replica": "k1", "epoch_ms": 1, "event": GOOD}
    snapshot = {"snapshot": "sha256:" + "0" * 64, "reads": [], "replica": "forged", "policy": True}
    for subject, said in ((subjects.POLICY_EVENT, event), (subjects.POLICY_SNAPSHOT, snapshot)):
        heard.clear()
        last = await system.nc.subscribe(subject, cb=hear)
        await js.publish("work.done", wire.pack(said))
        await system.nc.publish("$JS.API.CONSUMER.MSG.NEXT.WORK.mine", b"", reply=subject)
        async with asyncio.timeout(5):
            await heard.wait()
        await last.unsubscribe()
    await system.nc.publish(subjects.POLICY_EVENT, wire.pack({**event, "event": {**GOOD, "bundle": "true"}}))
    await system.nc.publish(subjects.POLICY_SNAPSHOT, wire.pack({**snapshot, "replica": "k1"}))

    async def is_told() -> bool:
        return bool(await told(scripts) and announced)

    await eventually(is_told)
    assert [item["bundle"] for item in await told(scripts)] == ["true"]
    assert [info.replica for info in announced] == ["k1"]


async def test_what_is_no_event_is_not_written(system: System, scripts: Scripts, eventually: Eventually) -> None:
    await (await events_of(system, scripts)).start()
    for value in NO_EVENTS:
        await system.nc.publish(subjects.POLICY_EVENT, wire.pack(value))
    await system.nc.publish(subjects.POLICY_EVENT, b"\xff\xff")
    await system.nc.publish(subjects.POLICY_EVENT, wire.pack({"replica": "k1", "epoch_ms": 1, "event": GOOD}))

    async def is_told() -> bool:
        return bool(await told(scripts))

    await eventually(is_told)
    (event,) = await told(scripts)
    assert (event["type"], event["code"]) == ("policy.refused", "c")
