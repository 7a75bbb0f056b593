"""What the duties of a dispatcher share, and each duty made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nats.aio.client import Client as Nats

from holdgate.kernel import subjects
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import Entropy, JobId, Tenant, new_token
from holdgate.kernel.permits import Signer
from holdgate.scheduler.dispatch.asks import AskDesk
from holdgate.scheduler.dispatch.beats import BeatDesk
from holdgate.scheduler.dispatch.board import ReadyBoard
from holdgate.scheduler.dispatch.config import DispatchConfig
from holdgate.scheduler.dispatch.delivery import Deliveries
from holdgate.scheduler.dispatch.doomed import Doomed
from holdgate.scheduler.dispatch.escalating import Escalator
from holdgate.scheduler.dispatch.grace import Grace
from holdgate.scheduler.dispatch.granting import GrantKeeper
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.dispatch.intake import Intake
from holdgate.scheduler.dispatch.lost_results import LostResults
from holdgate.scheduler.dispatch.pausing import Pausing
from holdgate.scheduler.dispatch.policy_events import PolicyEvents
from holdgate.scheduler.dispatch.reaper import Reaper, ReaperState
from holdgate.scheduler.dispatch.redecide import Redecider
from holdgate.scheduler.dispatch.result_watch import ResultWatch
from holdgate.scheduler.dispatch.retention import DENIED_S_MAX, Retention
from holdgate.scheduler.dispatch.sampling import Sampler
from holdgate.scheduler.dispatch.scan import Scan
from holdgate.scheduler.dispatch.sealed_expiry import SealedExpiry
from holdgate.scheduler.gates.dispatch import DispatchGate
from holdgate.scheduler.gates.trust import TrustInForce
from holdgate.scheduler.recovery.parts import RecoveryParts
from holdgate.scheduler.recovery.service import Recovery
from holdgate.scheduler.recovery.telling import Telling
from holdgate.scheduler.state.approvals import Approvals
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.backlog import Backlog
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.endings import EndingLog, Endings
from holdgate.scheduler.state.grants import Grants
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.leases import Leases
from holdgate.scheduler.state.log import JobLog, PayloadStore
from holdgate.scheduler.state.pauses import Pauses
from holdgate.scheduler.state.pull import PullReader
from holdgate.scheduler.state.quarantine import Quarantine
from holdgate.scheduler.state.results import Results
from holdgate.scheduler.state.stats import Stats
from holdgate.scheduler.state.workers import Workers


@dataclass(frozen=True, slots=True)
class FailOpen:
    """What handing over without a kernel takes: a root that says so, and a key that the root lists for dispatchers."""

    trust: TrustInForce
    signer: Signer

    def is_open(self) -> bool:
        """Whether the signed root in force now lets this key hand over without a kernel."""
        trust = self.trust()
        return trust is not None and trust.fail_modes.dispatch_open and self.signer.name in trust.dispatcher


@dataclass(frozen=True, slots=True)
class Stores:
    """Where jobs are, in all that they go through."""

    jobs: Jobs
    backlog: Backlog
    approvals: Approvals
    leases: Leases
    results: Results
    payloads: PayloadStore
    job_log: JobLog

    @classmethod
    def of(cls, nc: Nats, scripts: Scripts) -> Stores:
        """Those behind these connections."""
        return cls(
            jobs=Jobs(scripts),
            backlog=Backlog(scripts),
            approvals=Approvals(scripts),
            leases=Leases(scripts),
            results=Results(scripts),
            payloads=PayloadStore(nc),
            job_log=JobLog(nc),
        )


@dataclass(frozen=True, slots=True)
class Parts:
    """Makes the duties, each of what it needs; all of one dispatcher look at the same board."""

    nc: Nats
    scripts: Scripts
    kernel: KernelClient
    stores: Stores
    board: ReadyBoard
    hints: Hints
    clock: Clock
    entropy: Entropy
    config: DispatchConfig

    def gate(self, fail_open: FailOpen | None, on_started: Callable[[Tenant, JobId, int], None]) -> DispatchGate:
        """What picked jobs pass."""
        return DispatchGate(
            kernel=self.kernel,
            backlog=self.stores.backlog,
            approvals=self.stores.approvals,
            payloads=self.stores.payloads,
            clock=self.clock,
            entropy=self.entropy,
            is_open=fail_open.is_open if fail_open else lambda: False,
            signer=fail_open.signer if fail_open else None,
            on_started=on_started,
        )

    def pausing(self) -> Pausing:
        """Who gets no work now."""
        return Pausing(Pauses(self.scripts), self.clock)

    def asks(self, gate: DispatchGate, is_closed: Callable[[], bool], is_paused: Callable[[str, str], bool]) -> AskDesk:
        """Workers ask."""
        return AskDesk(
            self.nc,
            backlog=self.stores.backlog,
            gate=gate,
            deliveries=Deliveries(self.nc, leases=self.stores.leases, clock=self.clock),
            board=self.board,
            hints=self.hints,
            clock=self.clock,
            config=self.config,
            is_closed=is_closed,
            is_paused=is_paused,
        )

    def beats(self) -> BeatDesk:
        """Workers say that they are there."""
        return BeatDesk(
            self.nc,
            leases=self.stores.leases,
            workers=Workers(self.scripts),
            clock=self.clock,
            lease_ms=self.config.lease_ms,
            inboxes=self.config.inboxes,
        )

    def intake(self, on_unknown: Callable[[Tenant, JobId], bool]) -> Intake:
        """From the log into the backlog."""
        return Intake(
            PullReader(self.nc, subjects.STREAM_JOBS, subjects.CONSUMER_INTAKE),
            backlog=self.stores.backlog,
            board=self.board,
            hints=self.hints,
            clock=self.clock,
            on_unknown=on_unknown,
        )

    def result_watch(self) -> ResultWatch:
        """What is in the log of results."""
        reader = PullReader(self.nc, subjects.STREAM_RESULTS, subjects.CONSUMER_RESULT_WATCH)
        return ResultWatch(reader, results=self.stores.results, clock=self.clock)

    def reaper(self, is_whole: Callable[[], bool]) -> Reaper:
        """What happens because time passed."""
        stores = self.stores
        return Reaper(
            ReaperState(stores.jobs, stores.backlog, stores.leases, stores.approvals, is_whole),
            stores.job_log,
            board=self.board,
            hints=self.hints,
            clock=self.clock,
            entropy=self.entropy,
            outbox_age_ms=self.config.outbox_age_ms,
            grace=Grace(self.nc, self.config.reclaim_grace_s),
        )

    def redecider(self) -> Redecider:
        """Held jobs under another policy."""
        return Redecider(
            kernel=self.kernel,
            jobs=self.stores.jobs,
            approvals=self.stores.approvals,
            backlog=self.stores.backlog,
            payloads=self.stores.payloads,
            board=self.board,
            hints=self.hints,
            clock=self.clock,
        )

    def grants(self) -> GrantKeeper:
        """Standing grants that time or policy ended."""
        return GrantKeeper(grants=Grants(self.scripts), jobs=self.stores.jobs, kernel=self.kernel, clock=self.clock)

    def escalator(self) -> Escalator:
        """Held jobs that further people may release."""
        return Escalator(jobs=self.stores.jobs, approvals=self.stores.approvals, hints=self.hints, clock=self.clock)

    def scan(self) -> Scan:
        """What is ready, should a hint be lost."""
        return Scan(jobs=self.stores.jobs, backlog=self.stores.backlog, board=self.board)

    def retention(self) -> Retention:
        """Ended jobs after their time."""
        return Retention(self.stores.jobs, clock=self.clock, keep_s=self.config.retention_s)

    def sealed_expiry(self) -> SealedExpiry:
        """Sealed outputs after their time."""
        quarantine = Quarantine(self.scripts)
        return SealedExpiry(self.stores.jobs, quarantine, clock=self.clock, keep_s=self.config.quarantine_keep_s)

    def doomed(self) -> Doomed:
        """Sealed bytes that nobody may open any more."""
        return Doomed(self.stores.jobs, Quarantine(self.scripts), self.stores.payloads)

    def lost_results(self) -> LostResults:
        """Finishing jobs whose result is in no log any more."""
        return LostResults(
            self.nc, jobs=self.stores.jobs, results=self.stores.results, hints=self.hints, clock=self.clock
        )

    def telling(self) -> Telling:
        """How jobs ended, into the log."""
        endings = Endings(self.scripts, new_token(self.entropy))
        return Telling(jobs=self.stores.jobs, endings=endings, ending_log=EndingLog(self.nc))

    def recovery(self, telling: Telling) -> Recovery:
        """After a loss, of the state or of the log."""
        return Recovery(
            RecoveryParts(
                self.nc,
                self.scripts,
                self.clock,
                retention_s=self.config.retention_s,
                denied_s=min(self.config.retention_s, DENIED_S_MAX),
                quarantine_keep_s=self.config.quarantine_keep_s,
                results_wait_s=self.config.results_wait_s,
            ),
            telling.take_told,
        )

    def sampler(self) -> Sampler:
        """How much waits and runs."""
        return Sampler(
            jobs=self.stores.jobs,
            stats=Stats(self.scripts),
            workers=Workers(self.scripts),
            kernel=self.kernel,
            clock=self.clock,
        )

    def policy_events(self) -> PolicyEvents:
        """What kernels accept and refuse."""
        return PolicyEvents(self.nc, self.kernel, AuditTrail(self.scripts), self.clock)
