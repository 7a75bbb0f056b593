"""What happens to bytes between two members."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random  # noqa: TID251  a seeded one comes in as an argument

from holdgate.scheduler.torture.bends import Bends
from holdgate.scheduler.torture.cluster import Cluster, Link
from holdgate.scheduler.torture.faults.fault import CannotBreak

Weather = Callable[[Link, Random], Awaitable[None]]


async def cut(link: Link, _rng: Random) -> None:
    """Connections break, new ones are refused."""
    await link.cut()


async def swallow(link: Link, _rng: Random) -> None:
    """Connections stay open, nothing arrives."""
    await link.cut(silently=True)


async def delay(link: Link, rng: Random) -> None:
    """A slow way."""
    await link.delay(rng.choice((50, 200, 800)), jitter_ms=rng.choice((0, 100)))


async def lose(link: Link, rng: Random) -> None:
    """A bad one."""
    await link.lose(rng.choice((0.05, 0.2, 0.5)))


class Between:
    """A link that is used, of those that the seed chooses, has other weather."""

    bends: tuple[Bends, ...] = ()

    def __init__(self, name: str, weather: Weather) -> None:
        self.name = name
        self.did = ""
        self._weather = weather
        self._link: Link | None = None

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        if not cluster.links:
            raise CannotBreak("the cluster was started without proxies between its members")
        for pair in rng.sample(list(cluster.links), len(cluster.links)):
            if await cluster.links[pair].is_used():
                self._link = cluster.links[pair]
                await self._weather(self._link, rng)
                return " ↔ ".join(pair)
        raise CannotBreak("no two members are connected")

    async def heal(self) -> None:
        if self._link is not None:
            self.did = met(await self._link.heal())


class Isolate:
    """One member reaches nobody, and nobody reaches it."""

    bends: tuple[Bends, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self.did = ""
        self._links: list[Link] = []

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        if not cluster.links:
            raise CannotBreak("the cluster was started without proxies between its members")
        alone = rng.choice(sorted({name for pair in cluster.links for name in pair if name in cluster.members}))
        self._links = [cluster.links[pair] for pair in cluster.links if alone in pair]
        for link in self._links:
            await link.cut(silently=True)
        return alone

    async def heal(self) -> None:
        self.did = met(sum([await link.heal() for link in self._links]))


def met(connections: int) -> str:
    """What weather did that so many connections met."""
    return f"{connections} connections met it" if connections else ""
