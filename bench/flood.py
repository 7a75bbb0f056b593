"""Memory of every process under a flood: many times what the system takes, of every kind that holds something.

For a while, at once: submits in an open loop over many connections, large bodies, event streams and long polls,
connections that send nothing, that drip, and that never read. Memory is each process's proportional share (PSS) before,
at its highest, and after.

    python -m bench.flood [seconds]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bench.system import System, running

SECONDS = 20.0
SUBMITTERS = 1_500
STREAMS = 500
POLLS = 500
SILENT = 300
DRIPPING = 100
DEAF = 100
LARGE = 24
LARGE_BYTES = 4 * 1024 * 1024
REPLY_S = 30.0
DRIP_S = 0.5


@dataclass
class Flood:
    """What was sent and what came of it, by kind."""

    host: str
    port: int
    key: str
    until_s: float
    said: Counter[str] = field(default_factory=Counter)

    def goes_on(self) -> bool:
        """Whether it is not over."""
        return time.monotonic() < self.until_s

    def head(self, method: str, path: str, **headers: Any) -> bytes:
        """Of a request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", f"X-API-Key: {self.key}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    @contextlib.asynccontextmanager
    async def connection(self) -> Any:
        """To the API."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def submits(flood: Flood) -> None:
    """One after the other over one connection."""
    body = json.dumps({"topic": "job.demo.read", "prompt": "flood"}).encode()
    request = flood.head("POST", "/api/v1/jobs", Content_Type="application/json", Content_Length=len(body)) + body
    async with flood.connection() as (reader, writer):
        while flood.goes_on():
            writer.write(request)
            flood.said[f"submit {await _status(reader)}"] += 1


async def large(flood: Flood) -> None:
    """Bodies as large as they may be, nearly."""
    body = json.dumps({"topic": "job.demo.read", "payload": {"text": "x" * LARGE_BYTES}}).encode()
    request = flood.head("POST", "/api/v1/jobs", Content_Type="application/json", Content_Length=len(body)) + body
    async with flood.connection() as (reader, writer):
        while flood.goes_on():
            writer.write(request)
            await writer.drain()
            flood.said[f"large {await _status(reader)}"] += 1


async def streams(flood: Flood) -> None:
    """Listen to what is held, which never ends."""
    async with flood.connection() as (reader, writer):
        writer.write(flood.head("GET", "/api/v1/approvals/events"))
        flood.said[f"stream {(await reader.readline()).split()[1].decode()}"] += 1
        while flood.goes_on() and await reader.read(65536):
            pass


async def polls(flood: Flood) -> None:
    """Wait for a job that waits for people."""
    async with flood.connection() as (reader, writer):
        while flood.goes_on():
            writer.write(flood.head("GET", "/api/v1/jobs?limit=1"))
            await _status(reader)
            writer.write(flood.head("GET", "/api/v1/jobs/job_none?wait=5s"))
            flood.said[f"poll {await _status(reader)}"] += 1


async def silent(flood: Flood) -> None:
    """Connect and say nothing."""
    async with flood.connection() as (reader, _):
        await _cut_off(flood, reader, "silent")


async def dripping(flood: Flood) -> None:
    """A header that comes byte by byte, and never ends."""
    async with flood.connection() as (reader, writer):
        writer.write(b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nX-Drip: ")
        with contextlib.suppress(OSError):
            while flood.goes_on() and not reader.at_eof():
                writer.write(b"x")
                await asyncio.sleep(DRIP_S)
        flood.said["dripping, cut off" if reader.at_eof() else "dripping, still there"] += 1


async def deaf(flood: Flood) -> None:
    """Ask for much, again and again, and read nothing of it."""
    async with flood.connection() as (_, writer):
        with contextlib.suppress(OSError):
            while flood.goes_on() and not writer.is_closing():
                writer.write(flood.head("GET", "/openapi.json"))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await writer.drain()
                await asyncio.sleep(0.05)
        flood.said["deaf, cut off" if writer.is_closing() else "deaf, still there"] += 1


async def _cut_off(flood: Flood, reader: asyncio.StreamReader, name: str) -> None:
    try:
        async with asyncio.timeout(max(0.0, flood.until_s - time.monotonic())):
            await reader.read()
            flood.said[f"{name}, cut off"] += 1
    except (OSError, TimeoutError) as error:
        flood.said[f"{name}, {'still there' if isinstance(error, TimeoutError) else 'cut off'}"] += 1


async def _status(reader: asyncio.StreamReader) -> str:
    async with asyncio.timeout(REPLY_S):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        length = next((int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length")), 0)
        body = await reader.readexactly(length)
    status = lines[0].split()[1].decode()
    return status if status < "400" else f"{status} {json.loads(body).get('code')}"


KINDS: Mapping[Callable[[Flood], Awaitable[None]], int] = {
    submits: SUBMITTERS, streams: STREAMS, polls: POLLS, silent: SILENT, dripping: DRIPPING, deaf: DEAF, large: LARGE,
}  # fmt: skip


async def _flooded(system: System, seconds: float) -> tuple[dict[str, int], dict[str, float]]:
    url = urlsplit(system.ready["api"])
    flood = Flood(str(url.hostname), int(url.port or 80), system.ready["keys"]["operator"], time.monotonic() + seconds)
    agent = Flood(flood.host, flood.port, system.ready["keys"]["agent"], flood.until_s, flood.said)
    highest: dict[str, float] = {}

    async def one(kind: Callable[[Flood], Awaitable[None]]) -> None:
        while flood.goes_on():
            try:
                await kind(flood if kind is streams else agent)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, IndexError) as error:
                flood.said[f"{kind.__name__}, {type(error).__name__}"] += 1
                await asyncio.sleep(0.2)

    async def watch() -> None:
        while flood.goes_on():
            now = await asyncio.to_thread(system.rss_mb)
            for name, size in now.items():
                highest[name] = max(size, highest.get(name, 0.0))
            await asyncio.sleep(0.5)

    await asyncio.gather(watch(), *(one(kind) for kind, count in KINDS.items() for _ in range(count)))
    return dict(sorted(flood.said.items())), highest


def measure(system: System, seconds: float = SECONDS) -> dict[str, Any]:
    """Memory in MB by process, and how many answers of each kind."""
    before = system.rss_mb()
    said, highest = asyncio.run(_flooded(system, seconds))
    time.sleep(5)
    after = system.rss_mb()
    memory = {name: [round(before[name]), round(highest[name]), round(after[name])] for name in before}
    return {"seconds": seconds, "pss_mb_before_highest_after": memory, "answers": said}


if __name__ == "__main__":
    with running() as started_system:
        print(json.dumps(measure(started_system, float((sys.argv[1:] or [SECONDS])[0])), indent=1))
