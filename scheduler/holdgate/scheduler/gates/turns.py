"""Turns at work that takes long, such as scans of large texts, over tenants.

What always holds: while one waits whose tenant may have another turn, no turn is free; of tenants that wait, each has a
turn before any has a second one, so whoever sends much waits behind itself and not others behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from typing import TypeAlias

from holdgate.kernel.ids import Tenant

_Waiting: TypeAlias = asyncio.Future[None]


class FairTurns:
    """`turns` at once, `each` of one tenant at most."""

    def __init__(self, turns: int, *, each: int | None = None) -> None:
        self._free = turns
        self._each = turns if each is None else max(1, each)
        self._taken: Counter[Tenant] = Counter()
        self._waiting: OrderedDict[Tenant, deque[_Waiting]] = OrderedDict()

    @contextlib.asynccontextmanager
    async def turn(self, tenant: Tenant) -> AsyncIterator[None]:
        """Wait for a turn of `tenant`; it ends with the block."""
        await self.take(tenant)
        try:
            yield
        finally:
            self.give_back(tenant)

    def waiting(self, tenant: Tenant) -> int:
        """How many of `tenant` wait."""
        return len(self._waiting.get(tenant, ()))

    async def take(self, tenant: Tenant) -> None:
        """Wait for a turn, to be given back."""
        mine: _Waiting = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(mine)
        self._hand_out()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.give_back(tenant)
            else:
                self._leave(tenant, mine)
            raise

    def give_back(self, tenant: Tenant) -> None:
        """A turn of `tenant` is over."""
        self._free += 1
        self._taken[tenant] -= 1
        if not self._taken[tenant]:
            del self._taken[tenant]
        self._hand_out()

    def _hand_out(self) -> None:
        while self._free and (tenant := self._next()) is not None:
            self._free -= 1
            self._taken[tenant] += 1
            mine = self._waiting[tenant][0]
            self._leave(tenant, mine)
            if tenant in self._waiting:
                self._waiting.move_to_end(tenant)
            mine.set_result(None)

    def _next(self) -> Tenant | None:
        return next((tenant for tenant in self._waiting if self._taken[tenant] < self._each), None)

    def _leave(self, tenant: Tenant, mine: _Waiting) -> None:
        self._waiting[tenant].remove(mine)
        if not self._waiting[tenant]:
            del self._waiting[tenant]
