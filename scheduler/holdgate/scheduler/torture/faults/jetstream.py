"""JetStream: other leaders, a node that lost its disk, all of them that did."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random  # noqa: TID251  a seeded one comes in as an argument

import nats.errors
import structlog
from nats.aio.client import Client as Nats

from holdgate.bundles.errors import BundleConflict, StoreUnavailable
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.store import BundleStore
from holdgate.kernel.canonical import parse_json
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import Unavailable
from holdgate.scheduler.errors import ServerUnusable
from holdgate.scheduler.torture.bends import Bend, Bends
from holdgate.scheduler.torture.cluster import Cluster, Member
from holdgate.scheduler.torture.faults.fault import CannotBreak, chosen, nodes
from holdgate.scheduler.up.setup import prepare_over

META_STEPDOWN = "$JS.API.META.LEADER.STEPDOWN"
STREAM_STEPDOWN = "$JS.API.STREAM.LEADER.STEPDOWN"
SERVERS_SAY = "$SYS.REQ.SERVER.PING.JSZ"
TIMEOUT_S = 5.0
ELECTION_LOOKS = 20
UNJUDGED_MS = 2_000
"""A result may have waited so long for its verdict when the log of results was lost."""
HEAL_TIMEOUT_S = 60.0
POLL_S = 0.25
CLOCK = SystemClock()
log = structlog.get_logger(__name__)


class StreamLeader:
    """The leader of a stream steps down, and another one is chosen."""

    name = "stream-leader"
    bends: tuple[Bends, ...] = ()
    did = ""

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        if cluster.topology.nats < 2:
            raise CannotBreak("a single NATS server has no leaders")
        nc = await cluster.operator()
        try:
            streams = await nc.jetstream().streams_info()
            stream = rng.choice(sorted(info.config.name or "" for info in streams))
            before = await _leader_of(nc, stream)
            await _asked(nc, f"{STREAM_STEPDOWN}.{stream}")
            if after := await _another(partial(_leader_of, nc, stream), before):
                self.did = f"{after} leads in place of {before}"
        except (nats.errors.Error, TimeoutError) as error:
            raise CannotBreak(f"JetStream does not answer now: {type(error).__name__}") from error
        finally:
            await nc.close()
        return stream

    async def heal(self) -> None:
        return


class MetaLeader:
    """The leader of all of JetStream steps down."""

    name = "meta-leader"
    bends: tuple[Bends, ...] = ()
    did = ""

    async def inject(self, cluster: Cluster, _rng: Random) -> str:
        if cluster.topology.nats < 2:
            raise CannotBreak("a single NATS server has no leaders")
        nc = await cluster.system()
        try:
            before = await _meta_leader(nc)
            await _asked(nc, META_STEPDOWN)
            if after := await _another(partial(_meta_leader, nc), before):
                self.did = f"{after} leads in place of {before}"
        except (nats.errors.Error, TimeoutError) as error:
            raise CannotBreak(f"JetStream does not answer now: {type(error).__name__}") from error
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
        self.did = ""
        self._member: Member | None = None
        self._cluster: Cluster | None = None

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        nodes = [member for member in cluster.members.values() if member.kind == "nats"]
        if len(nodes) < 3 or any(member.is_held for member in nodes):
            raise CannotBreak("the other NATS nodes are not all there: what they do not have would be gone")
        self._cluster = cluster
        self._member = chosen(cluster, rng, ("nats",))
        await self._member.kill()
        if gone := await asyncio.to_thread(_wipe, cluster.home.path / "nats" / self._member.name):
            self.did = f"{gone} bytes are gone"
        return self._member.name

    async def heal(self) -> None:
        if self._member is not None:
            await self._member.start()
        if self._cluster is not None:
            await _caught_up(self._cluster)


def _wipe(folder: Path) -> int:
    """How many bytes were in it."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    return size


async def _leader_of(nc: Nats, stream: str) -> str | None:
    info = await nc.jetstream().stream_info(stream)
    return info.cluster.leader if info.cluster else None


async def _meta_leader(nc: Nats) -> str | None:
    """As the first server says that answers."""
    told = parse_json((await nc.request(SERVERS_SAY, b"", timeout=TIMEOUT_S)).data)
    match told:
        case {"data": {"meta_cluster": {"leader": str(leader)}}}:
            return leader
        case _:
            return None


async def _another(leader: Callable[[], Awaitable[str | None]], before: str | None) -> str | None:
    """Who leads in place of `before`; None where nobody does soon."""
    for _ in range(ELECTION_LOOKS):
        with contextlib.suppress(nats.errors.Error, TimeoutError):  # while they elect, nobody answers
            if (now := await leader()) not in (None, before):
                return now
        await asyncio.sleep(POLL_S)
    return None


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
                except (nats.errors.Error, TimeoutError) as error:
                    log.debug("no word of the copies yet", action="torture_wait", error=type(error).__name__)
                await asyncio.sleep(POLL_S)
    finally:
        await nc.close()


class JetStreamLost:
    """Every NATS node comes back with an empty disk; healed as an operator does: `setup`, and the bundles again.

    Results that had no verdict yet are in no log any more: such jobs end when dispatchers give them up.
    """

    name = "jetstream-lost"

    def __init__(self) -> None:
        self.bends: tuple[Bends, ...] = ()
        self.did = ""
        self._cluster: Cluster | None = None
        self._bundles: dict[str, bytes] = {}
        self._since_ms = 0

    async def inject(self, cluster: Cluster, _rng: Random) -> str:
        all_ = nodes(cluster, "nats")
        if any(member.is_held for member in all_):
            raise CannotBreak("a NATS node is away: it would come back with what the others lost")
        self._bundles = await _published(cluster)
        messages = await _messages(cluster)
        self._cluster, self._since_ms = cluster, CLOCK.now_ms() - UNJUDGED_MS
        for member in all_:
            await member.kill()
        gone = [await asyncio.to_thread(_wipe, cluster.home.path / "nats" / member.name) for member in all_]
        if messages and all(gone):
            self.did = f"{messages} messages are gone"
        return "every nats"

    async def heal(self) -> None:
        if (cluster := self._cluster) is None:
            return
        self._cluster = None
        self.bends = (Bends(Bend.LOST_RESULTS, self._since_ms, CLOCK.now_ms()),)
        # None of them is there before most of them are.
        await asyncio.gather(*(member.start() for member in nodes(cluster, "nats")))
        deadline = time.monotonic() + HEAL_TIMEOUT_S
        while True:
            try:
                await _made_again(cluster, self._bundles)
            except (Unavailable, BundleConflict, nats.errors.Error, OSError, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise ServerUnusable(
                        f"JetStream cannot be set up again: {type(error).__name__}: {error}"
                    ) from error
                await asyncio.sleep(POLL_S)
            else:
                return


async def _messages(cluster: Cluster) -> int:
    nc = await cluster.operator()
    try:
        return sum(info.state.messages for info in await nc.jetstream().streams_info())
    except (nats.errors.Error, TimeoutError) as error:
        raise CannotBreak(f"JetStream does not answer now: {type(error).__name__}") from error
    finally:
        await nc.close()


async def _published(cluster: Cluster) -> dict[str, bytes]:
    """The newest bundle of each name, as an author has it in a file."""
    nc = await cluster.operator()
    try:
        store = BundleStore(nc)
        found = {name: await store.get(name) for name in await store.names()}
    except StoreUnavailable as error:
        raise CannotBreak(str(error)) from error
    finally:
        await nc.close()
    return {name: bundle.data for name, bundle in found.items() if bundle is not None}


async def _made_again(cluster: Cluster, bundles: dict[str, bytes]) -> None:
    nc = await cluster.operator()
    try:
        await prepare_over(nc, cluster.provisioned, replicas=min(3, cluster.topology.nats))
        store = BundleStore(nc)
        for name, data in bundles.items():
            present = await store.get(name)
            if present is None or _version(present.data) < _version(data):
                await store.put(name, data, after_revision=None if present is None else present.revision)
    finally:
        await nc.close()


def _version(data: bytes) -> int:
    return parse_bundle(data).manifest.version


async def _asked(nc: Nats, subject: str) -> None:
    """CannotBreak when JetStream does not do it now."""
    try:
        reply = await nc.request(subject, b"", timeout=TIMEOUT_S)
    except (nats.errors.Error, TimeoutError) as error:
        raise CannotBreak(f"nobody steps down now: {type(error).__name__}") from error
    answer = parse_json(reply.data)
    if not isinstance(answer, dict) or answer.get("success") is not True:
        raise CannotBreak("JetStream refuses to step down")
