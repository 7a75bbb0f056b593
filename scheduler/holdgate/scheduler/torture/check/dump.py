"""Everything that the state keeps of one tenant, read raw from Redis."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.state.audit import AuditEvent, AuditTrail
from holdgate.scheduler.state.connection import Scripts, key
from holdgate.scheduler.state.transitions import State

ZSETS = ("state", "backlog", "picked", "due", "parked", "leases")
READ_BY: dict[str, Callable[[str], tuple[str | int, ...]]] = {
    **dict.fromkeys(ZSETS, lambda name: ("ZRANGE", name, 0, -1)),
    **dict.fromkeys(("job", "approval", "result"), lambda name: ("HGETALL", name)),
    **dict.fromkeys(("running", "running_topic"), lambda name: ("SMEMBERS", name)),
}
VALUES_AT_ONCE = 512
"""Of a large tenant: the store answers others in between."""


@dataclass
class Dump:
    """Everything of one tenant. Keys are job ids unless said otherwise. `events`: those still in Redis, by seq."""

    jobs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    indexes: dict[str, list[State]] = field(default_factory=lambda: defaultdict(list))
    places: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    leases: set[str] = field(default_factory=set)
    running_by_key: dict[str, set[str]] = field(default_factory=dict)
    running_by_topic: dict[str, set[str]] = field(default_factory=dict)
    approvals: dict[str, dict[str, bytes]] = field(default_factory=dict)
    results: set[str] = field(default_factory=set)
    events: list[AuditEvent] = field(default_factory=list)

    def state(self, job_id: str) -> State:
        """Of a job that is there."""
        return State(self.jobs[job_id]["state"].decode())


async def dump(scripts: Scripts, tenant: Tenant) -> Dump:
    """Everything of `tenant`, by walking over its keys."""
    prefix = key(tenant, "")
    names = [raw.decode().removeprefix(prefix) for raw in await scripts.command("KEYS", f"{prefix}*")]
    names = sorted(name for name in names if name.partition(":")[0] in READ_BY)
    found = Dump(events=await AuditTrail(scripts).read(tenant, 0, 1_000_000))
    for start in range(0, len(names), VALUES_AT_ONCE):
        some = names[start : start + VALUES_AT_ONCE]
        values = await asyncio.gather(
            *(scripts.command(*READ_BY[name.partition(":")[0]](prefix + name)) for name in some)
        )
        for name, value in zip(some, values, strict=True):
            _take(found, name, value)
    return found


def _take(found: Dump, name: str, value: list[bytes]) -> None:
    kind, _, rest = name.partition(":")
    match kind:
        case "job":
            found.jobs[rest] = _fields(value)
        case "approval":
            found.approvals[rest] = _fields(value)
        case "state":
            for job_id in value:
                found.indexes[job_id.decode()].append(State(rest))
        case "backlog" | "picked" | "due" | "parked" if name != "parked":
            for job_id in value:
                found.places[job_id.decode()].append(kind)
        case "leases":
            found.leases = {job_id.decode() for job_id in value}
        case "running":
            found.running_by_key[rest] = {job_id.decode() for job_id in value}
        case "running_topic":
            found.running_by_topic[rest] = {job_id.decode() for job_id in value}
        case "result":
            found.results.add(rest)
        case _:
            pass  # `parked` itself: when each concurrency key was looked at last


def _fields(flat: list[bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
