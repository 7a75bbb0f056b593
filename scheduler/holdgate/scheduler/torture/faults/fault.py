"""What a fault is."""

from __future__ import annotations

from random import Random  # noqa: TID251  a seeded one comes in as an argument
from typing import Protocol

from holdgate.scheduler.torture.bends import Bends
from holdgate.scheduler.torture.cluster import Cluster


class CannotBreak(Exception):
    """This machine, or this topology, cannot do it: says why. Named in the report, never skipped silently."""


class Fault(Protocol):
    """One fault. `inject` breaks something that the seed chooses; `heal` undoes it and is idempotent."""

    name: str

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        """Break it; says what was broken, such as `redis-1`. CannotBreak when it cannot be done here."""

    async def heal(self, cluster: Cluster) -> None:
        """As it was before, as far as this fault broke it."""

    @property
    def bends(self) -> tuple[Bends, ...]:
        """Which guarantees the last injection bent, and when; known after `heal`."""
