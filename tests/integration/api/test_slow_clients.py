"""Clients that take up room without using it are cut off; the others notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import uvicorn
from prometheus_client import REGISTRY
from uvicorn.server import ServerState

from holdgate.scheduler.api.admit import BodyRoom
from holdgate.scheduler.api.app import create_app
from holdgate.scheduler.api.body import read_body
from holdgate.scheduler.api.deps import ApiLimits
from holdgate.scheduler.api.problems import Problem
from holdgate.scheduler.cli.connections import Bounds, Room, protocol_of
from holdgate.scheduler.cli.http import serving
from holdgate.scheduler.lifecycle import Runtime
from holdgate.scheduler.up.children import free_port
from support.api import ApiWorld
from support.waiting import eventually

QUICK = Bounds(connections_max=8, head_s=0.2, head_bytes_max=1024, write_s=0.2)
ONE_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@contextlib.asynccontextmanager
async def served(api: ApiWorld, bounds: Bounds = QUICK, app: Any = None) -> AsyncIterator[tuple[str, int]]:
    """The API once more, within `bounds`."""
    port = free_port()
    settings = api.settings.model_copy(update={"api_listen": f"127.0.0.1:{port}"})
    app = app or create_app(api.deps)
    async with serving(app, settings, Runtime("api"), on_leave=lambda: None, bounds=bounds):
        yield "127.0.0.1", port


def cut_off(reason: str) -> float:
    return REGISTRY.get_sample_value("holdgate_http_connections_cut_total", {"reason": reason}) or 0.0


async def is_served(address: tuple[str, int]) -> bool:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(ONE_REQUEST)
    status = await reader.readline()
    writer.close()
    return b" 200 " in status


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side ends it."""
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /heal", b"\r\n", ONE_REQUEST + b"GET /heal", b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nX-Drip: "],
    ids=["nothing", "half a line", "line ends", "half of a second request", "half a header"],
)
async def test_a_head_that_does_not_come_in_time_ends_the_connection(api: ApiWorld, sent: bytes) -> None:
    """However it begins; others are served meanwhile."""
    before = cut_off("too_slow")
    async with served(api) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(sent)
        assert await is_served(address)
        await end_of(reader)
        assert cut_off("too_slow") == before + 1
        writer.close()


async def test_a_drip_that_never_ends_is_not_given_more_time_by_each_drop(api: ApiWorld) -> None:
    """The time is for the whole head."""
    async with served(api) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET /healthz HTTP/1.1\r\nX-Drip: ")
        drops = 0
        while not (reader.at_eof() or reader.exception()) and drops < 2_000:
            drops += 1
            with contextlib.suppress(ConnectionError):
                writer.write(b"x")
                await writer.drain()
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(0.01):
                    await reader.read(1)
        assert reader.at_eof() or reader.exception()
        writer.close()


async def test_a_body_that_goes_on_after_its_answer_is_not_listened_to_for_ever(api: ApiWorld) -> None:
    """The answer is there; what is still sent is for nobody."""
    async with served(api) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{")
        assert b" 401 " in await reader.readline()
        writer.write(b" ")
        await end_of(reader)
        writer.close()


async def test_a_head_larger_than_any_of_ours_is_refused(api: ApiWorld) -> None:
    """Before it is kept."""
    async with served(api, replace(QUICK, head_s=10.0)) as address:
        reader, writer = await asyncio.open_connection(*address)
        with contextlib.suppress(ConnectionError):
            writer.write(b"GET /healthz HTTP/1.1\r\n" + b"X-Much: x\r\n" * 100_000)
            await writer.drain()
        answer = await end_of(reader)
        assert answer.startswith(b"HTTP/1.1 431 ") or answer == b""
        assert await is_served(address)
        writer.close()


@pytest.mark.parametrize(("size", "status"), [(1024, b" 200 "), (1025, b" 431 ")])
async def test_the_largest_head_is_served_and_one_byte_more_is_not(api: ApiWorld, size: int, status: bytes) -> None:
    """Whatever comes with it."""
    async with served(api, replace(QUICK, head_s=10.0)) as address:
        reader, writer = await asyncio.open_connection(*address)
        head = b"GET /healthz HTTP/1.1\r\nX-Much: "
        writer.write(head + b"x" * (size - len(head) - 4) + b"\r\n\r\n")
        assert status in await reader.readline()
        writer.close()


async def test_what_follows_a_body_is_bounded_as_a_head_is(api: ApiWorld) -> None:
    """Trailers are of no use to us, and are kept by the parser until they end."""
    before = cut_off("head_too_large")
    async with served(api, replace(QUICK, head_s=10.0)) as address:
        _, writer = await asyncio.open_connection(*address)
        writer.write(b"POST /api/v1/jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Much: " + b"x" * 5_000)
        await eventually(lambda: cut_off("head_too_large") == before + 1)
        writer.transport.abort()


async def test_heads_without_end_take_no_more_than_there_is_for_them(api: ApiWorld) -> None:
    """The oldest large ones make room; who sends a usual one notices nothing."""
    before = cut_off("no_room")
    bounds = Bounds(connections_max=40, head_s=10.0, head_bytes_max=4_096, heads_bytes_max=40_000)
    async with served(api, bounds) as address:
        held = []
        for _ in range(15):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET /healthz HTTP/1.1\r\nX-Much: " + b"x" * 3_500)
            held.append((reader, writer))
        assert await is_served(address)
        await eventually(lambda: cut_off("no_room") > before)
        assert await end_of(held[0][0]) == b""
        held[-1][1].write(b"\r\n\r\n")
        assert b" 200 " in await held[-1][0].readline()
        for _, writer in held:
            writer.close()


async def test_a_head_that_gives_way_is_forgotten_at_once() -> None:
    """Hundreds give way before the loop comes to tell one that its connection is lost."""
    loop, made = asyncio.get_running_loop(), []
    protocol = protocol_of(Room(Bounds(heads_bytes_max=1_000_000)))

    def make() -> Any:
        made.append(protocol(uvicorn.Config(lambda: None, log_config=None), ServerState(), {}, loop))
        return made[-1]

    server = await loop.create_server(make, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"GET /healthz HTTP/1.1\r\n" + b"a:\r\n" * 1_000)
    await eventually(lambda: made and len(made[0].headers or ()) == 999)
    made[0].give_way()
    assert (made[0].headers, made[0].scope, made[0].room.heads_bytes) == ([], {}, 0)
    writer.close()
    server.close()


async def test_who_asks_on_without_waiting_for_answers_is_cut_off(api: ApiWorld) -> None:
    """Thousands of requests fit into one read."""
    before = cut_off("not_waiting")
    async with served(api) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(ONE_REQUEST * 3)
        for _ in range(3):
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(ONE_REQUEST * 5_000)
            await end_of(reader)
        assert cut_off("not_waiting") == before + 1
        assert await is_served(address)
        writer.close()


class Held:
    """A connection of which nothing but its end is asked."""

    def __init__(self, room: Room) -> None:
        self.room, self.bytes = room, 0

    def holds(self, size: int) -> None:
        before, self.bytes = self.bytes, size
        self.room.hold(self, before, size)

    def give_way(self) -> None:
        """Nothing is held for it then."""
        self.holds(0)


def test_the_oldest_large_head_gives_way_and_small_ones_never() -> None:
    """Every connection may have its part."""
    room = Room(Bounds(connections_max=4, heads_bytes_max=400))
    small, first, second, third = (Held(room) for _ in range(4))
    small.holds(100)
    first.holds(150)
    second.holds(150)
    third.holds(101)
    assert [held.bytes for held in (small, first, second, third)] == [100, 0, 150, 101]
    second.holds(0)
    assert (room.heads_bytes, list(room.large)) == (201, [third])


async def test_who_does_not_read_its_reply_is_cut_off(api: ApiWorld) -> None:
    """A reply that nobody takes is memory that nobody gives back."""

    async def much(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(10_000):
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})

    before = cut_off("not_read")
    async with served(api, app=much) as address:
        _, writer = await asyncio.open_connection(*address, limit=1024)
        writer.write(ONE_REQUEST)
        await eventually(lambda: cut_off("not_read") == before + 1)
        writer.transport.abort()


async def test_more_connections_than_there_may_be_are_told_so_and_closed(api: ApiWorld) -> None:
    """A 503 with Retry-After, and room again when one goes."""
    async with served(api, replace(QUICK, head_s=10.0, connections_max=4)) as address:
        held = [await asyncio.open_connection(*address) for _ in range(2)]  # one address may have half
        reader, writer = await asyncio.open_connection(*address)
        answer = await end_of(reader)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer
        assert b'"code":"overloaded"' in answer
        writer.close()
        held.pop()[1].close()

        async def has_room() -> bool:
            return await is_served(address)

        assert await eventually(has_room)
        held.pop()[1].close()


def test_a_proxy_may_have_all_the_room() -> None:
    """Behind it are many."""
    room = Room(Bounds(connections_max=4), frozenset({"10.0.0.1"}))
    assert [room.enter("10.0.0.1") for _ in range(5)] == [True, True, True, True, False]
    room.leave("10.0.0.1")
    assert [room.enter("10.0.0.2"), room.enter("10.0.0.2")] == [True, False]


def test_bodies_have_room_by_bytes_and_one_alone_always() -> None:
    """Of one tenant less than all."""
    step = 64 * 1024
    bodies = BodyRoom(total_max=8 * step, share=2, code="overloaded")
    with bodies.hold("a") as alone:
        alone.grow(99 * step)
    with bodies.hold("a") as first, bodies.hold("a") as second, bodies.hold("b") as other:
        first.grow(16 * 1024)
        assert bodies.total == 0  # bounded by the number of requests
        for size in (step // 2, step, 3 * step + 1):
            first.grow(size)
        assert bodies.total == 4 * step
        second.grow(step)
        for hold, size in ((first, 4 * step + 1), (second, step + 1), (other, 3 * step)):
            with pytest.raises(Problem):
                hold.grow(size)
        with pytest.raises(Problem):
            bodies.check("b", 3 * step)
        other.grow(2 * step)
        assert bodies.total == 7 * step
    assert bodies.total == 0


async def test_bodies_count_when_they_came_and_others_are_refused_by_what_they_declare(api: ApiWorld) -> None:
    """Who promises much and sends nothing takes up no room."""
    limits = ApiLimits(bodies_bytes_max=200_000)
    async with served(api, replace(QUICK, head_s=10.0), create_app(replace(api.deps, limits=limits))) as address:
        key = api.keys["agent"].encode()
        head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-API-Key: " + key
        head += b"\r\nContent-Length: 140000\r\n\r\n"
        first = await asyncio.open_connection(*address)
        first[1].write(head + b"{")

        async def is_refused() -> bool:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(head + b"{" * 140_000)
            status = await reader.readline()
            writer.close()
            return b" 503 " in status

        assert not await is_refused()
        first[1].write(b" " * 100_000)
        assert await eventually(is_refused)
        first[1].close()


async def test_a_large_body_that_pauses_is_not_waited_for_as_long_as_a_small_one() -> None:
    """It takes up room; one that goes on has all its time."""

    async def receive() -> dict[str, Any]:
        return await messages.get()

    def comes(size: int) -> None:
        messages.put_nowait({"type": "http.request", "body": b" " * size, "more_body": True})

    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    loop, grown = asyncio.get_running_loop(), [0]
    for size in (20_000, 100_000):
        comes(size)
    started = loop.time()
    with pytest.raises(Problem, match="time"):
        await read_body(receive, grown.append, bytes_max=200_000, timeout_s=30.0, step_s=0.05)
    assert loop.time() - started < 15
    assert grown[-1] == 120_000
    comes(10_000)
    loop.call_later(0.2, messages.put_nowait, {"type": "http.request", "body": b"x"})
    body = await read_body(receive, grown.append, bytes_max=200_000, timeout_s=30.0, step_s=0.05)
    assert len(body) == 10_001
