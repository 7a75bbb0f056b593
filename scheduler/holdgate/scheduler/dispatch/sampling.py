"""Looks at what is not an event: how many jobs wait and run, how long outputs wait, who works, how the kernels are.

What always holds: it changes no job; that nobody looked shows as a gap, not as an empty queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from holdgate.kernel.breaker import BreakerState
from holdgate.kernel.client import KernelClient, ReplicaStatus
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import KernelUnavailable
from holdgate.scheduler import metrics
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.stats import KernelSample, Stats
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.state.workers import Workers

INTERVAL_S = 10.0
AT_ONCE = 64
"""Tenants looked at together: their calls share a write, and others' calls get in between."""


class Sampler:
    """`run_once` looks once at every tenant and at the kernels."""

    def __init__(self, *, jobs: Jobs, stats: Stats, workers: Workers, kernel: KernelClient, clock: Clock) -> None:
        self._jobs = jobs
        self._stats = stats
        self._workers = workers
        self._pools: set[str] = set()
        self._kernel = kernel
        self._clock = clock

    async def run_once(self) -> None:
        """StateUnavailable: the next look will do."""
        await self._stats.sample_kernels(await self._look_at_kernels(), self._clock.now_ms())
        await self._look_at_workers()
        tenants = await self._jobs.tenants()
        waited_ms = 0
        for first in range(0, len(tenants), AT_ONCE):
            now_ms, some = self._clock.now_ms(), tenants[first : first + AT_ONCE]
            await asyncio.gather(*(self._stats.sample(tenant, now_ms) for tenant in some))
            waits = await asyncio.gather(*(self._jobs.longest_ms(each, State.FINISHING, now_ms) for each in some))
            waited_ms = max(waited_ms, *waits)
        metrics.VERDICT_WAIT.set(waited_ms / 1000)

    async def _look_at_workers(self) -> None:
        """A pool that lost its last worker is there with none."""
        there = {pool.pool: pool.workers for pool in await self._workers.list_pools(self._clock.now_ms())}
        self._pools.update(there)
        for pool in self._pools:
            metrics.WORKERS_THERE.labels(pool).set(there.get(pool, 0))

    async def _look_at_kernels(self) -> KernelSample:
        try:
            heard = await self._kernel.status()
        except KernelUnavailable:
            heard = []
        return sample_of(heard, breaker=self._kernel.breaker_state)


def sample_of(heard: Sequence[ReplicaStatus], *, breaker: BreakerState) -> KernelSample:
    """What these answers say together. Without any there is nobody to disagree."""
    return KernelSample(
        replicas=len(heard),
        has_policy=bool(heard) and all(status.policy for status in heard),
        agree=len({status.snapshot for status in heard}) <= 1,
        breaker_closed=breaker is BreakerState.CLOSED,
    )
