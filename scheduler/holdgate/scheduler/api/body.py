"""The bytes of a request, bounded in size and time, then strict JSON.

What always holds: nothing over the limit is kept, whatever `Content-Length` says; a body that dribbles ends in 408, a
large one that pauses soon, for it takes up room that others need; no part of a body is in a message or a log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from holdgate.kernel.canonical import Json, parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.scheduler.api.admit import BODY_STEP_BYTES, SMALL_BODY_BYTES
from holdgate.scheduler.api.problems import Problem

STEP_S = 2.0
"""For each `BODY_STEP_BYTES` of a body that takes up room."""
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Disconnected(Exception):
    """the client went away before its request was whole"""


async def read_body(
    receive: Receive, grow: Callable[[int], None], *, bytes_max: int, timeout_s: float, step_s: float = STEP_S
) -> bytes:
    """The whole body; Problem `body_too_large` or `body_timeout`, Disconnected when the client left. `grow` is told how
    many bytes there are, before they are kept on, and may refuse them."""
    message = await _next(receive, timeout_s)
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        _check_size(len(body), bytes_max)
        grow(len(body))
        return body
    try:
        async with asyncio.timeout(timeout_s) as limit:
            return await _read_rest(receive, grow, body, bytes_max, _Pace(limit, step_s))
    except TimeoutError as error:
        raise Problem("body_timeout") from error


class _Pace:
    """Brings the time limit of a body forward while it takes up room and does not come on."""

    def __init__(self, limit: asyncio.Timeout, step_s: float) -> None:
        self._limit = limit
        self._end = limit.when() or 0.0
        self._step_s = step_s
        self._next = SMALL_BODY_BYTES

    def came(self, size: int) -> None:
        """The body has `size` bytes by now."""
        if size > self._next:
            self._next = size + BODY_STEP_BYTES
            self._limit.reschedule(min(self._end, asyncio.get_running_loop().time() + self._step_s))


async def _read_rest(receive: Receive, grow: Callable[[int], None], first: bytes, bytes_max: int, pace: _Pace) -> bytes:
    chunks, size = [first], len(first)
    _check_size(size, bytes_max)
    grow(size)
    pace.came(size)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        _check_size(size, bytes_max)
        grow(size)
        pace.came(size)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _next(receive: Receive, timeout_s: float) -> MutableMapping[str, Any]:
    try:
        async with asyncio.timeout(timeout_s):
            message = await receive()
    except TimeoutError as error:
        raise Problem("body_timeout") from error
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message


def check_declared(headers: list[tuple[bytes, bytes]], *, bytes_max: int, needs_json: bool) -> None:
    """Refuse by the headers alone what would be refused by the bytes: saves reading it."""
    content_type: bytes | None = None
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            _check_size(int(value) if len(value) < 19 else bytes_max + 1, bytes_max)
        elif name == b"content-type":
            content_type = value
    if needs_json and content_type != b"application/json" and not _is_json(content_type):
        raise Problem("unsupported_media_type", "send `Content-Type: application/json`")


def declared_size(headers: list[tuple[bytes, bytes]], bytes_max: int) -> int:
    """What a body takes up by what its headers declare; 0 where they declare nothing."""
    for name, value in headers:
        if name == b"content-length":
            return min(int(value), bytes_max) if value.isdigit() and len(value) < 19 else bytes_max
    return 0


def parse_body(body: bytes) -> Json:
    """The JSON of a body; Problem `malformed_json` says where, without quoting it."""
    try:
        return parse_json(body)
    except MalformedJson as error:
        raise Problem("malformed_json", str(error)) from error


def _is_json(content_type: bytes | None) -> bool:
    kind, _, parameters = (content_type or b"").partition(b";")
    charset = parameters.strip().lower().replace(b'"', b"")
    return kind.strip().lower() == b"application/json" and charset in {b"", b"charset=utf-8"}


def _check_size(size: int, bytes_max: int) -> None:
    if size > bytes_max:
        raise Problem("body_too_large", f"the body is over {bytes_max} bytes")
