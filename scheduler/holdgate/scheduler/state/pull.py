"""Reading a durable JetStream consumer in batches: one fetch loop a subscription, bound again when it goes silent.

A pull subscription can stay silent for good after a server restart (nats-py issue 504): the server's heartbeats are
asked for, and a fetch in which not even one came is answered by binding anew.
"""

from __future__ import annotations

import nats.errors
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, FetchTimeoutError

from holdgate.scheduler.errors import LogUnavailable

BATCH = 256
WAIT_S = 2.0
HEARTBEAT_S = 0.5


class PullReader:
    """Batches of `consumer` of `stream`. Call `fetch` from one task only."""

    def __init__(self, nc: Nats, stream: str, consumer: str, *, batch: int = BATCH, wait_s: float = WAIT_S) -> None:
        self._nc = nc
        self._stream = stream
        self._consumer = consumer
        self._batch = batch
        self._wait_s = wait_s
        self._subscription: JetStreamContext.PullSubscription | None = None

    async def fetch(self) -> list[Msg]:
        """At least one message as soon as there is one, at most `batch`; [] after `wait_s` without. LogUnavailable."""
        try:
            subscription = await self._bound()
            return await subscription.fetch(
                self._batch, timeout=self._wait_s, heartbeat=min(HEARTBEAT_S, self._wait_s / 4)
            )
        except FetchTimeoutError:
            return []
        except TimeoutError:
            await self.unbind()
            return []
        except (nats.errors.Error, APIError) as error:
            await self.unbind()
            raise LogUnavailable(f"consumer `{self._consumer}` cannot be read: {type(error).__name__}") from error

    async def unbind(self) -> None:
        """Let go of the subscription; the next `fetch` binds anew. Idempotent."""
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        try:
            await subscription.unsubscribe()
        except nats.errors.Error:
            return  # the connection is gone, and the subscription with it

    async def _bound(self) -> JetStreamContext.PullSubscription:
        if self._subscription is None:
            self._subscription = await self._nc.jetstream().pull_subscribe_bind(self._consumer, self._stream)
        return self._subscription
