"""Looking for the primaries of Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from holdgate.scheduler.errors import StateUnavailable
from holdgate.scheduler.state.address import Endpoint, Kind, RedisAddress
from holdgate.scheduler.state.topology import LOOK_TIMEOUT_S, topology_of
from support.redis_sets import HOST, SERVICE, RedisSet

LATE_S = LOOK_TIMEOUT_S * 1.4


@contextlib.asynccontextmanager
async def late(port: int) -> AsyncIterator[Endpoint]:
    """In front of `port`, where nothing is passed on before LATE_S."""

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(LATE_S)
        behind, there = await asyncio.open_connection(HOST, port)
        await asyncio.gather(pump(reader, there), pump(behind, writer))

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield Endpoint(HOST, server.sockets[0].getsockname()[1])
    finally:
        server.close()


@pytest.mark.parametrize("kind", [Kind.SENTINEL, Kind.CLUSTER])
async def test_the_first_look_waits_for_a_busy_machine(
    kind: Kind, redis_under_sentinel: RedisSet, redis_cluster: RedisSet
) -> None:
    """Of later ones nothing depends while there is a layout: those are short, so that the next one comes soon."""
    running = redis_under_sentinel if kind is Kind.SENTINEL else redis_cluster
    async with late(next(iter(running.sentinels or running.servers))) as endpoint:
        password = RedisAddress.parse(running.url).password
        address = RedisAddress(kind, (endpoint,), service=SERVICE, password=password)
        hurried = topology_of(address, timeout_s=LOOK_TIMEOUT_S)
        with pytest.raises(StateUnavailable, match="nobody says"):
            await hurried.look()
        topology = topology_of(address, timeout_s=5.0)
        layout = await topology.look()
        assert layout.primaries
        assert await topology.look() == layout
        for each in (hurried, topology):
            await each.close()
