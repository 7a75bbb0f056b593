"""Who works: the registry of workers, kept by their heartbeats, and the pools made of them."""

from __future__ import annotations

from dataclasses import dataclass

from holdgate.kernel.ids import WorkerId
from holdgate.kernel.wire import pack
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import INDEX, Scripts

ALIVE = f"{INDEX}:workers"
LISTED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class WorkerView:
    """What a worker said of itself last. `capacity` and `busy` are jobs."""

    worker: WorkerId
    pool: str
    topics: tuple[str, ...]
    capabilities: tuple[str, ...]
    capacity: int
    busy: int
    seen_ms: int


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool and the workers in it."""

    pool: str
    workers: int
    capacity: int
    busy: int
    topics: tuple[str, ...]
    capabilities: tuple[str, ...]


class Workers:
    """The registry; not of a tenant."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def seen(self, worker: WorkerView, *, ttl_ms: int) -> None:
        """Record a heartbeat; forgotten after `ttl_ms` of silence."""
        record = {
            "worker": worker.worker,
            "pool": worker.pool,
            "topics": list(worker.topics),
            "capabilities": list(worker.capabilities),
            "capacity": worker.capacity,
            "busy": worker.busy,
            "seen_ms": worker.seen_ms,
        }
        await self._scripts.commands(
            [
                ("SET", f"{INDEX}:worker:{worker.worker}", pack(record), "PX", ttl_ms),
                ("ZADD", ALIVE, worker.seen_ms + ttl_ms, worker.worker),
                ("ZREMRANGEBYSCORE", ALIVE, "-inf", worker.seen_ms),
            ]
        )

    async def gone(self, worker: WorkerId) -> None:
        """Forget a worker that said goodbye."""
        await self._scripts.commands([("DEL", f"{INDEX}:worker:{worker}"), ("ZREM", ALIVE, worker)])

    async def list_workers(self, now_ms: int) -> list[WorkerView]:
        """Workers that are alive, by name."""
        names = await self._scripts.command("ZRANGEBYSCORE", ALIVE, f"({now_ms}", "+inf", "LIMIT", 0, LISTED_MAX)
        records = await self._scripts.commands([("GET", f"{INDEX}:worker:{name.decode()}") for name in names])
        return sorted((_view(data) for data in records if data is not None), key=lambda view: view.worker)

    async def list_pools(self, now_ms: int) -> list[PoolView]:
        """Pools with live workers, by name."""
        pools: dict[str, list[WorkerView]] = {}
        for worker in await self.list_workers(now_ms):
            pools.setdefault(worker.pool, []).append(worker)
        return [
            PoolView(
                pool=pool,
                workers=len(members),
                capacity=sum(worker.capacity for worker in members),
                busy=sum(worker.busy for worker in members),
                topics=tuple(sorted({topic for worker in members for topic in worker.topics})),
                capabilities=tuple(sorted({item for worker in members for item in worker.capabilities})),
            )
            for pool, members in sorted(pools.items())
        ]


def _view(data: bytes) -> WorkerView:
    record = encoding.unpack_stored(data)
    try:
        return WorkerView(
            **{
                **encoding.known(WorkerView, record),
                "topics": tuple(record["topics"]),
                "capabilities": tuple(record["capabilities"]),
            }
        )
    except (KeyError, TypeError) as error:
        raise StateBroken("a stored worker cannot be read") from error
