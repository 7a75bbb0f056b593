"""Events of the API, passed on to a page for as long as the person is signed in.

What always holds: a stream of a session that ended sends nothing more than a look every few seconds lets through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from holdgate.scheduler.api.body import Disconnected
from holdgate.scheduler.api.inside import InsideCalls
from holdgate.scheduler.identity.principals import Principal

LOOK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Watched:
    """What is asked for, and whether the person is still signed in."""

    path: str
    query: Mapping[str, str]
    is_signed_in: Callable[[], Awaitable[bool]]


class EventsOn(Response):
    """Passes the events of a call on. The API says that it is still there every few seconds, so a look is never far."""

    def __init__(self, calls: InsideCalls, principal: Principal, watched: Watched) -> None:
        super().__init__()
        self._calls = calls
        self._principal = principal
        self._watched = watched
        self._looked_s: float | None = None

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the call, the person or the session leaves."""

        async def passed_on(message: MutableMapping[str, Any]) -> None:
            if not await self._may_go_on():
                await send({"type": "http.response.body", "body": b""})
                raise Disconnected
            await send(message)

        await self._calls.stream(self._principal, self._watched.path, self._watched.query, receive, passed_on)

    async def _may_go_on(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        if self._looked_s is None:  # the request itself was let in just now
            self._looked_s = now_s
        if now_s - self._looked_s < LOOK_EVERY_S:
            return True
        self._looked_s = now_s
        return await self._watched.is_signed_in()
