"""What a fault is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random  # noqa: TID251  a seeded one comes in as an argument
from typing import Protocol

from holdgate.scheduler.torture.bends import Bends
from holdgate.scheduler.torture.cluster import Cluster, Member

SERVERS = ("nats", "redis", "sentinel")
PROCESSES = ("kernel", "api", "dispatcher", "output-gate", "auditor", "worker")


class CannotBreak(Exception):
    """This machine, or this topology, cannot do it: says why. Named in the report, never skipped silently."""


class Fault(Protocol):
    """One fault, used once. `inject` breaks something that the seed chooses; `heal` undoes it and is idempotent."""

    name: str

    async def inject(self, cluster: Cluster, _rng: Random, /) -> str:
        """Break it; says what was broken, such as `redis-1`. CannotBreak when it cannot be done here, and is not."""

    async def heal(self) -> None:
        """As it was before, as far as this fault broke it."""

    @property
    def bends(self) -> tuple[Bends, ...]:
        """Which guarantees it bent, and when; known after `heal`."""

    @property
    def did(self) -> str:
        """What it was seen to do, such as `412 keys are gone`; empty where nothing came of it. Known after `heal`."""


def chosen(cluster: Cluster, rng: Random, kinds: Collection[str]) -> Member:
    """One of `kinds` that no other fault holds; CannotBreak when there is none."""
    free = [
        member for member in cluster.members.values() if member.kind in kinds and member.is_alive and not member.is_held
    ]
    if not free:
        raise CannotBreak(f"no {' or '.join(kinds)} is there to break")
    return rng.choice(free)


def nodes(cluster: Cluster, kind: str) -> Sequence[Member]:
    """All members of `kind`."""
    return [member for member in cluster.members.values() if member.kind == kind]
