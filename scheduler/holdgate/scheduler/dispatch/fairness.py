"""Whose turn it is: deficit round robin over tenants, one job the unit of cost (Shreedhar and Varghese, 1996).

What always holds: over any stretch in which a set of tenants stays backlogged, each gets its weight's part of what is
handed out, to within one round. A tenant that runs dry keeps no credit for the time it was away. Pure: no clock, no IO.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from holdgate.scheduler.tenants import WEIGHT_MAX

WEIGHT_DEFAULT = 1


def check_weights(weights: Mapping[str, int]) -> None:
    """ValueError when a weight is not a whole number from 1 to `WEIGHT_MAX`."""
    for tenant, weight in weights.items():
        if not 1 <= weight <= WEIGHT_MAX:
            msg = f"the weight of tenant `{tenant}` must be from 1 to {WEIGHT_MAX}, not {weight}"
            raise ValueError(msg)


@dataclass(slots=True)
class FairShare:
    """The turns of one pool. `weights` names the tenants whose share is not `WEIGHT_DEFAULT`; it may change."""

    weights: Mapping[str, int] = field(default_factory=dict)
    _ring: deque[str] = field(default_factory=deque)
    _credit: dict[str, int] = field(default_factory=dict)

    def allot(self, tenants: Iterable[str], n: int) -> dict[str, int]:
        """How many of `n` jobs each of the backlogged `tenants` may have now; the parts add up to `n`.

        The ring stands where the last call left it, so that asks for one job go round like one large ask.
        """
        active = set(tenants)
        for tenant in sorted(active.difference(self._credit)):
            self._ring.append(tenant)
            self._credit[tenant] = 0
        shares: dict[str, int] = {}
        if not active:
            return shares
        left = n
        while left > 0:
            tenant = self._ring[0]
            if tenant not in active:
                self._forget(tenant)
                continue
            if self._credit[tenant] <= 0:
                self._credit[tenant] += self.weights.get(tenant, WEIGHT_DEFAULT)
            part = max(0, min(left, self._credit[tenant]))
            if part:
                shares[tenant] = shares.get(tenant, 0) + part
            self._credit[tenant] -= part
            left -= part
            if self._credit[tenant] <= 0:
                self._ring.rotate(-1)
        return shares

    def ran_dry(self, tenant: str) -> None:
        """`tenant` had fewer jobs than it was allotted: it leaves the ring and loses its credit."""
        self._forget(tenant)

    def give_back(self, tenant: str, n: int) -> None:
        """`n` of the jobs `tenant` was handed could not run here: they do not count against its share."""
        if tenant in self._credit:
            cap = WEIGHT_MAX
            self._credit[tenant] = min(self._credit[tenant] + n, cap)

    def _forget(self, tenant: str) -> None:
        if self._credit.pop(tenant, None) is not None:
            self._ring.remove(tenant)
