"""Probes answer whatever is broken, and nobody at their port uses up the process."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdgate.kernel import probes as probing
from holdgate.kernel import readiness as readying
from holdgate.kernel.errors import Unavailable
from holdgate.kernel.probes import Probes
from holdgate.kernel.readiness import Check, Readiness, Standing


async def well() -> str | None:
    return None


async def away() -> str | None:
    return "not connected"


async def hangs() -> str | None:
    await asyncio.Event().wait()
    return None


async def raises() -> str | None:
    raise KeyError("a secret")


async def unavailable() -> str | None:
    raise Unavailable("the state store did not answer")


async def test_looking_that_failed_itself_is_said_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found before would be told for ever."""
    monkeypatch.setattr(readying, "INTERVAL_S", 0)
    monkeypatch.setattr(readying, "AGAIN_S", 0)
    seen: list[Standing] = []
    is_done = asyncio.Event()

    class Odd(Readiness):
        async def look(self) -> None:
            seen.append(self.report().standing)
            if len(seen) == 2:
                raise KeyError("nobody thought of this")
            await super().look()
            if len(seen) > 4:
                is_done.set()

    odd = Odd("api")
    odd.add(Check("a", well))
    await odd.start()
    async with asyncio.timeout(5):
        await is_done.wait()
    assert seen[1:4] == [Standing.READY, Standing.NOT_READY, Standing.READY]
    await odd.stop()


@pytest.mark.parametrize(
    ("checks", "standing"),
    [
        ([], Standing.READY),
        ([Check("a", well), Check("b", well)], Standing.READY),
        ([Check("a", well), Check("b", away)], Standing.NOT_READY),
        ([Check("a", well), Check("b", away, is_needed=False)], Standing.DEGRADED),
        ([Check("a", away), Check("b", away, is_needed=False)], Standing.NOT_READY),
    ],
)
async def test_what_is_needed_makes_a_process_not_ready_and_what_is_not_degrades_it(
    checks: list[Check], standing: Standing
) -> None:
    """A load balancer goes by the first, an operator by the second."""
    readiness = Readiness("api")
    readiness.add(*checks)
    await readiness.start()
    report = readiness.report()
    await readiness.stop()
    assert report.standing is standing
    assert set(report.checks) == {check.name for check in checks}


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (away, "not connected"),
        (unavailable, "the state store did not answer"),
        (raises, "cannot be looked at: KeyError"),
        (hangs, readying.NO_ANSWER),
    ],
)
async def test_a_check_that_fails_in_any_way_says_so_under_its_name(
    look: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of an exception's text, which may hold anything."""
    monkeypatch.setattr(readying, "LOOK_S_MAX", 0.01)
    readiness = Readiness("api")
    readiness.add(Check("part", look))
    await readiness.look()
    await readiness.start()
    assert readiness.report().checks == {"part": said}
    await readiness.stop()


async def test_one_late_answer_says_nothing_and_a_second_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load each may be late once; and what is late is not known to be away."""
    monkeypatch.setattr(readying, "LOOK_S_MAX", 0.01)
    readiness = Readiness("api")
    readiness.add(Check("part", hangs))
    await readiness.start()
    assert readiness.report().checks == {"part": readying.OK}
    await readiness.look()
    assert readiness.report().checks == {"part": readying.NO_ANSWER}
    assert not readiness.is_known_away("part")
    await readiness.stop()


async def test_before_the_start_and_from_the_stop_on_a_process_is_not_ready() -> None:
    """Whatever its checks say."""
    readiness = Readiness("api")
    assert readiness.report().checks == {"process": readying.STARTING}
    await readiness.start()
    assert readiness.report().standing is Standing.READY
    readiness.stopping()
    assert readiness.report().standing is Standing.NOT_READY
    await readiness.stop()


@contextlib.asynccontextmanager
async def serving(*checks: Check) -> AsyncIterator[int]:
    readiness = Readiness("kernel")
    readiness.add(*checks)
    probes = Probes(readiness)
    await probes.start("127.0.0.1", 0)
    await readiness.start()
    try:
        yield probes.port
    finally:
        await readiness.stop()
        await probes.stop()


async def get(port: int, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), head.decode(), body


async def test_the_three_pages_and_nothing_else() -> None:
    """Health is the process's own; readiness names its checks; 503 comes with Retry-After."""
    async with serving(Check("nats", away)) as port:
        status, _, body = await get(port, "/healthz")
        assert (status, json.loads(body)) == (200, {"status": "ok", "process": "kernel"})
        status, head, body = await get(port, "/readyz")
        assert (status, "Retry-After: 1" in head) == (503, True)
        assert json.loads(body) == {"status": "not_ready", "process": "kernel", "checks": {"nats": "not connected"}}
        status, _, body = await get(port, "/metrics")
        assert (status, b'holdgate_ready{process="kernel"} 0.0' in body) == (200, True)
        assert b'holdgate_check_failing{check="nats",process="kernel"} 1.0' in body
        assert (await get(port, "/other"))[0] == 404
        assert (await get(port, "/metrics", "POST"))[0] == 405
        assert (await get(port, "/readyz", "HEAD"))[2] == b""


async def test_a_caller_that_sends_no_request_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drip of header bytes does not keep a connection."""
    monkeypatch.setattr(probing, "HEAD_S_MAX", 0.05)
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /heal")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        assert (await get(port, "/healthz"))[0] == 200


async def test_who_asks_is_answered_however_many_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that waits longest makes room, and no more are open than there may be."""
    monkeypatch.setattr(probing, "CONNECTIONS_MAX", 2)
    async with serving() as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        with contextlib.suppress(ConnectionResetError):
            assert await held[0][0].read() == b""
        held[2][1].write(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert b"200 OK" in await held[2][0].readline()
        more = [await asyncio.open_connection("127.0.0.1", port) for _ in range(9)]
        assert (await get(port, "/healthz"))[0] == 200
        for _, writer in (*held, *more):
            writer.close()


async def test_who_says_nothing_makes_room_for_its_own_address_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe comes from another machine than the one that is in the way."""
    monkeypatch.setattr(probing, "ADDRESS_MAX", 2)
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        with contextlib.suppress(ConnectionResetError):
            assert await silent[0][0].read() == b""
        writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert b"200 OK" in await reader.readline()
        for _, other in (*silent, (reader, writer)):
            other.close()


async def test_who_has_asked_gets_all_of_the_answer_whoever_comes_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are many, and are read meanwhile."""
    monkeypatch.setattr(probing, "CONNECTIONS_MAX", 1)
    monkeypatch.setattr(probing, "choose_encoder", lambda _: (lambda _: b"x" * 30_000_000, "text/plain"))
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert b"200 OK" in await reader.readline()
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        with contextlib.suppress(ConnectionResetError):
            assert await silent[0][0].read() == b""
        assert len(await reader.read()) > 30_000_000
        for _, other in (*silent, (reader, writer)):
            other.close()


async def test_numbers_are_collected_a_few_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collecting them takes the loop from what the process is for."""
    monkeypatch.setattr(probing, "METRICS_S", 60.0)
    collected = []
    choose = probing.choose_encoder
    monkeypatch.setattr(
        probing, "choose_encoder", lambda accept: (lambda _: collected.append(1) or b"text", choose(accept)[1])
    )
    async with serving() as port:
        assert [(await get(port, "/metrics"))[2] for _ in range(5)] == [b"text"] * 5
    assert len(collected) == 1
