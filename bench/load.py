"""Load on the submit path from one process: keep-alive connections and raw HTTP/1.1, to cost little itself.

Closed loop: each connection sends its next request when the last was answered. Open loop: requests leave at fixed times
whatever the answers do, and latency counts from the time a request was due (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import uvloop

from bench.system import System

BODY = {
    "topic": "job.demo.read",
    "prompt": "status",
    "payload": {"service": "checkout"},
    "labels": {"team": "payments"},
}


@dataclass
class Answers:
    """Statuses by number of answers, and how long each took (ms)."""

    statuses: dict[int, int] = field(default_factory=dict)
    taken_ms: list[float] = field(default_factory=list)

    def add(self, status: int, taken_ms: float) -> None:
        """One answer."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.taken_ms.append(taken_ms)

    def quantile(self, share: float) -> float:
        """The latency below which `share` of the answers lie (ms)."""
        ordered = sorted(self.taken_ms)
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2)


class Connection:
    """One keep-alive connection that sends the same request again and again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        self._reader, self._writer, self._request = reader, writer, request

    @classmethod
    async def open(cls, system: System, body: dict[str, Any] | None = None) -> Connection:
        """Connected, with the request prepared."""
        url = urlsplit(system.ready["api"])
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        data = json.dumps(BODY if body is None else body).encode()
        head = (
            f"POST /api/v1/jobs HTTP/1.1\r\nhost: {url.netloc}\r\nx-api-key: {system.ready['keys']['agent']}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        return cls(reader, writer, head.encode() + data)

    async def submit(self) -> int:
        """Send once; the status of the answer."""
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        marker = head.lower().index(b"content-length:") + 15
        length = int(head[marker : head.index(b"\r", marker)])
        await self._reader.readexactly(length)
        return int(head[9:12])

    def close(self) -> None:
        """No more."""
        self._writer.close()


async def closed_loop(system: System, connections: int, seconds: float) -> Answers:
    """As fast as `connections` can, for `seconds`."""
    answers = Answers()
    end = time.perf_counter() + seconds

    async def client() -> None:
        connection = await Connection.open(system)
        while (started := time.perf_counter()) < end:
            status = await connection.submit()
            answers.add(status, (time.perf_counter() - started) * 1000)
        connection.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return answers


async def open_loop(system: System, per_s: float, seconds: float, connections: int) -> Answers:
    """`per_s` requests a second for `seconds`, whatever the answers do."""
    answers = Answers()
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(await Connection.open(system))
    start = time.perf_counter()

    async def one(due: float) -> None:
        connection = await free.get()
        status = await connection.submit()
        free.put_nowait(connection)
        answers.add(status, (time.perf_counter() - due) * 1000)

    async with asyncio.TaskGroup() as group:
        for number in range(int(per_s * seconds)):
            due = start + number / per_s
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            group.create_task(one(due))
    while not free.empty():
        free.get_nowait().close()
    return answers


async def submit_all(system: System, jobs: int, connections: int, body: dict[str, Any] | None = None) -> int:
    """`jobs` submits over `connections`; how many were accepted (all, or an error)."""
    left = iter(range(jobs))
    accepted = 0

    async def client() -> None:
        nonlocal accepted
        connection = await Connection.open(system, body)
        for _ in left:
            status = await connection.submit()
            if status != 202:
                raise RuntimeError(f"a submit was answered with {status}")
            accepted += 1
        connection.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return accepted


def measure(system: System, seconds: float = 8.0) -> dict[str, Any]:
    """`submit_per_s` (closed loop, the best of several numbers of connections), and p50 and p99 at half of it."""
    rounds: dict[str, Any] = {}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(closed_loop(system, 16, 1.0))
        for connections in (1, 32, 128):
            answers = runner.run(closed_loop(system, connections, seconds))
            rounds[str(connections)] = _summary(answers, seconds)
        most = max(entry["per_s"] for entry in rounds.values())
        half = runner.run(open_loop(system, most / 2, seconds, 128))
    return {
        "submit_per_s": most,
        "submit_p50_ms": half.quantile(0.5),
        "submit_p99_ms": half.quantile(0.99),
        "half_load": _summary(half, seconds),
        "by_connections": rounds,
    }


def _summary(answers: Answers, seconds: float) -> dict[str, Any]:
    return {
        "per_s": round(answers.statuses.get(202, 0) / seconds),
        "p50_ms": answers.quantile(0.5),
        "p99_ms": answers.quantile(0.99),
        "statuses": {str(status): count for status, count in sorted(answers.statuses.items())},
    }
