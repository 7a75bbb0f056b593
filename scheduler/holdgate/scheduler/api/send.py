"""Replies onto the wire."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from holdgate.scheduler.api.calls import Reply, Stream

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def send_reply(send: Send, reply: Reply) -> None:
    """Send `reply`, whole or as a stream."""
    if reply.stream is not None:
        await _send_stream(send, reply, reply.stream)
        return
    headers = [*reply.headers, (b"content-length", str(len(reply.body)).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def _send_stream(send: Send, reply: Reply, stream: Stream) -> None:
    async def write(chunk: bytes) -> None:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})

    await send({"type": "http.response.start", "status": reply.status, "headers": list(reply.headers)})
    await stream(write)
    await send({"type": "http.response.body", "body": b""})
