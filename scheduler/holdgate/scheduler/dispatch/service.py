"""The dispatcher: every duty that moves jobs between the gates, in one process; any number of them may run.

    asks          workers ask; picked jobs pass the dispatch gate and are handed over
    beats         heartbeats renew leases
    intake        from the log into the backlog
    result-watch  running → finishing when a result is in the log
    reaper        what happens because time passed
    redecide      held jobs under a new policy
    grants        standing grants that time or policy ended
    scan          marks what is ready, should a hint be lost
    retention     ended jobs are deleted after their time
    doomed        sealed bytes that nobody may open any more are deleted
    lost-results  finishing jobs whose result is in no log any more
    policy-events what kernels accept and refuse comes into the audit trail
    sample        how many jobs wait and run, how the kernels are, for the overview

What always holds: this process decides nothing. Killed at any moment it leaves nothing that another one, or itself
after a restart, does not pick up.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from holdgate.kernel import subjects
from holdgate.kernel.calls import SnapshotInfo
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import NAME, Entropy
from holdgate.kernel.permits import Signer
from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.asks import AskDesk
from holdgate.scheduler.dispatch.beats import BeatDesk
from holdgate.scheduler.dispatch.board import ReadyBoard
from holdgate.scheduler.dispatch.config import DispatchConfig
from holdgate.scheduler.dispatch.delivery import Deliveries
from holdgate.scheduler.dispatch.doomed import Doomed
from holdgate.scheduler.dispatch.duty import Periodic, run_forever
from holdgate.scheduler.dispatch.escalating import Escalator
from holdgate.scheduler.dispatch.grace import Grace
from holdgate.scheduler.dispatch.granting import GrantKeeper
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.dispatch.intake import Intake
from holdgate.scheduler.dispatch.lost_results import LostResults
from holdgate.scheduler.dispatch.policy_events import PolicyEvents
from holdgate.scheduler.dispatch.reaper import Reaper, ReaperState
from holdgate.scheduler.dispatch.redecide import Redecider
from holdgate.scheduler.dispatch.result_watch import ResultWatch
from holdgate.scheduler.dispatch.retention import Retention
from holdgate.scheduler.dispatch.sampling import INTERVAL_S as SAMPLE_INTERVAL_S
from holdgate.scheduler.dispatch.sampling import Sampler
from holdgate.scheduler.dispatch.scan import Scan
from holdgate.scheduler.gates.dispatch import DispatchGate
from holdgate.scheduler.gates.trust import TrustInForce
from holdgate.scheduler.state.approvals import Approvals
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.backlog import Backlog
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.grants import Grants
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.leases import Leases
from holdgate.scheduler.state.log import JobLog, PayloadStore
from holdgate.scheduler.state.pull import PullReader
from holdgate.scheduler.state.quarantine import Quarantine
from holdgate.scheduler.state.results import Results
from holdgate.scheduler.state.stats import Stats
from holdgate.scheduler.state.workers import Workers

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FailOpen:
    """What handing over without a kernel takes: a root that says so, and a key that the root lists for dispatchers."""

    trust: TrustInForce
    signer: Signer

    def is_open(self) -> bool:
        """Whether the signed root in force now lets this key hand over without a kernel."""
        trust = self.trust()
        return trust is not None and trust.fail_modes.dispatch_open and self.signer.name in trust.dispatcher


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
        entropy: Entropy = os.urandom,
    ) -> None:
        config = config or DispatchConfig()
        jobs, backlog, approvals, leases = Jobs(scripts), Backlog(scripts), Approvals(scripts), Leases(scripts)
        payloads = PayloadStore(nc)
        self._nc = nc
        self._kernel = kernel
        self.board = board = ReadyBoard()
        self.hints = hints = Hints(nc)
        self._job_log = JobLog(nc)
        self.gate = DispatchGate(
            kernel=kernel,
            backlog=backlog,
            approvals=approvals,
            payloads=payloads,
            clock=clock,
            entropy=entropy,
            is_open=fail_open.is_open if fail_open else lambda: False,
            signer=fail_open.signer if fail_open else None,
        )
        self.asks = AskDesk(
            nc,
            backlog=backlog,
            gate=self.gate,
            deliveries=Deliveries(nc, leases=leases, clock=clock),
            board=board,
            hints=hints,
            clock=clock,
            config=config,
        )
        self.beats = BeatDesk(
            nc,
            leases=leases,
            workers=Workers(scripts),
            clock=clock,
            lease_ms=config.lease_ms,
            inboxes=config.inboxes,
        )
        self.intake = Intake(
            PullReader(nc, subjects.STREAM_JOBS, subjects.CONSUMER_INTAKE),
            jobs=jobs,
            backlog=backlog,
            board=board,
            hints=hints,
            clock=clock,
        )
        self.result_watch = ResultWatch(
            PullReader(nc, subjects.STREAM_RESULTS, subjects.CONSUMER_RESULT_WATCH),
            results=Results(scripts),
            clock=clock,
        )
        self.reaper = Reaper(
            ReaperState(jobs, backlog, leases, approvals),
            self._job_log,
            board=board,
            hints=hints,
            clock=clock,
            entropy=entropy,
            outbox_age_ms=config.outbox_age_ms,
            grace=Grace(nc, config.reclaim_grace_s),
        )
        self.retention = Retention(jobs, clock=clock, keep_s=config.retention_s)
        self.doomed = Doomed(jobs, Quarantine(scripts), payloads)
        self.lost_results = LostResults(nc, jobs=jobs, results=Results(scripts), hints=hints, clock=clock)
        self.redecider = Redecider(
            kernel=kernel, jobs=jobs, approvals=approvals, payloads=payloads, board=board, hints=hints, clock=clock
        )
        self.grants = GrantKeeper(grants=Grants(scripts), jobs=jobs, kernel=kernel, clock=clock)
        self.escalator = Escalator(jobs=jobs, approvals=approvals, hints=hints, clock=clock)
        self.scan = Scan(jobs=jobs, backlog=backlog, board=board)
        self.sampler = Sampler(jobs=jobs, stats=Stats(scripts), kernel=kernel, clock=clock)
        self.policy_events = PolicyEvents(nc, kernel, AuditTrail(scripts), clock)
        self._redeciding = Periodic("redecide", self.redecider.run_once, config.redecide_interval_s)
        self._granting = Periodic("grants", self.grants.run_once, config.redecide_interval_s)
        self._scanning = Periodic("scan", self.scan.run_once, config.scan_interval_s)
        self._periodic = (
            self._redeciding,
            self._granting,
            self._scanning,
            Periodic("reaper", self.reaper.run_once, config.reaper_interval_s),
            Periodic("escalate", self.escalator.run_once, config.escalate_interval_s),
            Periodic("retention", self.retention.run_once, config.retention_interval_s),
            Periodic("doomed", self.doomed.run_once, config.retention_interval_s),
            Periodic("lost_results", self.lost_results.run_once, config.retention_interval_s),
            self.policy_events.duty,
            Periodic("sample", self.sampler.run_once, SAMPLE_INTERVAL_S),
        )
        self._tasks = TaskSet(_duty_ended)
        self._wakes: Subscription | None = None

    async def start(self) -> None:
        """Begin all duties. The streams and consumers must exist (`state.log.ensure_streams`)."""
        self._kernel.on_snapshot(self._on_snapshot)
        self._wakes = await self._nc.subscribe(f"{subjects.WAKE}.*", cb=self._on_wake)
        await self.beats.start()
        await self.asks.start()
        await self.policy_events.start()
        for duty in self._periodic:
            self._tasks.start(duty.run(), duty.name)
        self._tasks.start(run_forever("intake", self.intake.run_once), "intake")
        self._tasks.start(run_forever("result_watch", self.result_watch.run_once), "result_watch")
        log.info("dispatcher started", action="started")

    async def stop(self) -> None:
        """Answer open asks, end all duties; idempotent. Leases and reservations end by themselves."""
        await self.asks.stop()
        await self.beats.stop()
        await self._tasks.close()
        await self.policy_events.stop()
        wakes, self._wakes = self._wakes, None
        if not self._nc.is_closed:
            if wakes is not None:
                await wakes.unsubscribe()
            await self.intake.stop()
            await self.result_watch.stop()
        await self._job_log.close()

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
