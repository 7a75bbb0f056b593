"""How many of what: the shape of a cluster, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RedisShape(StrEnum):
    """How Redis runs."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    """A primary, its replicas, three sentinels."""
    CLUSTER = "cluster"
    """Three primaries."""


@dataclass(frozen=True, slots=True)
class Topology:
    """A cluster. `proxied`: every connection to a server or an API goes through a proxy that can break it."""

    redis: RedisShape = RedisShape.SENTINEL
    nats: int = 3
    apis: int = 2
    kernels: int = 2
    dispatchers: int = 2
    gates: int = 2
    auditors: int = 1
    workers: int = 4
    followers: int = 1
    """Replicas of Redis under Sentinel. Where not all of them confirm, a primary that is replaced while it lives loses
    what it told."""
    redis_replicas: int | None = None
    """Replicas that must confirm a write before it is told; None: one under Sentinel, else none."""
    proxied: bool = False

    @property
    def replicas_confirm(self) -> int:
        """`redis_replicas`, decided."""
        if self.redis_replicas is not None:
            return self.redis_replicas
        return 1 if self.redis is RedisShape.SENTINEL else 0

    def members(self) -> tuple[str, ...]:
        """Every member's name, servers first, in the order in which they are started."""
        return (*self.servers(), *self.processes())

    def servers(self) -> tuple[str, ...]:
        """NATS, Redis, sentinels."""
        stores = {RedisShape.SINGLE: 1, RedisShape.SENTINEL: 1 + self.followers, RedisShape.CLUSTER: 3}[self.redis]
        watchers = 3 if self.redis is RedisShape.SENTINEL else 0
        return (*_numbered("nats", self.nats), *_numbered("redis", stores), *_numbered("sentinel", watchers))

    def processes(self) -> tuple[str, ...]:
        """Processes of Holdgate."""
        counts = (
            ("kernel", self.kernels),
            ("api", self.apis),
            ("dispatcher", self.dispatchers),
            ("output-gate", self.gates),
            ("auditor", self.auditors),
            ("worker", self.workers),
        )
        return tuple(name for kind, count in counts for name in _numbered(kind, count))


def kind_of(name: str) -> str:
    """`output-gate` of `output-gate-2`."""
    return name.rpartition("-")[0]


def _numbered(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"{kind}-{number}" for number in range(1, count + 1))
