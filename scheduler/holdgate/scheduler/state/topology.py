"""Which Redis is the primary of what: fixed, as Sentinel says, or as a cluster says.

What always holds: a look has a time limit, and asks all who may know at once, so that one of them away costs nothing;
of what they say, the newest decision counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.errors import StateUnavailable
from holdgate.scheduler.state.address import Endpoint, Kind, RedisAddress
from holdgate.scheduler.state.lanes import Call, Wire, packed

LOOK_TIMEOUT_S = 0.5
"""Of a look at what may have changed; the first one, of which all depends, has the time limit of a call."""
GRACE_S = 0.1
"""How long others may take once one has answered: it may be the one that knows least."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Who serves what. `slots` names for each slot its place in `primaries`; None: there is one, and it serves all.

    `epoch` is the number of the decision: what is decided later has a higher one.
    """

    primaries: tuple[Endpoint, ...]
    slots: tuple[int, ...] | None = None
    epoch: int = 0

    def primary_of(self, key: bytes) -> Endpoint:
        """Who serves `key`; StateUnavailable where nobody does."""
        if self.slots is None:
            return self.primaries[0]
        place = self.slots[key_slot(key)]
        if place < 0:
            raise StateUnavailable("no node of the cluster serves that part of the state")
        return self.primaries[place]


class Topology(Protocol):
    """What may change under us."""

    async def look(self) -> Layout:
        """As it is now; StateUnavailable when nobody can tell."""

    async def close(self) -> None:
        """Let go of connections; idempotent."""


def topology_of(address: RedisAddress, *, timeout_s: float) -> Topology:
    """How to find the primaries of `address`."""
    match address.kind:
        case Kind.SINGLE:
            return Single(address)
        case Kind.SENTINEL:
            return Sentinels(address, timeout_s=timeout_s)
        case Kind.CLUSTER:
            return Cluster(address, timeout_s=timeout_s)


class Single:
    """One server, for ever."""

    def __init__(self, address: RedisAddress) -> None:
        self._layout = Layout(address.endpoints)

    async def look(self) -> Layout:
        """Always the same."""
        return self._layout

    async def close(self) -> None:
        """Nothing to let go of."""


class Sentinels:
    """A primary that sentinels decide on."""

    def __init__(self, address: RedisAddress, *, timeout_s: float) -> None:
        self._service = address.service
        self._timeout_s = timeout_s
        self._known: Layout | None = None
        own = address.of_sentinels()
        self._wires = [Wire(endpoint, own, timeout_s=timeout_s) for endpoint in address.endpoints]

    async def look(self) -> Layout:
        """As the sentinel says that knows the newest decision."""
        calls = (
            ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service),
            ("SENTINEL", "MASTER", self._service),
        )
        limit_s = self._timeout_s if self._known is None else LOOK_TIMEOUT_S
        told = [_decided(replies) for replies in await _ask(self._wires, calls, limit_s)]
        self._known = _newest(told, 0 if self._known is None else self._known.epoch)
        return self._known

    async def close(self) -> None:
        """Let go of the sentinels; idempotent."""
        for wire in self._wires:
            await wire.drop()


class Cluster:
    """Primaries that each serve some of the slots."""

    def __init__(self, address: RedisAddress, *, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._wires: dict[Endpoint, Wire] = {}
        self._layout = Layout(())

    async def look(self) -> Layout:
        """As the node says that knows the newest decision; asked are all that are known."""
        endpoints = dict.fromkeys((*self._layout.primaries, *self._address.endpoints))
        await self._close([endpoint for endpoint in self._wires if endpoint not in endpoints])
        for endpoint in endpoints:
            if endpoint not in self._wires:
                self._wires[endpoint] = Wire(endpoint, self._address, timeout_s=self._timeout_s)
        wires = list(self._wires.values())
        limit_s = LOOK_TIMEOUT_S if self._layout.primaries else self._timeout_s
        replies = await _ask(wires, (("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")), limit_s)
        told = [_served(wire.endpoint, reply) for wire, reply in zip(wires, replies, strict=True)]
        self._layout = _newest(told, self._layout.epoch)
        return self._layout

    async def close(self) -> None:
        """Let go of the nodes; idempotent."""
        await self._close(list(self._wires))

    async def _close(self, endpoints: Sequence[Endpoint]) -> None:
        for endpoint in endpoints:
            await self._wires.pop(endpoint).drop()


async def _ask(wires: Sequence[Wire], calls: Sequence[Call], limit_s: float) -> list[list[Any] | None]:
    """The replies of each to all `calls`; None from one that is away, late or refuses one of them."""
    data = b"".join(packed(call) for call in calls)
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + limit_s
    tasks = TaskSet(lambda _name, _error: None)  # each is looked at here
    asked = [tasks.start(_answer(wire, data, len(calls)), "look") for wire in wires]
    try:
        waiting, is_known = set(asked), False
        while waiting:
            ended, waiting = await asyncio.wait(
                waiting, timeout=GRACE_S if is_known else deadline_s - loop.time(), return_when=asyncio.FIRST_COMPLETED
            )
            if not ended:
                break
            is_known = is_known or any(task.result() is not None for task in ended)
    finally:
        await tasks.close()
    return [None if task.cancelled() else task.result() for task in asked]


async def _answer(wire: Wire, data: bytes, count: int) -> list[Any] | None:
    try:
        replies = await wire.exchange(data, count)
    except StateUnavailable:
        return None
    return None if any(isinstance(reply, Exception) for reply in replies) else replies


def _newest(told: Sequence[Layout | None], epoch: int) -> Layout:
    """The newest decision. One older than `epoch`, which was seen before, counts only where most answered and have none
    newer: then all was set up anew, and not just those that were asked left behind."""
    layouts = [layout for layout in told if layout is not None]
    if not layouts:
        raise StateUnavailable("nobody says who the primary of the state store is")
    newest = max(layouts, key=lambda layout: layout.epoch)
    if newest.epoch < epoch and 2 * len(layouts) <= len(told):
        raise StateUnavailable("those who say who the primary of the state store is know less than others did before")
    return newest


def _decided(replies: list[Any] | None) -> Layout | None:
    """What one sentinel said."""
    if replies is None or replies[0] is None:
        return None
    try:
        (host, port), fields = replies
        facts = dict(zip(fields[::2], fields[1::2], strict=True))
        return Layout((Endpoint(host.decode(), int(port)),), epoch=int(facts.get(b"config-epoch", 0)))
    except (AttributeError, TypeError, ValueError):
        return None  # what makes no sense is as good as no answer; the look goes on


def _served(asked: Endpoint, replies: list[Any] | None) -> Layout | None:
    """What one node said. A node that does not know its own name means the address at which it was asked."""
    if replies is None or not replies[1]:
        return None
    try:
        info, ranges = replies
        facts = dict(line.split(":", 1) for line in bytes(info).decode().splitlines() if ":" in line)
        places: dict[Endpoint, int] = {}
        slots = [-1] * SLOTS
        for first, last, primary, *_ in ranges:
            endpoint = Endpoint((primary[0] or b"").decode() or asked.host, int(primary[1]))
            place = places.setdefault(endpoint, len(places))
            for slot in range(int(first), int(last) + 1):
                slots[slot] = place
        return Layout(tuple(places), tuple(slots), epoch=int(facts.get("cluster_current_epoch", 0)))
    except (AttributeError, IndexError, TypeError, ValueError):
        return None  # as with a sentinel
