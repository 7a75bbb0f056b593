"""What the monitoring of several NATS servers says together."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

import pytest

from holdgate.scheduler.state.monitoring import Monitoring

FULL = {"status": "unavailable", "error": "JetStream stream 'A > JOBS' write error: no space left on device"}
WELL = {"status": "ok"}
BEHIND = {"status": "unavailable", "error": "JetStream is not current with the meta leader"}


async def failure(answers: Sequence[dict[str, str] | None]) -> str | None:
    """Servers that answer so, or, None, not at all; what is said of them together."""

    async def serve(body: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(body).encode())
        await writer.drain()
        writer.close()

    async with AsyncExitStack() as stack:
        urls = []
        for body in answers:
            server = await asyncio.start_server(partial(serve, body or {}), "127.0.0.1", 0)
            urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            if body is None:
                server.close()
            else:
                stack.callback(server.close)
        return await Monitoring(",".join(urls)).failure()


@pytest.mark.parametrize(
    ("answers", "is_wrong"),
    [
        ([WELL], False),
        ([FULL], True),
        ([None], False),
        ([FULL, WELL, WELL], False),
        ([WELL, FULL, BEHIND], False),
        ([FULL, FULL, WELL], True),
        ([FULL, None, WELL], True),
        ([None, None, WELL], False),
        ([FULL, WELL], True),
    ],
)
async def test_one_full_disk_of_three_closes_nothing(answers: Sequence[dict[str, str] | None], is_wrong: bool) -> None:
    """A quorum of three takes what is published; two that cannot write, or cannot be asked, are none."""
    said = await failure(answers)
    assert (said is not None) == is_wrong
    assert said is None or "write error" in said
