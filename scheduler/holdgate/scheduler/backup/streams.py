"""The log in a backup: streams of JetStream as the server itself copies them, their consumers too, and back.

The server's own copy keeps sequences, times and how far each consumer is, so that nothing is read a second time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from holdgate.bundles.buckets import stream_of
from holdgate.kernel import subjects
from holdgate.scheduler.errors import BackupBroken, LogUnavailable, TargetNotEmpty

STREAMS: tuple[str, ...] = (
    subjects.STREAM_RESULTS,
    subjects.STREAM_ENDED,
    subjects.STREAM_JOBS,
    f"OBJ_{subjects.BUCKET_PAYLOADS}",
    stream_of(subjects.BUCKET_POLICY),
    stream_of(subjects.BUCKET_SHADOW),
    stream_of(subjects.BUCKET_STAMP),
)
"""In the order in which they are copied: see `run`."""
CHUNK_BYTES = 128 * 1024
SILENT_S = 30.0
REQUEST_S = 10.0


async def snapshot(nc: Nats, stream: str, add: Callable[[bytes], None]) -> dict[str, Any] | None:
    """Give `add` the copy of `stream`; its configuration and state, or None where there is no such stream.

    LogUnavailable where JetStream does not give it to its end.
    """
    inbox, chunks = nc.new_inbox(), asyncio.Queue[Msg]()
    subscription = await nc.subscribe(inbox, cb=chunks.put)
    try:
        request = {"deliver_subject": inbox, "chunk_size": CHUNK_BYTES}
        head = await _asked(nc, f"$JS.API.STREAM.SNAPSHOT.{stream}", request)
        if head is None:
            return None
        while True:
            async with asyncio.timeout(SILENT_S):
                chunk = await chunks.get()
            if not chunk.data:
                status = (chunk.headers or {}).get("Status", "204")
                if status not in ("204", "200"):
                    raise LogUnavailable(f"the copy of `{stream}` ended with {status}")
                return head
            add(chunk.data)
            if chunk.reply:
                await nc.publish(chunk.reply)
    except TimeoutError as error:
        raise LogUnavailable(f"the copy of `{stream}` stopped half way") from error
    finally:
        await subscription.unsubscribe()


async def require_absent(nc: Nats) -> None:
    """TargetNotEmpty where one of STREAMS exists."""
    for stream in STREAMS:
        if await _asked(nc, f"$JS.API.STREAM.INFO.{stream}", {}) is not None:
            raise TargetNotEmpty(f"NATS has a stream `{stream}` already")


async def restore(
    nc: Nats, stream: str, head: dict[str, Any], chunks: AsyncIterator[bytes], *, replicas: int | None = None
) -> None:
    """Make `stream` of what `snapshot` gave; `replicas`: on so many servers instead of as many as it was on."""
    config = dict(head["config"])
    if replicas is not None:
        config["num_replicas"] = replicas
    begun = await _asked(nc, f"$JS.API.STREAM.RESTORE.{stream}", {"config": config, "state": head["state"]})
    if begun is None:
        raise LogUnavailable(f"`{stream}` cannot be restored")
    subject = str(begun["deliver_subject"])
    async for data in chunks:
        for start in range(0, len(data), CHUNK_BYTES):
            await _sent(nc, stream, subject, data[start : start + CHUNK_BYTES])
    await _sent(nc, stream, subject, b"")


async def _sent(nc: Nats, stream: str, subject: str, chunk: bytes) -> None:
    try:
        reply = await nc.request(subject, chunk, timeout=SILENT_S)
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise LogUnavailable(f"`{stream}` is not restored to its end: {type(error).__name__}") from error
    _told(stream, reply)


async def _asked(nc: Nats, subject: str, request: dict[str, Any]) -> dict[str, Any] | None:
    """JetStream's answer; None where there is no such stream."""
    body = json.dumps(request).encode()  # noqa: TID251  JetStream's own protocol
    try:
        reply = await nc.request(subject, body, timeout=REQUEST_S)
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise LogUnavailable(f"JetStream does not answer: {type(error).__name__}") from error
    return _told(subject.rpartition(".")[2], reply)


def _told(stream: str, reply: Msg) -> dict[str, Any] | None:
    if not reply.data:
        return {}
    try:
        answer = json.loads(reply.data)
    except ValueError as error:
        raise LogUnavailable("JetStream answers something that is no answer") from error
    if not isinstance(answer, dict):
        raise LogUnavailable("JetStream answers something that is no answer")
    failure = answer.get("error")
    if failure is None:
        return answer
    if failure.get("code") == 404:
        return None
    raise BackupBroken(f"`{stream}`: {str(failure.get('description', failure))[:200]}")
