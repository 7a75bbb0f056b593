"""What replicas of Redis are asked for at the start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from holdgate.scheduler.errors import DurabilityMismatch, StateUnavailable
from holdgate.scheduler.state.address import RedisAddress
from holdgate.scheduler.state.connection import Scripts, connect_redis
from holdgate.scheduler.state.durability import BY_CONFIG, BY_INFO, Look, Profile, verify_durability
from support.redis_sets import RedisSet


@asynccontextmanager
async def connected(running: RedisSet, replicas: int) -> AsyncIterator[Scripts]:
    """So many must confirm."""
    scripts = await connect_redis(replace(RedisAddress.parse(running.url), replicas=replicas))
    try:
        yield scripts
    finally:
        await scripts.close()


async def test_replicas_that_confirm_are_as_durable_as_it_gets(redis_under_sentinel: RedisSet) -> None:
    async with connected(redis_under_sentinel, 1) as scripts:
        assert await verify_durability(scripts, None, profile=Profile.STRICT) == []


async def test_replicas_that_need_not_confirm_are_told_and_no_reason_not_to_start(
    redis_under_sentinel: RedisSet,
) -> None:
    async with connected(redis_under_sentinel, 0) as scripts:
        (said,) = await verify_durability(scripts, None, profile=Profile.STRICT)
    assert "a failover of Redis may lose the last changes" in said


async def test_fewer_replicas_than_must_confirm_are_waited_for(redis_under_sentinel: RedisSet) -> None:
    """They may be there soon: not a fault of the configuration."""
    async with connected(redis_under_sentinel, 2) as scripts:
        with pytest.raises(StateUnavailable, match="must confirm a change; it has 1"):
            await verify_durability(scripts, None, profile=Profile.STRICT)


@pytest.mark.parametrize(
    ("name", "value", "look"),
    [
        ("appendfsync", "everysec", BY_CONFIG),
        ("maxmemory-policy", "allkeys-lru", BY_INFO),
        ("appendonly", "no", BY_INFO),
    ],
)
async def test_a_replica_weaker_than_its_primary_is_refused(
    redis_under_sentinel: RedisSet, name: str, value: str, look: Look
) -> None:
    """It may be the primary tomorrow."""
    _, replica = redis_under_sentinel.servers
    (before,) = redis_under_sentinel.ask(replica, "CONFIG", "GET", name).values()
    redis_under_sentinel.ask(replica, "CONFIG", "SET", name, value)
    try:
        async with connected(redis_under_sentinel, 1) as scripts:
            with pytest.raises(DurabilityMismatch, match=f"a replica's Redis `{name}` is `{value}`"):
                await verify_durability(scripts, None, profile=Profile.STRICT, look=look)
    finally:
        redis_under_sentinel.ask(replica, "CONFIG", "SET", name, before)


async def test_every_primary_of_a_cluster_is_looked_at(redis_cluster: RedisSet) -> None:
    *_, last = redis_cluster.servers
    async with connected(redis_cluster, 0) as scripts:
        assert await verify_durability(scripts, None, profile=Profile.STRICT) == []
        redis_cluster.ask(last, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(DurabilityMismatch, match="`maxmemory-policy` is `allkeys-lru`"):
                await verify_durability(scripts, None, profile=Profile.STRICT)
        finally:
            redis_cluster.ask(last, "CONFIG", "SET", "maxmemory-policy", "noeviction")
