"""Calls of the API from within the process, by somebody whose identity is already known: what the console does.

What always holds: a call made here goes through the same endpoint as one over HTTP — the same roles, limits, schemas
and problems; only the question who calls is answered already. The answer travels in the ASGI scope, under a key that
a server never sets from what a client sends, so that no header, path or body can claim it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pydantic_core import to_json

from holdgate.scheduler.api.body import Receive
from holdgate.scheduler.api.send import Send
from holdgate.scheduler.identity.principals import Principal

INSIDE = "holdgate.inside"
"""The key of the scope. Servers fill a scope with keys of their own choosing; headers are one value in it."""
AsgiApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class InsideReply:
    """What a call gave."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def principal_inside(scope: Mapping[str, Any]) -> Principal | None:
    """Who calls, when the call was made here; None for one that came over HTTP."""
    found = scope.get(INSIDE)
    return found if isinstance(found, Principal) else None


class InsideCalls:
    """The API `app`, called without HTTP."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def call(
        self,
        principal: Principal,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> InsideReply:
        """The reply of one call; `path` is whole and not percent-encoded, such as `/api/v1/jobs`."""
        gathered = _Gathered()
        sent = b"" if body is None else to_json(body)
        scope = _scope(principal, method, path, query or {}, has_body=body is not None)
        await self._app(scope, _receive_once(sent), gathered)
        return gathered.reply()

    async def stream(
        self, principal: Principal, path: str, query: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        """Send the reply of a GET on as it comes; `receive` tells when the client has left."""
        await self._app(_scope(principal, "GET", path, query, has_body=False), receive, send)


class _Gathered:
    """Collects one reply."""

    def __init__(self) -> None:
        self._status = 500
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = {str(name, "latin-1"): str(value, "latin-1") for name, value in message["headers"]}
        else:
            self._parts.append(message.get("body", b""))

    def reply(self) -> InsideReply:
        return InsideReply(self._status, self._headers, b"".join(self._parts))


def _scope(
    principal: Principal, method: str, path: str, query: Mapping[str, str], *, has_body: bool
) -> MutableMapping[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": urlencode(query).encode("ascii"),
        "headers": [(b"content-type", b"application/json")] if has_body else [],
        "root_path": "",
        INSIDE: principal,
    }


def _receive_once(body: bytes) -> Receive:
    """The body, and then nothing: the caller waits for the reply and never leaves before it."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> MutableMapping[str, Any]:
        for message in messages:
            return message
        await asyncio.Event().wait()
        raise AssertionError("unreachable: nobody sets the event")

    return receive
