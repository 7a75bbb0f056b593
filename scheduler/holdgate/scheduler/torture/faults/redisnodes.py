"""The nodes of Redis as a fault sees them: asked one by one, past every proxy."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import redis.exceptions

from holdgate.scheduler.errors import ServerUnusable, StateUnavailable
from holdgate.scheduler.torture.cluster import Cluster
from holdgate.scheduler.torture.cluster.redisup import client
from holdgate.scheduler.torture.cluster.topology import RedisShape
from holdgate.scheduler.torture.faults.fault import CannotBreak

POLL_S = 0.1
FAILOVER_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 10.0
MARKS = 64
"""Keys tried until one lies on the node that is asked: of a Redis Cluster it has some slots only."""


async def ordered(cluster: Cluster, name: str, *call: str) -> object:
    """A node's reply; CannotBreak where it has none."""
    connection = client(cluster.layout.places[name].port, cluster.redis_password)
    try:
        return await connection.execute_command(*call)  # type: ignore[no-untyped-call]
    except (redis.exceptions.RedisError, OSError) as error:
        raise CannotBreak(f"{name} does not take `{call[0]}`: {error}") from error
    finally:
        # One that is paused does not answer a goodbye either.
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            await connection.aclose()


async def asked(cluster: Cluster, name: str, *call: str) -> object:
    """A node's reply; None where it has none, or is not the one to ask."""
    try:
        return await ordered(cluster, name, *call)
    except CannotBreak:
        return None


async def mark(cluster: Cluster, name: str) -> str:
    """A key of nobody's, written to a node now: whether it is there later tells which data the node has."""
    for number in range(MARKS):
        if await asked(cluster, name, "SET", found := f"torture:{number}", str(time.monotonic_ns())) is not None:
            return found
    raise CannotBreak(f"{name} takes no writes now")


async def has_lost(cluster: Cluster, name: str, marked: str) -> bool:
    """Whether a node answers that it has no such key: one of a Redis Cluster not before it has found the others."""
    answers: list[object] = []

    async def has_answered() -> bool:
        answers.append(await asked(cluster, name, "EXISTS", marked))
        return answers[-1] is not None

    try:
        await until(has_answered, ANSWER_TIMEOUT_S, f"{name} does not answer")
    except ServerUnusable:
        return False
    return answers[-1] == 0


async def primary_if_any(cluster: Cluster) -> str | None:
    """Who takes writes now."""
    try:
        return await cluster.redis_primary()
    except StateUnavailable:
        return None


async def primary(cluster: Cluster) -> str:
    """CannotBreak when there is none."""
    try:
        return await cluster.redis_primary()
    except StateUnavailable as error:
        raise CannotBreak(str(error)) from error


async def replicated_primary(cluster: Cluster) -> str:
    """CannotBreak where nobody could take over from it."""
    if cluster.topology.redis is not RedisShape.SENTINEL:
        raise CannotBreak("without sentinels there is no failover")
    return await primary(cluster)


async def until(holds: Callable[[], Awaitable[bool]], timeout_s: float, why: str) -> None:
    """ServerUnusable, with `why`, where it does not hold in time."""
    deadline = time.monotonic() + timeout_s
    while not await holds():
        if time.monotonic() > deadline:
            raise ServerUnusable(f"{why} after {timeout_s:.0f} s")
        await asyncio.sleep(POLL_S)


async def other_primary(cluster: Cluster, before: str) -> str:
    """Once somebody took over from `before`; ServerUnusable where nobody does."""

    async def is_other() -> bool:
        return await primary_if_any(cluster) not in (None, before)

    await until(is_other, FAILOVER_TIMEOUT_S, f"nobody took over from {before}")
    return await cluster.redis_primary()


async def replica_follows(cluster: Cluster) -> None:
    """Until as many follow the primary as must confirm, one at least: a fault before would lose more than it says."""
    if cluster.topology.redis is RedisShape.SENTINEL:
        await until(lambda: _follow(cluster), FAILOVER_TIMEOUT_S, "the replicas do not follow")


async def _follow(cluster: Cluster) -> bool:
    if (leads := await primary_if_any(cluster)) is None:
        return False
    following = 0
    for name in cluster.layout.named("redis"):
        role = await asked(cluster, name, "ROLE") if name != leads else None
        following += isinstance(role, list) and role[0] == "slave" and role[3] == "connected"
    return following >= max(1, cluster.topology.replicas_confirm)
