"""Lanes to every primary of Redis, as its topology has them now.

What always holds: nothing is sent to a server that is known to be no primary any more, and what was under way there is
told as unanswered at once; a call that a node of a cluster passed on without doing it goes to the node that it names.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import redis.exceptions
import structlog
from redis.crc import key_slot

from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.errors import StateUnavailable
from holdgate.scheduler.state.address import Endpoint, Kind, RedisAddress
from holdgate.scheduler.state.lanes import Call, Lane, Wire
from holdgate.scheduler.state.topology import Layout, Topology, topology_of

log = structlog.get_logger(__name__)

LANES = 8
"""Redis reads 16 KiB of each connection, then writes its log to disk once for all of them: with several connections
more calls share a write."""
CLUSTER_LANES = 4
"""To each of several primaries."""
LOOK_EVERY_S = 0.25
LOOK_AGAIN_S = 0.1
"""While something is wrong."""
TAGS_TRIED_MAX = 300_000
"""Of a primary with one of the 16,384 slots, more than enough."""
WATCH = "redis-topology"
REDIRECTS_MAX = 4
"""As many moves may come together while a cluster is arranged anew."""


class Fleet:
    """Sends each call to the primary of its key."""

    def __init__(self, address: RedisAddress, *, timeout_s: float) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._topology: Topology = topology_of(address, timeout_s=timeout_s)
        self._layout = Layout(())
        self._lanes: dict[Endpoint, tuple[Lane, ...]] = {}
        self._turns: dict[Endpoint, Iterator[Lane]] = {}
        self._is_troubled = asyncio.Event()
        self._serving: dict[Endpoint, bytes] = {}
        """Who served at each when it was met last."""
        self.servings = 0
        """Grows when a server may be another one than before, or began anew: what it has may be older."""
        self._tasks = TaskSet(self._watch_failed)

    async def start(self) -> None:
        """Find the primaries, and keep looking where they may change; StateUnavailable when nobody knows them."""
        self._adopt(await self._topology.look())
        if self.address.kind is not Kind.SINGLE:
            self._tasks.start(self._watch(), WATCH)

    async def close(self) -> None:
        """Let go of every connection; idempotent."""
        await self._tasks.close()
        await self._topology.close()
        for lanes in self._lanes.values():
            await _close(lanes)

    async def call(self, key: bytes, call: Call, *, is_glimpse: bool = False) -> Any:
        """The reply; errors of Redis as they are, those of a cluster that is being arranged as StateUnavailable."""
        return await self._routed(key, lambda lane: lane.call(call, is_glimpse=is_glimpse))

    async def read_in_order(self, key: bytes, calls: Sequence[Call]) -> list[Any]:
        """The replies to calls that change nothing, each done after the one before it: they share a lane."""

        async def over(lane: Lane) -> list[Any]:
            return list(await asyncio.gather(*(lane.call(call) for call in calls)))

        return cast(list[Any], await self._routed(key, over))

    async def _routed(self, key: bytes, work: Callable[[Lane], Awaitable[Any]]) -> Any:
        for _ in range(REDIRECTS_MAX):
            endpoint = self._layout.primary_of(key)
            try:
                return await work(self.lane(endpoint))
            except redis.exceptions.MovedError as error:
                self._is_troubled.set()
                self._moved(endpoint, error)
            except (
                redis.exceptions.AskError,
                redis.exceptions.TryAgainError,
                redis.exceptions.ClusterDownError,
            ) as error:
                # Not asked where it points: scripts look at keys that only share their slot with the one they name. Of
                # a slot that is half here and half there, each node would run them on half of the truth.
                self._is_troubled.set()
                raise StateUnavailable("that part of the state is being moved to another node, or is down") from error
        raise StateUnavailable("the nodes of the cluster do not agree on who serves that part of the state")

    def tags(self, prefix: str) -> tuple[str, ...]:
        """Hash tags, of which each primary serves one that has any slots: the same ones for as long as they lie so."""
        slots = self._layout.slots
        return (f"{prefix}-0",) if slots is None else _tags(slots, prefix)

    async def everywhere(self, call: Call) -> list[Any]:
        """The reply of each primary; no replica is waited for."""
        lanes = [self.lane(endpoint) for endpoint in self._layout.primaries]
        return list(await asyncio.gather(*(lane.call(call, is_glimpse=True) for lane in lanes)))

    def lane(self, endpoint: Endpoint) -> Lane:
        """One of those to `endpoint`, in turn."""
        turn = self._turns.get(endpoint)
        if turn is None:
            self._lanes[endpoint] = lanes = self._lanes_to(endpoint)
            turn = self._turns[endpoint] = itertools.cycle(lanes)
        return next(turn)

    def _lanes_to(self, endpoint: Endpoint) -> tuple[Lane, ...]:
        kind = self.address.kind
        number = CLUSTER_LANES if kind is Kind.CLUSTER else LANES
        return tuple(
            Lane(
                Wire(
                    endpoint,
                    self.address,
                    timeout_s=self._timeout_s,
                    must_be_primary=kind is not Kind.SINGLE,
                    on_serving=functools.partial(self._met, endpoint),
                ),
                replicas=self.address.replicas,
                on_trouble=self._is_troubled.set,
            )
            for _ in range(number)
        )

    def _met(self, endpoint: Endpoint, serving: bytes) -> None:
        """A connection is new: many are, one after the other, when a server comes back, and it is one server."""
        known = self._serving.setdefault(endpoint, serving)
        if not serving or serving != known:
            self.servings += 1
        self._serving[endpoint] = serving

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._is_troubled.wait()
                self._is_troubled.clear()
                await asyncio.sleep(LOOK_AGAIN_S)
            except TimeoutError:
                pass
            try:
                layout = await self._topology.look()
            except StateUnavailable:
                continue  # nobody knows: as before, until somebody does
            self._adopt(layout)

    def _adopt(self, layout: Layout) -> None:
        if layout == self._layout:
            return
        if set(layout.primaries) != set(self._layout.primaries) and self._layout.primaries:
            log.warning(
                "the primaries of the state store changed",
                action="redis_primaries",
                primaries=[f"{host}:{port}" for host, port in layout.primaries],
            )
        if self._layout.primaries:
            self.servings += 1
        self._layout = layout
        for endpoint in [endpoint for endpoint in self._lanes if endpoint not in layout.primaries]:
            del self._turns[endpoint]
            self._tasks.start(_close(self._lanes.pop(endpoint)), "close-lanes")

    def _moved(self, asked: Endpoint, error: redis.exceptions.MovedError) -> None:
        """As the node says that was asked; the next look tells of the rest."""
        slots = self._layout.slots
        if slots is None:
            raise StateUnavailable("the state store is a cluster; say `redis+cluster:` in its address") from error
        endpoint = Endpoint(error.host or asked.host, error.port)
        primaries = self._layout.primaries
        if endpoint not in primaries:
            primaries = (*primaries, endpoint)
        place, at = primaries.index(endpoint), error.slot_id
        self._layout = replace(self._layout, primaries=primaries, slots=(*slots[:at], place, *slots[at + 1 :]))

    def _watch_failed(self, name: str, error: BaseException) -> None:
        """Whatever it met: who serves may change tomorrow, too."""
        log.critical("looking for the primaries of the state store failed; it goes on", action="redis_watch", task=name,
                     exc_info=error)  # fmt: skip
        if name == WATCH:
            self._tasks.start(self._watch(), WATCH)


@functools.lru_cache(maxsize=4)
def _tags(slots: tuple[int, ...], prefix: str) -> tuple[str, ...]:
    found: dict[int, str] = {}
    missing = {place for place in slots if place >= 0}
    for number in range(TAGS_TRIED_MAX):
        if not missing:
            break
        tag = f"{prefix}-{number}"
        place = slots[key_slot(tag.encode())]
        if place in missing:
            missing.discard(place)
            found[place] = tag
    return tuple(found.values())


async def _close(lanes: tuple[Lane, ...]) -> None:
    for lane in lanes:
        await lane.close()
