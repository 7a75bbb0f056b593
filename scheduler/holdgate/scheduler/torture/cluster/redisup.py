"""What turns several Redis servers into one: a replica that follows, sentinels that agree, slots of a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Sequence

import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from holdgate.scheduler.errors import ServerUnusable
from holdgate.scheduler.torture.cluster.layout import SERVICE, Layout
from holdgate.scheduler.torture.cluster.topology import RedisShape
from holdgate.scheduler.up.access import OPERATOR
from holdgate.scheduler.up.plan import HOST

SLOTS = 16384
READY_TIMEOUT_S = 20.0
POLL_S = 0.05
CALL_TIMEOUT_S = 2.0


def client(port: int, password: str | None) -> redis.asyncio.Redis:
    """Of one server, past every proxy. Close it."""
    return redis.asyncio.Redis(
        host=HOST,
        port=port,
        username=None if password is None else OPERATOR,
        password=password,
        socket_timeout=CALL_TIMEOUT_S,
        socket_connect_timeout=CALL_TIMEOUT_S,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )


async def join(layout: Layout, password: str) -> None:
    """Until the data nodes are what the topology says; ServerUnusable when they do not become it."""
    match layout.topology.redis:
        case RedisShape.SINGLE:
            return
        case RedisShape.SENTINEL:
            await _until(lambda: _follows(layout, password), "the replica does not follow")
        case RedisShape.CLUSTER:
            await _share_slots(layout, password)
            await _until(lambda: _is_whole(layout, password), "the cluster of Redis is not whole")


async def agree(layout: Layout) -> None:
    """Until the sentinels, if there are any, know each other and the replicas."""
    await _until(lambda: _agree(layout), "the sentinels do not know each other")


async def primary_of(layout: Layout, password: str) -> str | None:
    """The member that says that it is the primary and that most sentinels name; None when there is none now."""
    names = layout.named("redis")
    if layout.topology.redis is not RedisShape.SENTINEL:
        return names[0]
    by_front = {layout.places[name].front: name for name in names}
    votes: list[str] = []
    for sentinel in layout.named("sentinel"):
        reply = await _asked(layout.places[sentinel].port, None, "SENTINEL", "get-master-addr-by-name", SERVICE)
        if isinstance(reply, list):
            votes.append(by_front.get(int(reply[1]), ""))
    named = max(set(votes), key=votes.count, default="")
    if not named or votes.count(named) < 2:
        return None
    role = await _asked(layout.places[named].port, password, "ROLE")
    return named if isinstance(role, list) and role[0] == "master" else None


async def _asked(port: int, password: str | None, *call: str) -> object:
    """The reply; None when there is none."""
    connection = client(port, password)
    try:
        return await connection.execute_command(*call)  # type: ignore[no-untyped-call]
    except (redis.exceptions.RedisError, OSError):
        return None
    finally:
        # One that is paused does not answer a goodbye either.
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            await connection.aclose()


async def _follows(layout: Layout, password: str) -> bool:
    for name in layout.named("redis")[1:]:
        role = await _asked(layout.places[name].port, password, "ROLE")
        if not (isinstance(role, list) and role[0] == "slave" and role[3] == "connected"):
            return False
    return True


async def _agree(layout: Layout) -> bool:
    sentinels = layout.named("sentinel")
    for name in sentinels:
        others = await _asked(layout.places[name].port, None, "SENTINEL", "sentinels", SERVICE)
        replicas = await _asked(layout.places[name].port, None, "SENTINEL", "replicas", SERVICE)
        if not (isinstance(others, list) and len(others) == len(sentinels) - 1):
            return False
        if not (isinstance(replicas, list) and len(replicas) == len(layout.named("redis")) - 1):
            return False
    return True


async def _share_slots(layout: Layout, password: str) -> None:
    names = layout.named("redis")
    for number, name in enumerate(names):
        slots = range(SLOTS * number // len(names), SLOTS * (number + 1) // len(names))
        await _ordered(layout, name, password, ["CLUSTER", "ADDSLOTS", *map(str, slots)])
        await _ordered(layout, name, password, ["CLUSTER", "SET-CONFIG-EPOCH", str(number + 1)])
    for name in names[1:]:
        place = layout.places[name]
        meet = ["CLUSTER", "MEET", HOST, str(place.front), str(place.peers_front)]
        await _ordered(layout, names[0], password, meet)


async def _ordered(layout: Layout, name: str, password: str, call: Sequence[str]) -> None:
    connection = client(layout.places[name].port, password)
    try:
        await connection.execute_command(*call)  # type: ignore[no-untyped-call]
    except redis.exceptions.RedisError as error:
        raise ServerUnusable(f"{name} refuses `{call[0]} {call[1]}`: {error}") from error
    finally:
        await connection.aclose()


async def _is_whole(layout: Layout, password: str) -> bool:
    for name in layout.named("redis"):
        info = str(await _asked(layout.places[name].port, password, "CLUSTER", "INFO"))
        if "cluster_state:ok" not in info or f"cluster_known_nodes:{len(layout.named('redis'))}" not in info:
            return False
    return True


async def _until(holds: Callable[[], Awaitable[bool]], why: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not await holds():
        if time.monotonic() > deadline:
            raise ServerUnusable(why)
        await asyncio.sleep(POLL_S)


def answers(port: int) -> bool:
    """Whether a sentinel does."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
