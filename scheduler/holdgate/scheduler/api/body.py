"""The bytes of a request, bounded in size and time, then strict JSON.

What always holds: nothing over the limit is kept, whatever `Content-Length` says; a body that dribbles ends in 408; no
part of a body is in a message or a log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from holdgate.kernel.canonical import Json, parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.scheduler.api.problems import Problem

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Disconnected(Exception):
    """the client went away before its request was whole"""


async def read_body(receive: Receive, *, bytes_max: int, timeout_s: float) -> bytes:
    """The whole body; Problem `body_too_large` or `body_timeout`, Disconnected when the client left."""
    message = await _next(receive, timeout_s)
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        _check_size(len(body), bytes_max)
        return body
    try:
        async with asyncio.timeout(timeout_s):
            return await _read_rest(receive, body, bytes_max)
    except TimeoutError as error:
        raise Problem("body_timeout") from error


async def _read_rest(receive: Receive, first: bytes, bytes_max: int) -> bytes:
    chunks, size = [first], len(first)
    _check_size(size, bytes_max)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        _check_size(size, bytes_max)
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


def size_to_hold(headers: list[tuple[bytes, bytes]], bytes_max: int) -> int:
    """What a body may take up, by its headers: what they declare, or all that it may have; 0 where there is none."""
    for name, value in headers:
        if name == b"content-length":
            return min(int(value), bytes_max) if value.isdigit() and len(value) < 19 else bytes_max
        if name == b"transfer-encoding":
            return bytes_max
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
