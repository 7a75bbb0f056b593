"""The dispatcher: every duty that moves jobs between the gates, in one process; any number of them may run.

    asks          workers ask; picked jobs pass the dispatch gate and are handed over
    beats         heartbeats renew leases
    intake        from the log into the backlog
    result-watch  running → finishing when a result is in the log
    reaper        what happens because time passed
    redecide      held jobs under a new policy
    grants        standing grants that time or policy ended
    pausing       pools and workers that an operator keeps from getting work
    scan          marks what is ready, should a hint be lost
    retention     ended jobs are deleted after their time
    sealed_expiry sealed outputs about which nobody decided in time are destroyed
    doomed        sealed bytes that nobody may open any more are deleted
    lost-results  finishing jobs whose result is in no log any more
    policy-events what kernels accept and refuse comes into the audit trail
    endings       how jobs ended comes into the log
    watch         whether the state store was set back, or the log lost messages
    reconcile     both are looked over, and made good from each other
    sample        how many jobs wait and run, how the kernels are, for the overview

What always holds: this process decides nothing. Killed at any moment it leaves nothing that another one, or itself
after a restart, does not pick up.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from holdgate.kernel import subjects
from holdgate.kernel.calls import SnapshotInfo
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import NAME, Entropy, JobId, Tenant
from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.board import ReadyBoard
from holdgate.scheduler.dispatch.config import DispatchConfig
from holdgate.scheduler.dispatch.duty import Periodic, Steady, run_safely
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.dispatch.parts import FailOpen, Parts, Stores
from holdgate.scheduler.dispatch.pausing import INTERVAL_S as PAUSES_S
from holdgate.scheduler.dispatch.sampling import INTERVAL_S as SAMPLE_INTERVAL_S
from holdgate.scheduler.state.connection import Scripts

log = structlog.get_logger(__name__)

RUN_END_S = 2.0
"""For a run of a duty that is under way at a stop: one batch, or one look over all tenants."""


class DispatcherService:
    """Composes the duties. They are attributes, so that tests drive each by its `run_once`."""

    def __init__(
        self,
        nc: Nats,
        scripts: Scripts,
        kernel: KernelClient,
        *,
        clock: Clock,
        config: DispatchConfig | None = None,
        fail_open: FailOpen | None = None,
        is_closed: Callable[[], bool] = lambda: False,
        entropy: Entropy = os.urandom,
    ) -> None:
        config = config or DispatchConfig()
        stores, self.board, self.hints = Stores.of(nc, scripts), ReadyBoard(), Hints(nc)
        parts = Parts(nc, scripts, kernel, stores, self.board, self.hints, clock, entropy, config)
        self._nc, self._kernel, self._job_log = nc, kernel, stores.job_log
        self.telling = parts.telling()
        self.recovery = parts.recovery(self.telling)
        self.gate = parts.gate(fail_open, self.recovery.note_started)
        self.pausing = parts.pausing()
        self.asks = parts.asks(self.gate, lambda: is_closed() or not self.recovery.is_open(), self.pausing.is_paused)
        self.beats = parts.beats()
        self.intake = parts.intake(self._on_unknown)
        self.result_watch = parts.result_watch()
        self.reaper = parts.reaper(self.recovery.is_open)
        self.retention = parts.retention()
        self.doomed = parts.doomed()
        self.sealed_expiry = parts.sealed_expiry()
        self.lost_results = parts.lost_results()
        self.redecider = parts.redecider()
        self.grants = parts.grants()
        self.escalator = parts.escalator()
        self.scan = parts.scan()
        self.sampler = parts.sampler()
        self.policy_events = parts.policy_events()
        self._redeciding = Periodic("redecide", self.redecider.run_once, config.redecide_interval_s)
        self._granting = Periodic("grants", self.grants.run_once, config.redecide_interval_s)
        self._scanning = Periodic("scan", self.scan.run_once, config.scan_interval_s)
        self._watching = Periodic("watch", self.recovery.watch_once, config.watch_interval_s)
        self._tasks = TaskSet(_duty_ended)
        self._duties: tuple[Periodic | Steady, ...] = (
            self._redeciding,
            self._granting,
            self._scanning,
            self._watching,
            Periodic("reconcile", self.recovery.reconcile_once, config.reconcile_interval_s),
            *self._others(config),
            Steady("intake", self.intake.run_once),
            Steady("result_watch", self.result_watch.run_once),
        )
        self._wakes: Subscription | None = None

    def _others(self, config: DispatchConfig) -> tuple[Periodic, ...]:
        """The duties that only time calls for."""
        return (
            Periodic("pausing", self.pausing.run_once, PAUSES_S),
            Periodic("reaper", self.reaper.run_once, config.reaper_interval_s),
            Periodic("escalate", self.escalator.run_once, config.escalate_interval_s),
            Periodic("retention", self.retention.run_once, config.retention_interval_s),
            Periodic("sealed_expiry", self.sealed_expiry.run_once, config.retention_interval_s),
            Periodic("doomed", self.doomed.run_once, config.retention_interval_s),
            Periodic("lost_results", self.lost_results.run_once, config.lost_results_interval_s),
            self.policy_events.duty,
            Periodic("endings", self.telling.run_once, config.endings_interval_s),
            Periodic("sample", self.sampler.run_once, SAMPLE_INTERVAL_S),
        )

    async def start(self) -> None:
        """Begin all duties. The streams and consumers must exist (`state.log.ensure_streams`)."""
        self.recovery.start()
        self._kernel.on_snapshot(self._on_snapshot)
        self._wakes = await self._nc.subscribe(f"{subjects.WAKE}.*", cb=self._on_wake)
        await self.beats.start()
        await run_safely("pausing", self.pausing.run_once)
        await self.asks.start()
        await self.policy_events.start()
        for duty in self._duties:
            self._tasks.start(duty.run(), duty.name)
        log.info("dispatcher started", action="started")

    async def stop(self) -> None:
        """Answer open asks and let every duty end its run; what it took and did not do goes to other dispatchers.

        Idempotent. Leases and reservations end by themselves.
        """
        for duty in self._duties:
            duty.end()
        await asyncio.gather(self.asks.stop(), self.beats.stop(), self.intake.stop(), self.result_watch.stop())
        await self._tasks.drain(RUN_END_S)
        await self.policy_events.stop()
        wakes, self._wakes = self._wakes, None
        if wakes is not None and not self._nc.is_closed:
            await wakes.unsubscribe()
        await self._job_log.close()
        await self.telling.stop()

    def _on_unknown(self, tenant: Tenant, job_id: JobId) -> bool:
        is_settled = self.recovery.doubt(tenant, job_id)
        if not is_settled:
            self._watching.nudge()
        return is_settled

    async def _on_wake(self, message: Msg) -> None:
        pool = message.subject.rpartition(".")[2]
        tenant = message.data.decode("utf-8", "replace")
        if NAME.match(tenant):
            self.board.mark(pool, tenant)
        else:
            self._scanning.nudge()

    def _on_snapshot(self, _info: SnapshotInfo) -> None:
        self._redeciding.nudge()
        self._granting.nudge()
        self._scanning.nudge()
        self.policy_events.duty.nudge()


def _duty_ended(name: str, error: BaseException) -> None:
    metrics.DUTY_FAILURES.labels(name if name in metrics.DUTIES else "scan").inc()
    log.critical("a duty ended", action="duty_ended", duty=name, error=repr(error))
