"""Redis is lost, or goes back to what it was, with all its nodes: JetStream has what it can be made again from."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path
from random import Random  # noqa: TID251  a seeded one comes in as an argument

from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.state.connection import WHOLE
from holdgate.scheduler.torture.bends import Bends, lost_writes
from holdgate.scheduler.torture.cluster import Cluster
from holdgate.scheduler.torture.cluster.topology import RedisShape
from holdgate.scheduler.torture.faults.fault import CannotBreak, nodes
from holdgate.scheduler.torture.faults.redisnodes import (
    asked,
    has_lost,
    mark,
    primary,
    primary_if_any,
    replica_follows,
    until,
)

UNTOLD_MS = 2_000
"""What was told so shortly before a loss may be in no archive and in no log of ends yet."""
AGE_S = (3.0, 6.0)
"""How old a copy is when it is put back."""
HEAL_TIMEOUT_S = 60.0
LOGS = ("appendonly*", "*.rdb")
CLOCK = SystemClock()


class _OfAllRedis:
    """Every node of Redis is killed; what they have on disk is another thing when they come back."""

    def __init__(self) -> None:
        self.bends: tuple[Bends, ...] = ()
        self.did = ""
        self._cluster: Cluster | None = None
        self._since_ms = 0
        self._killed_ms = 0
        self._token: str | None = None

    async def heal(self) -> None:
        """Nothing is left to do but to wait: dispatchers bring back what is in the log."""
        if (cluster := self._cluster) is None:
            return
        self._cluster = None
        try:
            for member in nodes(cluster, "redis"):
                await member.start()
            await replica_follows(cluster)
            await _whole_again(cluster, self._token)
        finally:
            # What ended so long before the loss is in the log of ends.
            self.bends = (lost_writes(self._since_ms, CLOCK.now_ms(), self._killed_ms - UNTOLD_MS),)

    async def _killed(self, cluster: Cluster) -> None:
        self._cluster, self._killed_ms = cluster, CLOCK.now_ms()
        for member in nodes(cluster, "redis"):
            await member.kill()

    async def _started(self, cluster: Cluster, first: str) -> None:
        """`first` before all others: none of them is made primary in its place."""
        await cluster.members[first].start()
        if cluster.topology.redis is RedisShape.SENTINEL:

            async def leads() -> bool:
                return await primary_if_any(cluster) == first

            await until(leads, HEAL_TIMEOUT_S, f"{first} is not primary again")
        for member in nodes(cluster, "redis"):
            await member.start()


class RedisLost(_OfAllRedis):
    """All data nodes of Redis come back empty."""

    name = "redis-lost"

    async def inject(self, cluster: Cluster, _rng: Random) -> str:
        leads = await _whole_primary(cluster)
        keys, marked = await _keys(cluster, leads), await mark(cluster, leads)
        self._token, self._since_ms = await _token(cluster), CLOCK.now_ms() - UNTOLD_MS
        await self._killed(cluster)
        for member in nodes(cluster, "redis"):
            await asyncio.to_thread(_empty, _folder(cluster, member.name))
        await self._started(cluster, leads)
        if keys and await has_lost(cluster, leads, marked):
            self.did = f"{keys} keys are gone"
        return "every redis"


class RedisSetBack(_OfAllRedis):
    """All data nodes of Redis come back as they were some seconds before, as when somebody puts back an older copy."""

    name = "redis-set-back"

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        leads = await _whole_primary(cluster)
        # Replicas have what their primary has, once they follow again.
        shared = cluster.topology.redis is RedisShape.CLUSTER
        kept = [member.name for member in nodes(cluster, "redis") if shared or member.name == leads]
        self._since_ms = CLOCK.now_ms()
        copies = {name: cluster.home.path / "run" / f"{name}.copy" for name in kept}
        for name, copy in copies.items():
            await asyncio.to_thread(_copy, _folder(cluster, name), copy)
        marked, before = await mark(cluster, leads), await asyncio.to_thread(_size, copies.values())
        await asyncio.sleep(rng.uniform(*AGE_S))
        self._token = await _token(cluster)
        await self._killed(cluster)
        gone = await asyncio.to_thread(_size, [_folder(cluster, name) for name in kept]) - before
        for member in nodes(cluster, "redis"):
            await asyncio.to_thread(_put_back, _folder(cluster, member.name), copies.get(member.name))
        await self._started(cluster, leads)
        aged_s = (CLOCK.now_ms() - self._since_ms) / 1000
        if await has_lost(cluster, leads, marked):
            self.did = f"{gone} bytes of log are gone, those of {aged_s:.1f} s"
        return f"every redis, by {aged_s:.1f} s"


async def _whole_primary(cluster: Cluster) -> str:
    """CannotBreak while a node is away: it would come back with what the others lost."""
    if any(member.is_held for member in nodes(cluster, "redis")):
        raise CannotBreak("a Redis is away: it would come back with what the others lost")
    return await primary(cluster)


async def _whole_again(cluster: Cluster, before: str | None) -> None:
    """Until a dispatcher says that it brought back everything; at once where none was there to say so before."""
    if before is None:
        return

    async def is_whole() -> bool:
        return await _token(cluster) not in (None, before)

    await until(is_whole, HEAL_TIMEOUT_S, "no dispatcher says that the state is whole again")


async def _token(cluster: Cluster) -> str | None:
    """What the last dispatcher wrote that found the state whole; None where none did."""
    names = cluster.layout.named("redis")
    if cluster.topology.redis is RedisShape.SENTINEL:
        names = [await primary_if_any(cluster) or names[0]]
    found = [await asked(cluster, name, "GET", WHOLE) for name in names]
    return next((text for text in found if isinstance(text, str)), None)


async def _keys(cluster: Cluster, leads: str) -> int:
    """Of the primary, or of all of them."""
    names = cluster.layout.named("redis") if cluster.topology.redis is RedisShape.CLUSTER else [leads]
    found = [await asked(cluster, name, "DBSIZE") for name in names]
    return sum(count for count in found if isinstance(count, int))


def _folder(cluster: Cluster, name: str) -> Path:
    return cluster.home.path / "redis" / name


def _logs(folder: Path) -> list[Path]:
    return sorted(found for pattern in LOGS for found in folder.glob(pattern))


def _empty(folder: Path) -> None:
    """Of data; which node of a Redis Cluster it is, it still knows."""
    for found in _logs(folder):
        if found.is_dir():
            shutil.rmtree(found)
        else:
            found.unlink()


def _copy(folder: Path, copy: Path) -> None:
    """Where Redis begins a new file just then, some are not there any more: CannotBreak."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(mode=0o700)
    try:
        _copy_into(folder, copy)
    except (OSError, shutil.Error) as error:
        raise CannotBreak(f"no copy can be made of {folder.name} now: {error}") from error


def _put_back(folder: Path, copy: Path | None) -> None:
    _empty(folder)
    if copy is not None:
        _copy_into(copy, folder)


def _copy_into(source: Path, target: Path) -> None:
    for found in _logs(source):
        if found.is_dir():
            shutil.copytree(found, target / found.name)
        else:
            shutil.copy2(found, target / found.name)


def _size(folders: Iterable[Path]) -> int:
    """Bytes of what can be put back."""
    files = (file for folder in folders for found in _logs(folder) for file in (found, *found.rglob("*")))
    return sum(file.stat().st_size for file in files if file.is_file())
