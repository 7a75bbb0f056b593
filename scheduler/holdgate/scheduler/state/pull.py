"""Reading a durable JetStream consumer in batches over one subscription.

One request for messages is open at a time; what it brings while a batch is worked on is the next batch. The library's
own `fetch` is not used: it drops messages that it holds when the server then refuses its next request (a heartbeat
without an expiry), and they come again only after the acknowledgement time is over. What always holds: a message that
arrived is returned; a reader that hears not even the server's heartbeats asks anew.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque

import nats.errors
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from holdgate.kernel.draining import drain
from holdgate.scheduler.errors import LogUnavailable

BATCH = 256
WAIT_S = 2.0
EXPIRES_S = 20.0
"""How long one request stays open at the server."""
HEARTBEAT_S = 1.0
SILENT_S = 2.5 * HEARTBEAT_S
STATUS = "Status"
DESCRIPTION = "Description"
HEARTBEAT = "100"
ENDED = frozenset({"404", "408", "409"})
"""The request is over: nothing there, expired, or the server has a reason of its own. The next one may go well."""
GONE = ("Consumer Deleted", "Consumer is push based")


class PullReader:
    """Batches of `consumer` of `stream`. Call `fetch` from one task only.

    `bytes_max`: of the messages of one request, with all that goes with them; more than any single one has, or the
    server never gives that one.
    """

    def __init__(
        self,
        nc: Nats,
        stream: str,
        consumer: str,
        *,
        batch: int = BATCH,
        wait_s: float = WAIT_S,
        bytes_max: int | None = None,
    ) -> None:
        self._nc = nc
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._consumer = consumer
        self._batch = batch
        self._wait_s = wait_s
        self._bytes_max = bytes_max
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._arrived: deque[Msg] = deque()
        self._something = asyncio.Event()
        self._wanted = 0
        self._heard_s = 0.0
        self._failure: str | None = None
        self._closes = 0

    async def fetch(self) -> list[Msg]:
        """At least one message as soon as there is one, at most `batch`; [] after `wait_s` without. LogUnavailable.

        [] at once when the reader closes.
        """
        deadline_s, closes = time.monotonic() + self._wait_s, self._closes
        while not self._arrived and closes == self._closes:
            await self._ask()
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                return []
            self._something.clear()
            try:
                async with asyncio.timeout(min(remaining_s, HEARTBEAT_S)):
                    await self._something.wait()
            except TimeoutError:
                continue
        if closes != self._closes:
            return []
        return [self._arrived.popleft() for _ in range(min(self._batch, len(self._arrived)))]

    def arrived(self) -> tuple[Msg, ...]:
        """What the next `fetch` gives."""
        return tuple(self._arrived)

    async def close(self) -> None:
        """End the `fetch` under way; what came, or was on its way, goes back at once for another reader. Idempotent."""
        self._closes += 1
        self._something.set()
        subscription = self._subscription
        if subscription is not None:
            await drain(subscription)
            self._subscription = None
        try:
            while self._arrived:
                await self._arrived.popleft().nak()
        except nats.errors.Error:
            self._arrived.clear()  # the connection is gone: they come again by themselves

    async def unbind(self) -> None:
        """Let go of the subscription; what it held comes again at once. The next `fetch` binds anew. Idempotent."""
        subscription, self._subscription = self._subscription, None
        self._wanted = 0
        if subscription is None:
            return
        try:
            await subscription.unsubscribe()
            while self._arrived:
                await self._arrived.popleft().nak()
        except nats.errors.Error:
            self._arrived.clear()  # the connection is gone, and the subscription with it

    async def _ask(self) -> None:
        """Have one request open at the server."""
        failure, self._failure = self._failure, None
        if failure is not None:
            await self.unbind()
            raise LogUnavailable(f"consumer `{self._consumer}` cannot be read: {failure}")
        now_s = time.monotonic()
        if self._wanted > 0 and now_s - self._heard_s < SILENT_S:
            return
        try:
            if self._wanted > 0:
                await self.unbind()  # silent: what was asked is lost with the connection that carried it
            if self._subscription is None:
                self._inbox = self._nc.new_inbox()
                self._subscription = await self._nc.subscribe(self._inbox, cb=self._take)
            request = {"batch": self._batch, "expires": _ns(EXPIRES_S), "idle_heartbeat": _ns(HEARTBEAT_S)}
            if self._bytes_max is not None:
                request["max_bytes"] = self._bytes_max
            self._wanted, self._heard_s = self._batch, now_s
            body = json.dumps(request).encode()  # noqa: TID251  JetStream's own protocol
            await self._nc.publish(self._next, body, reply=self._inbox)
        except nats.errors.Error as error:
            await self.unbind()
            raise LogUnavailable(f"consumer `{self._consumer}` cannot be read: {type(error).__name__}") from error

    async def _take(self, message: Msg) -> None:
        if self._subscription is None:
            return
        self._heard_s = time.monotonic()
        status = None if message.reply.startswith("$JS.ACK.") else (message.headers or {}).get(STATUS)
        if status == HEARTBEAT:
            return
        if status is None:
            self._wanted -= 1
            self._arrived.append(message)
        else:
            self._wanted = 0
            description = (message.headers or {}).get(DESCRIPTION, "")
            if status not in ENDED or description in GONE:
                # Its first line: of an answer that nobody gave, the client takes the next header for more of it.
                self._failure = f"{status} {description}".splitlines()[0].strip()
        self._something.set()


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
