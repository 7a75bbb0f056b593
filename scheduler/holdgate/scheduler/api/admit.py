"""How many requests, and bytes of bodies, may be under way, in all and of one tenant.

What always holds: a tenant has at most so many times what it leaves free, so that the more take all they can, the less
each one gets, and who comes next finds some: it takes many tenants together to crowd out the others, not two. Bytes of
a body count when they came, not when they are promised.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdgate.scheduler.api.problems import Problem

SMALL_BODY_BYTES = 16 * 1024
"""A smaller body is bounded by the number of requests."""
BODY_STEP_BYTES = 64 * 1024


class InFlight:
    """Counts requests; over a limit the answer is a problem at once, never a queue that grows. `share`: how many times
    what is free one tenant may hold."""

    def __init__(self, *, total_max: int, share: int, code: str) -> None:
        self._total_max = total_max
        self._share = share
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
        if held >= self._share * (self._total_max - self.total) or self.total >= self._total_max:
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
    """Counts bytes of bodies as they come; over a limit the answer is a problem at once. `share`: as with requests. A
    body of `SMALL_BODY_BYTES` is bounded by the number of requests, and one alone always has room."""

    def __init__(self, *, total_max: int, share: int, code: str) -> None:
        self._total_max = total_max
        self._share = share
        self._code = code
        self._by_tenant: dict[str, int] = {}
        self.total = 0

    def check(self, tenant: str, size: int) -> None:
        """Problem when one more body of `size` bytes has no room now: saves reading it."""
        if size > SMALL_BODY_BYTES:
            self._check(tenant, size, 0)

    def hold(self, tenant: str) -> BodyHold:
        """Room for one body, for a `with` block; none is taken yet."""
        return BodyHold(self, tenant)

    def take(self, tenant: str, size: int, held: int) -> None:
        """`size` more bytes, for a body that has `held`; Problem when there is no room."""
        self._check(tenant, size, held)
        self.total += size
        self._by_tenant[tenant] = self._by_tenant.get(tenant, 0) + size

    def give_back(self, tenant: str, size: int) -> None:
        """So many bytes less."""
        self.total -= size
        left = self._by_tenant[tenant] - size
        if left:
            self._by_tenant[tenant] = left
        else:
            del self._by_tenant[tenant]

    def _check(self, tenant: str, size: int, held: int) -> None:
        free = self._total_max - self.total - size
        if self.total > held and (free < 0 or self._by_tenant.get(tenant, 0) + size > self._share * free):
            raise Problem(self._code)


class BodyHold:
    """What one body takes up."""

    __slots__ = ("_held", "_room", "_tenant")

    def __init__(self, room: BodyRoom, tenant: str) -> None:
        self._room = room
        self._tenant = tenant
        self._held = 0

    def __enter__(self) -> BodyHold:
        return self

    def __exit__(self, *_: object) -> None:
        if self._held:
            self._room.give_back(self._tenant, self._held)

    def grow(self, size: int) -> None:
        """The body has `size` bytes by now; Problem when there is no room for them."""
        if size > max(SMALL_BODY_BYTES, self._held):
            more = -(-(size - self._held) // BODY_STEP_BYTES) * BODY_STEP_BYTES
            self._room.take(self._tenant, more, self._held)
            self._held += more
