"""The subjects on which the kernels of a system share what is asked: one replica's place among them.

What always holds: who stands aside is sent nothing more, so that others get all of it, and where there is none the
server says so at once; what came before that still gets its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from nats.aio.client import Client as Nats
from nats.aio.subscription import Subscription

from holdgate.kernel.draining import drain

JOIN_S = 5.0


class QueueGroup:
    """Membership in the queue group on each of `subjects`. Join and leave are idempotent; not for two tasks at once."""

    def __init__(self, nc: Nats, subjects: Sequence[str], subscribe: Callable[[str], Awaitable[Subscription]]) -> None:
        self._nc = nc
        self._subjects = tuple(subjects)
        self._subscribe = subscribe
        self._held: dict[str, Subscription] = {}

    @property
    def is_member(self) -> bool:
        """Whether what is asked comes here."""
        return bool(self._held)

    async def join(self) -> None:
        """Get a share of what is asked."""
        missing = [subject for subject in self._subjects if subject not in self._held]
        for subject in missing:
            self._held[subject] = await self._subscribe(subject)
        if missing:
            # The server knows of a subscription only once it read it: before that, a request finds nobody to answer.
            await self._nc.flush(timeout=JOIN_S)  # type: ignore[arg-type]  # nats-py annotates a whole number

    async def leave(self) -> None:
        """Leave what is asked from now on to the others; returns when what came is answered."""
        held, self._held = self._held, {}
        await asyncio.gather(*(drain(subscription) for subscription in held.values()))
