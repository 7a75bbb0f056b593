"""Who works: the registry of workers, kept by their heartbeats, and the pools made of them.

What always holds: a worker is a pool and a name, so that nobody in one pool takes the place of a worker of another, or
keeps it out of sight; of a pool a bounded number is kept, those that beat last.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdgate.kernel.ids import WorkerId
from holdgate.kernel.wire import pack
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import INDEX, Scripts

POOLS = f"{INDEX}:worker_pools"
LISTED_MAX = 1_000
"""Of each pool."""
KEPT_MAX = 4_096
SHOWN_BYTES_MAX = 16 * 1024
"""Of the topics, and of the capabilities, that are kept of a worker: people look at them, nothing rests on them."""


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
            "topics": _shown(worker.topics),
            "capabilities": _shown(worker.capabilities),
            "capacity": worker.capacity,
            "busy": worker.busy,
            "seen_ms": worker.seen_ms,
        }
        alive, ends_ms = _alive(worker.pool), worker.seen_ms + ttl_ms
        await self._scripts.commands(
            [
                ("SET", _record(worker.pool, worker.worker), pack(record), "PX", ttl_ms),
                ("ZADD", alive, ends_ms, worker.worker),
                ("ZREMRANGEBYSCORE", alive, "-inf", worker.seen_ms),
                ("ZREMRANGEBYRANK", alive, 0, -KEPT_MAX - 1),
                ("PEXPIRE", alive, ttl_ms),
                ("ZADD", POOLS, ends_ms, worker.pool),
                ("ZREMRANGEBYSCORE", POOLS, "-inf", worker.seen_ms),
            ]
        )

    async def gone(self, pool: str, worker: WorkerId) -> None:
        """Forget a worker that said goodbye."""
        await self._scripts.commands([("DEL", _record(pool, worker)), ("ZREM", _alive(pool), worker)])

    async def list_workers(self, now_ms: int) -> list[WorkerView]:
        """Workers that are alive, by name; of each pool a thousand at most."""
        since = f"({now_ms}"
        pools = [pool.decode() for pool in await self._scripts.command("ZRANGEBYSCORE", POOLS, since, "+inf")]
        found = await self._scripts.commands(
            [("ZREVRANGE", _alive(pool), 0, LISTED_MAX - 1, "WITHSCORES") for pool in pools]
        )
        names = [
            _record(pool, name.decode())
            for pool, row in zip(pools, found, strict=True)
            for name, ends_ms in zip(row[::2], row[1::2], strict=True)
            if float(ends_ms) > now_ms
        ]
        records = await self._scripts.commands([("GET", name) for name in names])
        views = (_view(data) for data in records if data is not None)
        return sorted(views, key=lambda view: (view.worker, view.pool))

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


def _alive(pool: str) -> str:
    return f"{INDEX}:workers:{pool}"


def _record(pool: str, worker: str) -> str:
    return f"{INDEX}:worker:{pool}:{worker}"


def _shown(texts: tuple[str, ...]) -> list[str]:
    """As many as fit."""
    shown: list[str] = []
    left = SHOWN_BYTES_MAX
    for text in texts:
        left -= len(text.encode())
        if left < 0:
            break
        shown.append(text)
    return shown
