"""The scan: counts what is ready, so that a lost hint costs a moment and operators see the backlog."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.board import ReadyBoard
from holdgate.scheduler.state.backlog import Backlog
from holdgate.scheduler.state.jobs import Jobs

TENANTS_NAMED_MAX = 50
"""In a metric: each name is a series for as long as the process lives."""
POOLS_NAMED_MAX = 25
"""Of those for which no worker asked: jobs name pools as they like."""
OTHERS = "_other"
"""No name of a tenant or a pool: those begin with a letter or a digit."""
POOLS_KEPT = 8
"""Of one tenant, before it is asked whether some are to be forgotten, each so many looks."""
FORGET_LOOKS = 32


class Scan:
    """`run_once` marks every tenant that has ready jobs, pool by pool."""

    def __init__(self, *, jobs: Jobs, backlog: Backlog, board: ReadyBoard) -> None:
        self._jobs = jobs
        self._backlog = backlog
        self._board = board
        self._pools: set[str] = set()
        self._named: set[str] = set()
        self._looks = 0

    async def run_once(self) -> None:
        """One look at all tenants. StateUnavailable: the next one will do."""
        number = self._board.number
        tenants = await self._jobs.tenants()
        found = await asyncio.gather(*map(self._backlog.pools, tenants))
        depths: Counter[str] = Counter()
        by_tenant: Counter[str] = Counter()
        for tenant, pools in zip(tenants, found, strict=True):
            for pool, ready in pools.items():
                depths[pool] += ready
                by_tenant[tenant] += ready
                if ready:
                    self._board.mark(pool, tenant)
        self._board.keep_only(depths, number)
        self._show_pools(depths)
        self._show(by_tenant)
        if self._looks % FORGET_LOOKS == 0:
            crowded = [tenant for tenant, pools in zip(tenants, found, strict=True) if _may_forget(pools)]
            await asyncio.gather(*map(self._jobs.forget_pools, crowded))
        self._looks += 1

    def _show_pools(self, depths: Counter[str]) -> None:
        asked, others = self._board.asked, 0
        for pool, ready in depths.items():
            if pool in asked or len(self._pools) < POOLS_NAMED_MAX:
                self._pools.add(pool)
            if pool not in self._pools:
                others += ready
        for pool in self._pools:
            metrics.BACKLOG.labels(pool).set(depths[pool])
        metrics.BACKLOG.labels(OTHERS).set(others)

    def _show(self, by_tenant: Counter[str]) -> None:
        others = 0
        for tenant, ready in by_tenant.items():
            if ready and len(self._named) < TENANTS_NAMED_MAX:
                self._named.add(tenant)
            if tenant not in self._named:
                others += ready
        for tenant in self._named:
            metrics.TENANT_BACKLOG.labels(tenant).set(by_tenant[tenant])
        metrics.TENANT_BACKLOG.labels(OTHERS).set(others)


def _may_forget(pools: Mapping[str, int]) -> bool:
    return len(pools) > POOLS_KEPT and not all(pools.values())
