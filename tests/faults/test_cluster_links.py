"""The proxy between members: who connects is known, and each weather is what it says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdgate.scheduler.torture.cluster import Link, Links
from holdgate.scheduler.torture.cluster.proxied import ProxyProcess
from holdgate.scheduler.torture.proxy.peers import CLIENT
from holdgate.scheduler.up.children import free_port

ECHO = "echo"
HOST = "127.0.0.1"
ME = "tester"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Place:
    """A server that says everything back, behind a proxy."""

    def __init__(self, proxy: ProxyProcess, port: int) -> None:
        self.proxy = proxy
        self.port = port
        self.link: Link = Links(proxy.tell, ((ME, ECHO),))[ME, ECHO]

    async def connected(self) -> Streams:
        return await asyncio.open_connection(HOST, self.port)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    front, proxy = free_port(), ProxyProcess()
    proxy.start(tmp_path / "proxy.log")
    await proxy.tell({"fronts": [[ECHO, front, server.sockets[0].getsockname()[1]]]})
    await proxy.tell({"pids": {ME: os.getpid()}})
    yield Place(proxy, front)
    proxy.stop()
    server.close()


async def said_back(streams: Streams, text: bytes, timeout_s: float = 5.0) -> bytes:
    reader, writer = streams
    writer.write(text)
    async with asyncio.timeout(timeout_s):
        return await reader.readexactly(len(text))


async def test_without_weather_everything_passes_in_order(place: Place) -> None:
    streams = await place.connected()
    whole = os.urandom(3_000_000)
    assert await said_back(streams, whole) == whole
    streams[1].close()


async def test_a_cut_breaks_connections_and_refuses_new_ones_until_it_is_healed(place: Place) -> None:
    streams = await place.connected()
    await said_back(streams, b"before")
    await place.link.cut()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await said_back(streams, b"during")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await said_back(await place.connected(), b"anew")
    await place.link.heal()
    assert await said_back(await place.connected(), b"after") == b"after"


async def test_what_is_swallowed_leaves_the_connection_open_and_arrives_once_it_is_healed(place: Place) -> None:
    streams = await place.connected()
    await said_back(streams, b"before")
    await place.link.cut(silently=True)
    with pytest.raises(TimeoutError):
        await said_back(streams, b"during", 0.3)
    await place.link.heal()
    async with asyncio.timeout(5):
        assert await streams[0].readexactly(6) == b"during"


async def test_a_delay_makes_each_way_late_and_keeps_the_order(place: Place) -> None:
    streams = await place.connected()
    await said_back(streams, b"before")
    await place.link.delay(100, jitter_ms=50)
    started_s = time.monotonic()
    sent = b"".join(bytes([number]) * 3 for number in range(100))
    for at in range(0, len(sent), 10):
        streams[1].write(sent[at : at + 10])
    assert await streams[0].readexactly(len(sent)) == sent
    assert 0.2 <= time.monotonic() - started_s < 2


async def test_what_gets_lost_comes_late_or_ends_the_connection_but_never_out_of_order(place: Place) -> None:
    await place.link.lose(0.5)
    sent = os.urandom(100)

    async def end() -> str:
        started_s = time.monotonic()
        try:
            assert await said_back(await place.connected(), sent, 15.0) == sent
        except (ConnectionError, asyncio.IncompleteReadError):
            return "broken off"
        return "late" if time.monotonic() - started_s > 0.15 else "in time"

    ends = await asyncio.gather(*(end() for _ in range(12)))
    assert {"late", "broken off"} & set(ends)


async def test_others_keep_their_weather(place: Place) -> None:
    other = Links(place.proxy.tell, ((CLIENT, ECHO),))[CLIENT, ECHO]
    await other.cut()
    assert await said_back(await place.connected(), b"mine") == b"mine"


async def test_a_link_that_there_is_not_is_not_made() -> None:
    with pytest.raises(KeyError):
        Links(ProxyProcess().tell, ((ME, ECHO),))["nobody", ECHO]
