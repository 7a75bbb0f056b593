"""Who works: the registry of workers, kept by their heartbeats, and the pools made of them."""

from __future__ import annotations

from dataclasses import dataclass

from holdgate.kernel.ids import WorkerId
from holdgate.scheduler.state.connection import Scripts


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
        raise NotImplementedError

    async def gone(self, worker: WorkerId) -> None:
        """Forget a worker that said goodbye."""
        raise NotImplementedError

    async def list_workers(self, now_ms: int) -> list[WorkerView]:
        """Workers that are alive, by name."""
        raise NotImplementedError

    async def list_pools(self, now_ms: int) -> list[PoolView]:
        """Pools with live workers, by name."""
        raise NotImplementedError
