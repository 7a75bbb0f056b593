"""JetStream: other leaders, a node that lost its disk."""

from __future__ import annotations

import asyncio
import shutil
from random import Random  # noqa: TID251  a seeded one comes in as an argument

import nats.errors
from nats.aio.client import Client as Nats

from holdgate.kernel.canonical import parse_json
from holdgate.scheduler.torture.bends import Bends
from holdgate.scheduler.torture.cluster import Cluster, Member
from holdgate.scheduler.torture.faults.fault import CannotBreak, chosen

META_STEPDOWN = "$JS.API.META.LEADER.STEPDOWN"
STREAM_STEPDOWN = "$JS.API.STREAM.LEADER.STEPDOWN"
TIMEOUT_S = 5.0


class StreamLeader:
    """The leader of a stream steps down, and another one is chosen."""

    name = "stream-leader"
    bends: tuple[Bends, ...] = ()

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        if cluster.topology.nats < 2:
            raise CannotBreak("a single NATS server has no leaders")
        nc = await cluster.operator()
        try:
            streams = await nc.jetstream().streams_info()
            stream = rng.choice(sorted(info.config.name or "" for info in streams))
            await _asked(nc, f"{STREAM_STEPDOWN}.{stream}")
        finally:
            await nc.close()
        return stream

    async def heal(self) -> None:
        return


class MetaLeader:
    """The leader of all of JetStream steps down."""

    name = "meta-leader"
    bends: tuple[Bends, ...] = ()

    async def inject(self, cluster: Cluster, _rng: Random) -> str:
        if cluster.topology.nats < 2:
            raise CannotBreak("a single NATS server has no leaders")
        nc = await cluster.system()
        try:
            await _asked(nc, META_STEPDOWN)
        finally:
            await nc.close()
        return "JetStream"

    async def heal(self) -> None:
        return


class WipedNode:
    """A NATS node dies and comes back with an empty disk; the others still have everything."""

    name = "nats-wiped"
    bends: tuple[Bends, ...] = ()

    def __init__(self) -> None:
        self._member: Member | None = None
        self._cluster: Cluster | None = None

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        nodes = [member for member in cluster.members.values() if member.kind == "nats"]
        if len(nodes) < 3 or any(member.is_held for member in nodes):
            raise CannotBreak("the other NATS nodes are not all there: what they do not have would be gone")
        self._cluster = cluster
        self._member = chosen(cluster, rng, ("nats",))
        await self._member.kill()
        folder = cluster.home.path / "nats" / self._member.name
        await asyncio.to_thread(shutil.rmtree, folder)
        folder.mkdir(mode=0o700)
        return self._member.name

    async def heal(self) -> None:
        if self._member is not None:
            await self._member.start()
        if self._cluster is not None:
            await _caught_up(self._cluster)


async def _caught_up(cluster: Cluster, timeout_s: float = 30.0) -> None:
    """Until every stream says that all its copies are current: wiping another node before would lose data."""
    nc = await cluster.operator()
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    infos = await nc.jetstream().streams_info()
                    peers = [peer for info in infos if info.cluster for peer in info.cluster.replicas or []]
                    if infos and all(peer.current for peer in peers):
                        return
                except (nats.errors.Error, TimeoutError):
                    pass
                await asyncio.sleep(0.25)
    finally:
        await nc.close()


async def _asked(nc: Nats, subject: str) -> None:
    """CannotBreak when JetStream does not do it now."""
    try:
        reply = await nc.request(subject, b"", timeout=TIMEOUT_S)
    except (nats.errors.Error, TimeoutError) as error:
        raise CannotBreak(f"nobody steps down now: {type(error).__name__}") from error
    answer = parse_json(reply.data)
    if not isinstance(answer, dict) or answer.get("success") is not True:
        raise CannotBreak("JetStream refuses to step down")
