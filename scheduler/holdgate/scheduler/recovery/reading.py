"""Reads a stream from its beginning, message by message and a bounded number at once.

Without a consumer: who may make one may have the server send to any subject. What always holds: messages come in the
order of the stream; those that are gone are left out.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import nats.errors
import nats.js.errors
from nats.aio.client import Client as Nats

from holdgate.scheduler.errors import LogUnavailable

Answer = TypeVar("Answer")
Pause = Callable[[float], Awaitable[None]]
Wait = Callable[[LogUnavailable], Awaitable[None]]

AT_ONCE = 64
"""Messages asked for together: what lies in memory of a stream at any time."""
TIMEOUT_S = 10.0
NOT_FOUND = 10037
"""JetStream's code for a message that is not there, also where it is past its age."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it lies in a stream. `at_ms`: when it came there."""

    seq: int
    subject: str
    data: bytes
    headers: Mapping[str, str]
    at_ms: int


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a stream goes. `created` tells a stream from another one of its name."""

    created: str
    first: int
    last: int
    max_age_s: float

    @property
    def size(self) -> int:
        """Places between its first and its last message."""
        return max(0, self.last - self.first + 1)


async def extent_of(nc: Nats, stream: str) -> Extent:
    """The stream as it is now. LogUnavailable, also where it is not there: an operator makes it."""
    answer = await _ask(nc, f"$JS.API.STREAM.INFO.{stream}", {})
    if "error" in answer:
        raise LogUnavailable(f"the stream `{stream}` is not there; `holdgate setup` makes it")
    state, config = answer["state"], answer["config"]
    return Extent(
        created=str(answer.get("created", "")),
        first=int(state["first_seq"]),
        last=int(state["last_seq"]),
        max_age_s=int(config.get("max_age") or 0) / 1e9,
    )


async def subjects_of(nc: Nats, stream: str) -> list[str]:
    """Every subject that has a message in it. LogUnavailable."""
    answer = await _ask(nc, f"$JS.API.STREAM.INFO.{stream}", {"subjects_filter": ">"})
    if "error" in answer:
        raise LogUnavailable(f"the stream `{stream}` is not there; `holdgate setup` makes it")
    return sorted(answer["state"].get("subjects") or {})


async def get_message(nc: Nats, stream: str, seq: int) -> Message | None:
    """The message at that place; None where it is gone. LogUnavailable."""
    return _message(await _ask(nc, f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": seq}))


async def last_message(nc: Nats, stream: str, subject: str) -> Message | None:
    """The newest of `subject`. LogUnavailable."""
    return _message(await _ask(nc, f"$JS.API.STREAM.MSG.GET.{stream}", {"last_by_subj": subject}))


async def first_place(nc: Nats, stream: str, subject: str) -> int | None:
    """Where the oldest of `subject` is; None where there is none. LogUnavailable."""
    asked = {"seq": 1, "next_by_subj": subject}
    found = _message(await _ask(nc, f"$JS.API.STREAM.MSG.GET.{stream}", asked))
    return None if found is None else found.seq


async def patiently(ask: Callable[[], Awaitable[Answer]], wait: Wait) -> Answer:
    """What the log answers, once it does. What `wait` raises, who hears each time why it did not."""
    while True:
        try:
            return await ask()
        except LogUnavailable as error:
            await wait(error)


async def read_stream(nc: Nats, stream: str, extent: Extent, pause: Pause, wait: Wait) -> AsyncIterator[list[Message]]:
    """All from its first message to the last there was when `extent` was taken.

    `pause`: awaited after each page, with the seconds that it took, and what was done with it; `wait`: where the log
    does not answer, before the page is asked for again. That it still is the same stream then, the caller looks.
    """
    for first in range(max(1, extent.first), extent.last + 1, AT_ONCE):
        began_s = time.monotonic()
        seqs = range(first, min(first + AT_ONCE, extent.last + 1))
        yield await patiently(partial(_page, nc, stream, seqs), wait)
        await pause(time.monotonic() - began_s)


async def _page(nc: Nats, stream: str, seqs: range) -> list[Message]:
    found = await asyncio.gather(*(get_message(nc, stream, seq) for seq in seqs))
    return [message for message in found if message is not None]


async def _ask(nc: Nats, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    request = json.dumps(body).encode() if body else b""  # noqa: TID251  JetStream's own protocol
    try:
        reply = await nc.request(subject, request, timeout=TIMEOUT_S)
        answer = json.loads(reply.data)
    except (nats.errors.Error, TimeoutError, OSError, ValueError) as error:
        raise LogUnavailable(f"the log cannot be read: {type(error).__name__}") from error
    if not isinstance(answer, dict):
        raise LogUnavailable("the log cannot be read: not an answer of JetStream")
    return answer


def _message(answer: dict[str, Any]) -> Message | None:
    if "error" in answer:
        if answer["error"].get("err_code") == NOT_FOUND:
            return None
        raise LogUnavailable(f"the log cannot be read: JetStream error {answer['error'].get('err_code')}")
    found = answer["message"]
    return Message(
        seq=int(found["seq"]),
        subject=str(found["subject"]),
        data=base64.b64decode(found.get("data") or ""),
        headers=_headers(base64.b64decode(found.get("hdrs") or "")),
        at_ms=_time_ms(str(found["time"])),
    )


def _headers(raw: bytes) -> dict[str, str]:
    lines = raw.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _time_ms(text: str) -> int:
    """Milliseconds of RFC 3339 with up to nine digits of a second."""
    whole, _, rest = text.rstrip("Z").partition(".")
    moment = datetime.fromisoformat(f"{whole}+00:00")
    return int(moment.timestamp()) * 1000 + int((rest + "000")[:3])
