"""Standing grants that time or policy ended: expired ones, and those given under another policy, are told to be so.

What always holds: nothing depends on it. A grant past its end or of another snapshot releases nothing whether or not
this duty ran; it makes that visible. Without a policy nothing is made void, for what the next one says is not known.
"""

from __future__ import annotations

import time

import structlog

from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import Digest
from holdgate.scheduler.state.grants import Grants
from holdgate.scheduler.state.jobs import Jobs

log = structlog.get_logger(__name__)

BATCH = 256
FULL_PASS_S = 60.0
"""Between two looks at every grant while the policy stays: for one that was given while the policy was changing."""


class GrantKeeper:
    """`run_once` looks at every tenant's grants."""

    def __init__(self, *, grants: Grants, jobs: Jobs, kernel: KernelClient, clock: Clock) -> None:
        self._grants = grants
        self._jobs = jobs
        self._kernel = kernel
        self._clock = clock
        self._done_for: Digest | None = None
        self._done_s = 0.0

    async def run_once(self) -> int:
        """How many grants ended. StateUnavailable: the next run goes on."""
        began_s = time.monotonic()
        info = self._kernel.snapshot
        snapshot = info.snapshot if info is not None and info.policy else None
        is_due = snapshot != self._done_for or began_s - self._done_s >= FULL_PASS_S
        expired = void = 0
        for tenant in await self._jobs.tenants():
            expired += await self._grants.expire(tenant, self._clock.now_ms(), BATCH)
            if snapshot is not None and is_due:
                void += await self._grants.void_others(tenant, snapshot, self._clock.now_ms())
        if is_due:
            self._done_for, self._done_s = snapshot, began_s
        if expired or void:
            log.info("standing grants ended", action="grants_ended", expired=expired, void=void)
        return expired + void
