"""How a process leaves a subject: it hears no more, and does what it was sent.

What always holds: the server is asked first, so that members of a queue group that stay get all that comes from then
on; every message that was on its way has reached its callback when `drain` returns, unless the connection is gone.
"""

from __future__ import annotations

import asyncio

import structlog
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

log = structlog.get_logger("holdgate.kernel")

DRAIN_S = 2.0


async def drain(subscription: Subscription, timeout_s: float = DRAIN_S) -> None:
    """Hear no more on `subscription` once what came is done; what takes longer than `timeout_s` is given up."""
    try:
        async with asyncio.timeout(timeout_s):
            await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py is half typed
    except (NatsError, TimeoutError) as error:
        log.warning("a subscription did not drain", action="drain", error=type(error).__name__)
