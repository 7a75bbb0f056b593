"""Redis: failovers, with and without loss, and a log that is cut short."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from random import Random  # noqa: TID251  a seeded one comes in as an argument

import redis.exceptions

from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.torture.bends import Bends, lost_writes
from holdgate.scheduler.torture.cluster import Cluster, Link, Member
from holdgate.scheduler.torture.cluster.layout import SERVICE
from holdgate.scheduler.torture.cluster.redisup import client
from holdgate.scheduler.torture.cluster.topology import RedisShape
from holdgate.scheduler.torture.faults.fault import CannotBreak, chosen
from holdgate.scheduler.torture.faults.redisnodes import (
    has_lost,
    mark,
    ordered,
    other_primary,
    primary,
    primary_if_any,
    replica_follows,
    replicated_primary,
)

STALE_S = 1.5
"""How long the replicas hear nothing before the primary dies. Less than what makes Sentinel refuse them."""
PAUSE_MS = 10_000
"""Longer than it takes until every replica follows the new primary."""
MARGIN_MS = 200
CLOCK = SystemClock()


class OrderlyFailover:
    """Sentinel is told to make a replica primary, as an operator does: where not all replicas confirm, nobody may write
    meanwhile, for the old primary goes on until it hears of it, and others confirm what the new one does not have.
    """

    name = "redis-failover"
    bends: tuple[Bends, ...] = ()
    did = ""

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        before = await replicated_primary(cluster)
        # Sentinel takes one that is paused for down, and makes it a replica only eight seconds after that.
        if pauses := cluster.topology.followers > cluster.topology.replicas_confirm:
            await ordered(cluster, before, "CLIENT", "PAUSE", str(PAUSE_MS), "WRITE")
        sentinel = chosen(cluster, rng, ("sentinel",))
        connection = client(cluster.layout.places[sentinel.name].port, None)
        try:
            await connection.execute_command("SENTINEL", "FAILOVER", SERVICE)  # type: ignore[no-untyped-call]
        except redis.exceptions.RedisError as error:
            if pauses:
                await ordered(cluster, before, "CLIENT", "UNPAUSE")
            raise CannotBreak(f"Sentinel does not fail over now: {error}") from error
        finally:
            await connection.aclose()
        after = await other_primary(cluster, before)
        self.did = f"{after} took over"
        return f"{before} → {after}"

    async def heal(self) -> None:
        return


class KilledPrimary:
    """The primary is killed; the sentinels choose a replica."""

    name = "redis-kill-primary"
    bends: tuple[Bends, ...] = ()

    def __init__(self) -> None:
        self.did = ""
        self._member: Member | None = None
        self._cluster: Cluster | None = None

    async def inject(self, cluster: Cluster, _rng: Random) -> str:
        before = await replicated_primary(cluster)
        self._cluster, self._member = cluster, cluster.members[before]
        await self._member.kill()
        after = await other_primary(cluster, before)
        self.did = f"{after} took over"
        return f"{before} → {after}"

    async def heal(self) -> None:
        if self._member is not None:
            await self._member.start()
        if self._cluster is not None:
            await replica_follows(self._cluster)


class LosingFailover:
    """The replicas hear nothing for a while, then the primary dies: what was written in between is gone.

    Where a replica has to confirm each write, nothing of it was told to anybody, and nothing is bent.
    """

    name = "redis-lost-writes"

    def __init__(self) -> None:
        self.bends: tuple[Bends, ...] = ()
        self.did = ""
        self._links: list[Link] = []
        self._member: Member | None = None
        self._cluster: Cluster | None = None

    async def inject(self, cluster: Cluster, _rng: Random) -> str:
        if not cluster.links:
            raise CannotBreak("the cluster was started without proxies between its members")
        before = await replicated_primary(cluster)
        others = [name for name in cluster.layout.named("redis") if name != before]
        since_ms = CLOCK.now_ms()
        self._cluster, self._member = cluster, cluster.members[before]
        self._links = [cluster.links[before, other] for other in others]
        for link in self._links:
            await link.cut(silently=True)
        await asyncio.sleep(STALE_S)
        marked = await mark(cluster, before)
        await self._member.kill()
        after = await other_primary(cluster, before)
        if await has_lost(cluster, after, marked):
            self.did = f"{after} took over, and has not what was written last"
        if cluster.topology.replicas_confirm == 0:
            self.bends = (lost_writes(since_ms - MARGIN_MS, CLOCK.now_ms()),)
        return f"{before} → {after}"

    async def heal(self) -> None:
        for link in self._links:
            await link.heal()
        if self._member is not None:
            await self._member.start()
        if self._cluster is not None:
            await replica_follows(self._cluster)


class TruncatedLog:
    """Redis dies, and its append-only file is shorter when it comes back: its last entries are gone."""

    name = "redis-truncated-aof"

    def __init__(self) -> None:
        self.bends: tuple[Bends, ...] = ()
        self.did = ""
        self._member: Member | None = None
        self._cluster: Cluster | None = None

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        if cluster.topology.redis is RedisShape.CLUSTER:
            raise CannotBreak("the nodes of this Redis Cluster have no replicas")
        self._cluster, self._member = cluster, cluster.members[await primary(cluster)]
        file = await asyncio.to_thread(_log_of, cluster, self._member.name)
        since_ms, kept = CLOCK.now_ms(), (await asyncio.to_thread(file.stat)).st_size
        await asyncio.sleep(0.5 + rng.random())
        marked = await mark(cluster, self._member.name)
        await self._member.kill()
        gone = await asyncio.to_thread(_cut_to, file, max(0, kept - rng.randrange(1, 40)))
        await self._member.start()
        # Where a replica took over meanwhile, nothing that it confirmed is gone.
        leads = await primary_if_any(cluster) or self._member.name
        if leads == self._member.name:
            self.bends = (lost_writes(since_ms - MARGIN_MS, CLOCK.now_ms()),)
        if await has_lost(cluster, leads, marked):
            self.did = f"{gone} bytes are gone"
        return f"{self._member.name}, {gone} bytes"

    async def heal(self) -> None:
        if self._member is not None:
            await self._member.start()
        if self._cluster is not None:
            await replica_follows(self._cluster)
        # Until a dispatcher looked, people go on with what is back: what they end may be restored to how it had ended.
        self.bends = tuple(replace(bends, until_ms=CLOCK.now_ms()) for bends in self.bends)


def _log_of(cluster: Cluster, name: str) -> Path:
    """The append-only file: one, or of Redis 7 the last increment."""
    files = sorted(
        (cluster.home.path / "redis" / name).rglob("appendonly*.aof*"), key=lambda file: file.stat().st_mtime
    )
    logs = [file for file in files if not file.name.endswith(".manifest")]
    if not logs:
        raise CannotBreak(f"{name} has no append-only file")
    return logs[-1]


def _cut_to(file: Path, size: int) -> int:
    before = file.stat().st_size
    os.truncate(file, min(size, before))
    return before - file.stat().st_size
