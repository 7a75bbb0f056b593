"""What is of a cluster alone; that all else holds there, too, `test_happy_path` shows."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from holdgate.scheduler.errors import StateUnavailable
from holdgate.scheduler.recovery.soundness import Epochs
from holdgate.scheduler.state.address import RedisAddress
from holdgate.scheduler.state.connection import connect_redis, key
from support.redis_sets import HOST, RedisSet


async def test_a_slot_on_the_move_is_refused_and_then_followed(redis_cluster: RedisSet) -> None:
    """A script looks at keys that only share the slot: of a slot that is half here it would see half of the truth."""
    running = redis_cluster
    scripts = await connect_redis(RedisAddress.parse(running.url))
    first, second, _ = running.servers
    tenant = running.tenant_of(first)
    slot, name = key_slot(key(tenant).encode()), key(tenant, "pools")
    await scripts.command("SADD", name, "default")
    names = {port: running.ask(port, "CLUSTER", "MYID").decode() for port in (first, second)}
    running.ask(second, "CLUSTER", "SETSLOT", slot, "IMPORTING", names[first])
    running.ask(first, "CLUSTER", "SETSLOT", slot, "MIGRATING", names[second])
    with pytest.raises(StateUnavailable, match="being moved"):
        await scripts.run("sample", tenant, (1_800_000_000_000, "queued"))
    assert await scripts.command("SMEMBERS", name) == [b"default"]
    running.ask(first, "MIGRATE", HOST, second, name, 0, 5000, "AUTH", running.password)
    for port in (second, first):
        running.ask(port, "CLUSTER", "SETSLOT", slot, "NODE", names[second])
    assert await scripts.run("sample", tenant, (1_800_000_000_000, "queued")) == [0]
    assert await scripts.command("SMEMBERS", name) == [b"default"]
    await scripts.close()


async def test_each_primary_that_was_set_back_is_noticed(
    redis_cluster: RedisSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few slots it serves; one that comes later is none that was."""
    scripts = await connect_redis(RedisAddress.parse(redis_cluster.url))
    epochs = Epochs(scripts)
    assert not await epochs.count()
    for port in redis_cluster.servers:
        assert not await epochs.count()
        redis_cluster.ask(port, "FLUSHALL")
        assert await epochs.count()
        assert not await epochs.count(), "told once"
    tags = scripts.tags("epoch")
    monkeypatch.setattr(scripts, "tags", lambda _: ("epoch-of-another", *tags))
    assert not await epochs.count()
    await scripts.close()
