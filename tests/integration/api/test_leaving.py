"""An API that was asked to end: it says so while it still answers, and lets go of everybody who waits."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import httpx

from holdgate.scheduler.cli.http import serving
from holdgate.scheduler.lifecycle import Runtime
from holdgate.scheduler.up.children import free_port
from support.api import ApiWorld

TURNS = 100
"""Of the loop: what waits for nobody has ended after these."""


async def accepted(api: ApiWorld) -> str:
    """The id of a new job."""
    return str((await api.submit()).json()["job_id"])


async def test_it_says_that_it_ends_and_answers_all_the_same(api: ApiWorld) -> None:
    """A load balancer has to notice before the listener closes."""
    assert (await api.client().get("/readyz")).status_code == 200
    api.runtime.leave()
    reply = await api.client().get("/readyz")
    assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (503, "draining", "1")
    assert (await api.client().get("/healthz")).status_code == 200
    assert (await api.submit()).status_code == 202


async def test_each_of_its_replies_closes_its_connection(api: ApiWorld) -> None:
    """One that stayed open would be cut when the process ends, perhaps with a request on it."""
    client = api.client()
    assert "connection" not in (await client.get("/healthz")).headers
    api.runtime.leave()
    for reply in (await client.get("/healthz"), await client.get("/nothing"), await api.submit()):
        assert reply.headers["connection"] == "close"


async def test_who_waits_is_told_how_it_is_at_once(api: ApiWorld, eventually: Any) -> None:
    """And asks again, elsewhere."""
    job_id = await accepted(api)
    waiting = asyncio.ensure_future(api.client().get(f"/api/v1/jobs/{job_id}?wait=60s"))
    await eventually(lambda: api.deps.events.waiting == 1)
    started_s = time.monotonic()
    api.runtime.leave()
    assert (await waiting).json()["state"] == "accepted"
    assert (await api.client().get(f"/api/v1/jobs/{job_id}?wait=60s")).json()["state"] == "accepted"
    assert time.monotonic() - started_s < 10


async def test_streams_end_with_a_hint_to_come_again(api: ApiWorld, eventually: Any) -> None:
    """Of one job, and of all that are held."""
    job_id = await accepted(api)

    async def told(path: str, who: str) -> str:
        async with api.client(who).stream("GET", path, timeout=httpx.Timeout(20)) as reply:
            return (await reply.aread()).decode()

    streams = [
        asyncio.ensure_future(told(f"/api/v1/jobs/{job_id}/events", "agent")),
        asyncio.ensure_future(told("/api/v1/approvals/events", "approver")),
    ]
    await eventually(lambda: api.deps.events.waiting == 2)
    api.runtime.leave()
    for text in await asyncio.gather(*streams):
        assert text.endswith("retry: 500\n\n")


async def test_a_request_under_way_is_answered_and_nobody_else_is_waited_for(api: ApiWorld) -> None:
    """Whoever only keeps a connection is let go at once."""
    asked, may_answer, port = asyncio.Event(), asyncio.Event(), free_port()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await may_answer.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    settings = api.settings.model_copy(update={"api_listen": f"127.0.0.1:{port}"})
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(serving(slow, settings, Runtime("api"), on_leave=lambda: None))
        (idle, other), (reader, writer) = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asked.wait()
        ending = asyncio.ensure_future(stack.aclose())
        assert await idle.read() == b""
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert not ending.done()
        may_answer.set()
        assert b" 204 " in await reader.readline()
        await ending
    for each in (other, writer):
        each.close()
