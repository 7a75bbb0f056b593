"""Which tenants may have ready jobs in which pool, and which asks wait for one. In memory, and only a hint.

What always holds: a tenant that is marked while somebody finds it dry stays marked (each mark has a number); one mark
wakes one waiting ask, and whoever finds more than it can take wakes the next: no herd, and no ask is forgotten. What is
missed here is found by the scan.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Mapping


class ReadyBoard:
    """Marks and waiters of all pools of one dispatcher."""

    def __init__(self) -> None:
        self._marks: dict[str, dict[str, int]] = {}
        self._number = 0
        self._waiters: dict[str, deque[asyncio.Future[None]]] = {}

    def mark(self, pool: str, tenant: str) -> None:
        """`tenant` has, or may have, a ready job in `pool`."""
        self._number += 1
        self._marks.setdefault(pool, {})[tenant] = self._number
        self.wake_next(pool)

    def marked(self, pool: str) -> Mapping[str, int]:
        """Tenants that may have ready jobs, with the number of their mark."""
        return dict(self._marks.get(pool, ()))

    def dry(self, pool: str, tenant: str, number: int) -> None:
        """Nothing was there for a reader of mark `number`; a later mark stands."""
        tenants = self._marks.get(pool, {})
        if tenants.get(tenant) == number:
            del tenants[tenant]

    def has_ready(self, pool: str) -> bool:
        """Whether any tenant is marked."""
        return bool(self._marks.get(pool))

    @property
    def asked(self) -> frozenset[str]:
        """Pools for which somebody waited."""
        return frozenset(self._waiters)

    @property
    def number(self) -> int:
        """Of the last mark."""
        return self._number

    def keep_only(self, pools: Collection[str], number: int) -> None:
        """Forget marks up to `number` of pools that are not among these: nobody had a job there then."""
        for pool in [pool for pool in self._marks if pool not in pools]:
            if max(self._marks[pool].values(), default=0) <= number:
                del self._marks[pool]

    @property
    def waiting(self) -> int:
        """Asks that wait."""
        return sum(map(len, self._waiters.values()))

    def wake_next(self, pool: str) -> None:
        """Let the ask that waits longest look again."""
        queue = self._waiters.get(pool)
        while queue:
            waiter = queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def wait(self, pool: str, timeout_s: float) -> None:
        """Return at a wake or after `timeout_s`. A wake that comes with the time-out or a cancellation is passed on."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiters.setdefault(pool, deque())
        queue.append(waiter)
        try:
            await asyncio.wait({waiter}, timeout=timeout_s)
        except asyncio.CancelledError:
            if waiter.done():
                self.wake_next(pool)
            raise
        finally:
            if not waiter.done():
                waiter.cancel()
                queue.remove(waiter)
