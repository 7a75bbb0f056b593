"""Faults that take away what one store has, tried on servers that nobody takes over from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest
import pytest_asyncio
import redis.asyncio
import redis.exceptions

from holdgate.bundles.store import BundleStore
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.torture.bends import Bend
from holdgate.scheduler.torture.cluster import Cluster, Topology, running_cluster
from holdgate.scheduler.torture.cluster.topology import RedisShape
from holdgate.scheduler.torture.faults import CannotBreak, Fault, losses
from holdgate.scheduler.torture.faults.disks import FailingSync
from holdgate.scheduler.torture.faults.jetstream import JetStreamLost, StreamLeader, WipedNode
from holdgate.scheduler.torture.faults.losses import RedisLost, RedisSetBack
from holdgate.scheduler.torture.faults.stores import KilledPrimary, LosingFailover, OrderlyFailover, TruncatedLog
from support.breaking import store
from support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("torture")]
SINGLE = Topology(
    redis=RedisShape.SINGLE, nats=1, apis=0, kernels=0, dispatchers=0, gates=0, auditors=0, workers=0, redis_replicas=0
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def single(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """One NATS server, one Redis: nobody takes over."""
    async with running_cluster(SINGLE, tmp_path_factory.mktemp("single")) as started:
        yield started


async def has_key(connection: redis.asyncio.Redis, name: str) -> bool:
    return bool(await connection.exists(name))


@pytest.mark.parametrize("fault", [KilledPrimary(), LosingFailover(), OrderlyFailover(), StreamLeader(), WipedNode()])
async def test_a_fault_that_cannot_be_done_breaks_nothing(single: Cluster, rng: Random, fault: Fault) -> None:
    before = {name: member.pid for name, member in single.members.items()}
    with pytest.raises(CannotBreak):
        await fault.inject(single, rng)
    await fault.heal()
    assert {name: member.pid for name, member in single.members.items()} == before
    assert not fault.bends


async def test_a_truncated_log_loses_its_end_and_nothing_before(single: Cluster, rng: Random) -> None:
    primary = await single.redis_primary()
    async with store(single, primary) as writer:
        await writer.set("kept", 1)
        await writer.set("padding", "x" * 64)
        fault = TruncatedLog()
        injected = asyncio.ensure_future(fault.inject(single, rng))
        await asyncio.sleep(0.3)
        await writer.set("gone", 1)
        await injected
    async with store(single, primary) as reader:
        assert (await reader.get("kept"), await reader.get("gone")) == ("1", None)
    assert fault.bends
    assert "bytes are gone" in fault.did
    await fault.heal()


async def test_a_redis_that_is_lost_has_nothing_and_says_so(single: Cluster, rng: Random) -> None:
    name, fault, now_ms = await single.redis_primary(), RedisLost(), SystemClock().now_ms()
    async with store(single, name) as writer:
        await writer.set("told", 1)
    await fault.inject(single, rng)
    async with store(single, name) as reader:
        assert await reader.dbsize() == 0
    await fault.heal()
    (bends,) = fault.bends
    assert bends.bend is Bend.LOST_WRITES
    assert bends.since_ms <= now_ms <= bends.until_ms
    assert "keys are gone" in fault.did


async def test_a_redis_that_is_set_back_has_what_it_had_before_and_nothing_since(
    single: Cluster, rng: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "AGE_S", (0.3, 0.3))
    name, fault = await single.redis_primary(), RedisSetBack()
    async with store(single, name) as writer:
        await writer.set("before", 1)
        injected = asyncio.ensure_future(fault.inject(single, rng))
        await eventually(lambda: has_key(writer, "torture:0"), 5, why="a copy was made")
        await writer.set("since", 1)
        await injected
    async with store(single, name) as reader:
        assert (await reader.get("before"), await reader.get("since")) == ("1", None)
    await fault.heal()
    assert [bends.bend for bends in fault.bends] == [Bend.LOST_WRITES]
    assert "bytes of log are gone" in fault.did


async def test_a_lost_jetstream_is_empty_until_it_is_set_up_again_with_its_bundles(
    single: Cluster, rng: Random
) -> None:
    nc = await single.operator()
    before = {info.config.name for info in await nc.jetstream().streams_info()}
    names = await BundleStore(nc).names()
    await nc.close()
    fault = JetStreamLost()
    await fault.inject(single, rng)
    assert not list((single.home.path / "nats" / "nats-1").iterdir())
    await fault.heal()
    nc = await single.operator()
    assert {info.config.name for info in await nc.jetstream().streams_info()} == before
    assert await BundleStore(nc).names() == names
    await nc.close()
    assert "messages are gone" in fault.did
    assert [bends.bend for bends in fault.bends] == [Bend.LOST_RESULTS]


async def test_a_redis_that_cannot_sync_confirms_nothing(single: Cluster, rng: Random) -> None:
    fault = FailingSync()
    try:
        name = await fault.inject(single, rng)
    except CannotBreak as why:
        pytest.skip(str(why))
    pid = single.members[name].pid
    async with store(single, name) as writer:
        with pytest.raises(redis.exceptions.RedisError):
            await writer.set("unsynced", 1)

    async def has_ended() -> bool:
        return single.members[name].pid != pid

    await eventually(has_ended, 10, why="it ends rather than lose")
    await fault.heal()
    assert fault.did
    async with store(single, name) as writer:
        assert await writer.set("synced", 1)
