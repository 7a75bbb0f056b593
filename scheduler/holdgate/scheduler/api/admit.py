"""How many requests, and bytes of bodies, may be under way, in all and of one tenant: none crowds out the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdgate.scheduler.api.problems import Problem


class InFlight:
    """Counts requests; over a limit the answer is a problem at once, never a queue that grows."""

    def __init__(self, *, total_max: int, tenant_max: int, code: str) -> None:
        self._total_max = total_max
        self._tenant_max = tenant_max
        self._code = code
        self._by_tenant: dict[str, int] = {}
        self.total = 0

    @contextmanager
    def hold(self, tenant: str) -> Iterator[None]:
        """Count one request of `tenant` until the block ends; Problem when there is no room."""
        self.enter(tenant)
        try:
            yield
        finally:
            self.leave(tenant)

    def enter(self, tenant: str) -> None:
        """Take a place; Problem when there is none."""
        held = self._by_tenant.get(tenant, 0)
        if self.total >= self._total_max or held >= self._tenant_max:
            raise Problem(self._code)
        self.total += 1
        self._by_tenant[tenant] = held + 1

    def leave(self, tenant: str) -> None:
        """Give the place back."""
        self.total -= 1
        left = self._by_tenant[tenant] - 1
        if left:
            self._by_tenant[tenant] = left
        else:
            del self._by_tenant[tenant]


class BodyRoom:
    """Counts bytes of bodies before they are read; over a limit the answer is a problem at once."""

    def __init__(self, *, total_max: int, tenant_max: int, code: str) -> None:
        self._total_max = total_max
        self._tenant_max = tenant_max
        self._code = code
        self._by_tenant: dict[str, int] = {}
        self.total = 0

    @contextmanager
    def hold(self, tenant: str, size: int) -> Iterator[None]:
        """Count `size` bytes of `tenant` until the block ends; Problem when there is no room. One body alone always
        has some."""
        held = self._by_tenant.get(tenant, 0)
        if self.total and (self.total + size > self._total_max or (held and held + size > self._tenant_max)):
            raise Problem(self._code)
        self.total += size
        self._by_tenant[tenant] = held + size
        try:
            yield
        finally:
            self.total -= size
            left = self._by_tenant[tenant] - size
            if left:
                self._by_tenant[tenant] = left
            else:
                del self._by_tenant[tenant]
