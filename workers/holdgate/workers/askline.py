"""Asks for work over NATS, with replies that count even when they come late.

A reply carries leased jobs. When this process was stopped for a while, or its loop was blocked, the reply is there but
the time to wait for it is over: to drop it would leave its jobs lying until their leases end. So replies arrive on one
subscription, and one that nobody waits for any more goes to `on_late`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import nats.errors
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

NO_RESPONDERS = "503"


class AskLine:
    """Requests on one subject."""

    def __init__(self, nc: Nats, subject: str, on_late: Callable[[Msg], None]) -> None:
        self._nc = nc
        self._subject = subject
        self._on_late = on_late
        self._inbox = nc.new_inbox()
        self._asked = 0
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Listen for replies."""
        self._subscription = await self._nc.subscribe(f"{self._inbox}.*", cb=self._on_reply)

    async def stop(self) -> None:
        """Listen no more; idempotent."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None and not self._nc.is_closed:
            await subscription.unsubscribe()

    async def ask(self, message: bytes, timeout_s: float) -> Msg:
        """The reply. NoRespondersError when nobody listens, nats TimeoutError when none came in time."""
        self._asked += 1
        number = str(self._asked)
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._nc.publish(self._subject, message, reply=f"{self._inbox}.{number}")
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError as error:
            raise nats.errors.TimeoutError from error
        finally:
            self._waiting.pop(number, None)

    async def _on_reply(self, message: Msg) -> None:
        future = self._waiting.get(message.subject.rpartition(".")[2])
        nobody = (message.headers or {}).get("Status") == NO_RESPONDERS
        if future is not None and not future.done():
            if nobody:
                future.set_exception(nats.errors.NoRespondersError())
            else:
                future.set_result(message)
        elif not nobody:
            self._on_late(message)
