"""A dispatcher with a real kernel beside it, over the test's own NATS account and Redis database.

Jobs enter as the api lets them in: admission signed by the api's key, accept script, then the log. Policies are rules
given as data, compiled by the real compiler, and may be changed or taken away while everything runs.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from holdgate.kernel import subjects, wire
from holdgate.kernel.breaker import Breaker
from holdgate.kernel.canonical import digest
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import ActorId, JobId, LeaseToken, Tenant, WorkerId
from holdgate.kernel.links import Admission, Permit, Signed, Vote
from holdgate.kernel.permits import Keyring, Signer, open_signed, seal
from holdgate.kernel.policy import compile_policy, parse_rules, snapshot_of
from holdgate.kernel.records import Decision, Job, Outcome, Phase, Verdict
from holdgate.kernel.service import KernelService
from holdgate.kernel.trust import ActivePolicy, FailModes, PolicyEvent, Trust
from holdgate.scheduler.dispatch.config import DispatchConfig
from holdgate.scheduler.dispatch.parts import FailOpen
from holdgate.scheduler.dispatch.service import DispatcherService
from holdgate.scheduler.state.approvals import Approvals, VoteRequest, VoteResult
from holdgate.scheduler.state.backlog import Backlog
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.entry import Submission
from holdgate.scheduler.state.jobs import Jobs, JobView
from holdgate.scheduler.state.leases import LeaseClaim, Leases
from holdgate.scheduler.state.log import Envelope, JobLog
from holdgate.scheduler.state.results import FinishRequest, FinishResult, Results
from holdgate.scheduler.state.transitions import State
from support.state import API, POOL, TENANT, make_job
from support.waiting import eventually

KERNEL = Signer.from_seed(b"k" * 32)
DISPATCHER = Signer.from_seed(b"d" * 32)
FAR_MS = 4_000_000_000_000
ALLOW_ALL: dict[str, Any] = {"id": "allow-all", "decision": "allow", "reason": "open", "match": {"topics": ["job.>"]}}
HOLD_ALL: dict[str, Any] = {
    "id": "hold-all",
    "decision": "require_approval",
    "reason": "a person looks first",
    "match": {"topics": ["job.>"]},
    "approvers": {"roles": ["release-manager"], "quorum": 1, "expires": "4h"},
}
DENY_ALL: dict[str, Any] = {"id": "deny-all", "decision": "deny", "reason": "closed", "match": {"topics": ["job.>"]}}


class Rules:
    """A policy source whose rules tests change."""

    def __init__(self, *rules: dict[str, Any], fail_open: bool = False) -> None:
        self._callbacks: list[Callable[[], None]] = []
        self._trust = Trust(
            root_version=1,
            root_digest=digest("root"),
            expires_ms=FAR_MS,
            api=Keyring([API.public_key]),
            kernel=Keyring([KERNEL.public_key]),
            dispatcher=Keyring([DISPATCHER.public_key]),
            auditor=Keyring([]),
            fail_modes=FailModes(dispatch_open=fail_open),
        )
        self._active: ActivePolicy | None = self._compiled(rules)

    @property
    def trust(self) -> Trust:
        """The root in force."""
        return self._trust

    def current(self) -> ActivePolicy | None:
        """The policy in force."""
        return self._active

    def on_change(self, callback: Callable[[], None]) -> None:
        """Hear of changes."""
        self._callbacks.append(callback)

    epoch_ms = 0

    def events(self, after: int) -> Sequence[PolicyEvent]:
        return ()

    def status(self) -> dict[str, object]:
        """Nothing to tell."""
        return {}

    def use(self, *rules: dict[str, Any]) -> None:
        """Put other rules in force; none at all: no policy."""
        self._active = self._compiled(rules) if rules else None
        for callback in self._callbacks:
            callback()

    def _compiled(self, rules: tuple[dict[str, Any], ...]) -> ActivePolicy:
        snapshot = snapshot_of([digest(list(rules))], 1)
        policy = compile_policy([parse_rules({"rules": list(rules)}, "test")], snapshot=snapshot)
        return ActivePolicy(policy, snapshot, self._trust, (), FAR_MS)


class Worker:
    """Asks, beats and nothing else: what it got is in the test's hands."""

    def __init__(self, nc: Nats, name: str = "w1", pool: str = POOL) -> None:
        self._nc = nc
        self.name = WorkerId(name)
        self.pool = pool

    async def ask(
        self,
        n: int = 1,
        *,
        wait_ms: int = 3000,
        topics: tuple[str, ...] = ("job.>",),
        capabilities: tuple[str, ...] = (),
    ) -> list[dict[str, Any]]:
        """The jobs of the answer; AssertionError when it is an error."""
        body = {**self._me(topics, capabilities), "n": n, "wait_ms": wait_ms}
        reply = await self._nc.request(subjects.ask(self.pool, self.name), wire.pack(body), timeout=wait_ms / 1000 + 5)
        answer = wire.unpack(reply.data)
        assert "error" not in answer, answer
        jobs: list[dict[str, Any]] = answer["jobs"]
        return jobs

    async def beat(self, *deliveries: dict[str, Any]) -> dict[str, Any]:
        """The answer to a heartbeat that claims these deliveries."""
        leases = [
            {
                "tenant": item["job"]["tenant"],
                "job_id": item["job"]["job_id"],
                "attempt": item["attempt"],
                "token": item["token"],
                "progress": 0.5,
            }
            for item in deliveries
        ]
        body = {**self._me(("job.>",), ()), "capacity": 4, "busy": len(leases), "leases": leases}
        reply = await self._nc.request(subjects.beat(self.pool, self.name), wire.pack(body), timeout=5)
        return wire.unpack(reply.data)

    def _me(self, topics: tuple[str, ...], capabilities: tuple[str, ...]) -> dict[str, Any]:
        return {"worker": self.name, "pool": self.pool, "topics": list(topics), "capabilities": list(capabilities)}


@dataclass
class Stage:
    """Everything of one test."""

    nc: Nats
    scripts: Scripts
    rules: Rules
    config: DispatchConfig = field(default_factory=lambda: DispatchConfig(reclaim_grace_s=0))
    fail_open: bool = False
    clock: SystemClock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.scripts)
        self.backlog = Backlog(self.scripts)
        self.leases = Leases(self.scripts)
        self.approvals = Approvals(self.scripts)
        self.results = Results(self.scripts)
        self.log = JobLog(self.nc)
        self.kernel = self.new_kernel()
        self.client = KernelClient(self.nc, clock=self.clock, timeout_s=0.3, breaker=Breaker(open_ms=200))
        self.dispatcher = self.new_dispatcher()
        self._names = itertools.count(1)

    def new_kernel(self) -> KernelService:
        """A kernel that is not started."""
        return KernelService(self.nc, self.rules, KERNEL, self.clock, "kernel-1")

    def new_dispatcher(self) -> DispatcherService:
        """A dispatcher that is not started."""
        fail_open = FailOpen(lambda: self.rules.trust, DISPATCHER)
        return DispatcherService(
            self.nc, self.scripts, self.client, clock=self.clock, config=self.config, fail_open=fail_open
        )

    async def start(self) -> None:
        """Kernel, client and dispatcher."""
        await self.kernel.start()
        await self.client.start()
        await self.start_dispatcher()

    async def start_dispatcher(self) -> None:
        """It hands over once it has looked at the state."""
        await self.dispatcher.start()
        await eventually(self.dispatcher.recovery.is_open)

    async def stop(self) -> None:
        """All of them."""
        await self.dispatcher.stop()
        await self.client.stop()
        await self.kernel.stop()
        await self.log.close()

    def worker(self, name: str | None = None) -> Worker:
        """One more worker."""
        return Worker(self.nc, name or f"w{next(self._names)}")

    async def submit(self, job: Job | None = None, **changes: Any) -> JobId:
        """A job let in as the api does, and in the log."""
        job = job or make_job(self.clock.now_ms(), **changes)
        (decision,) = await self.client.decide_fresh([job], Phase.SUBMIT)
        held = decision.verdict is Verdict.REQUIRE_APPROVAL
        initial = State.HELD if held else State.SCHEDULED if job.run_at_ms else State.ACCEPTED
        admission = self.admission(job, decision, Outcome.HELD if held else Outcome.ACCEPTED)
        await self.jobs.accept(Submission(job, decision, admission, initial), self.clock.now_ms())
        await self.log.publish(Envelope(job, decision, admission, initial, self.clock.now_ms()))
        return job.job_id

    def admission(self, job: Job, decision: Decision, outcome: Outcome) -> Signed:
        """Signed by the api."""
        record = Admission(
            job_id=job.job_id,
            job_hash=job.job_hash(),
            tenant=job.tenant,
            actor=job.actor,
            principals=job.principals,
            outcome=outcome,
            verdict=str(decision.verdict),
            snapshot=decision.snapshot,
            issued_ms=self.clock.now_ms(),
        )
        return seal(record, API)

    async def release(self, job_id: JobId, approver: str = "boss") -> VoteResult:
        """A yes of a release manager, as the api signs it."""
        approval = await self.approvals.require(TENANT, job_id)
        now_ms = self.clock.now_ms()
        vote = Vote(
            job_id=job_id,
            job_hash=approval.job_hash,
            snapshot=approval.snapshot,
            tenant=TENANT,
            approver=ActorId(approver),
            roles=("release-manager",),
            approve=True,
            reason="looks right",
            attempt=(await self.view(job_id)).next_attempt,
            issued_ms=now_ms,
            expires_ms=now_ms + 3_600_000,
        )
        request = VoteRequest(
            job_id=job_id,
            approver=ActorId(approver),
            roles=("release-manager",),
            approve=True,
            reason="looks right",
            job_hash=approval.job_hash,
            snapshot=approval.snapshot,
            fresh=approval.snapshot,
            signed=seal(vote, API),
        )
        result = await self.approvals.vote(TENANT, request, now_ms)
        if result.pool:
            await self.nc.publish(subjects.wake(result.pool), b"")
        return result

    async def view(self, job_id: JobId, tenant: Tenant = TENANT) -> JobView:
        """The job as it stands."""
        return await self.jobs.require(tenant, job_id)

    async def state_of(self, job_id: JobId, tenant: Tenant = TENANT) -> State:
        """Its state."""
        return (await self.view(job_id, tenant)).state

    async def finish(self, delivery: dict[str, Any], to_state: State = State.SUCCEEDED) -> FinishResult:
        """End the attempt of a delivery, as the output gate does."""
        request = FinishRequest(
            job_id=JobId(delivery["job"]["job_id"]),
            attempt=delivery["attempt"],
            token=LeaseToken(delivery["token"]),
            to_state=to_state,
            verdict={"verdict": "allow"},
        )
        (result,) = await self.results.finish(Tenant(delivery["job"]["tenant"]), [request], self.clock.now_ms())
        return result

    async def end_lease(self, delivery: dict[str, Any], worker: Worker) -> None:
        """Renew a lease to a time that is over."""
        claim = LeaseClaim(JobId(delivery["job"]["job_id"]), delivery["attempt"], LeaseToken(delivery["token"]))
        tenant = Tenant(delivery["job"]["tenant"])
        await self.leases.renew(tenant, [claim], worker.name, lease_ms=-1, now_ms=self.clock.now_ms())


def permit_of(delivery: dict[str, Any]) -> Permit:
    """The permit of a delivery, verified with the kernel's key."""
    return open_signed(Signed.from_dict(delivery["permit"]), Permit, Keyring([KERNEL.public_key]))


def job_of(delivery: dict[str, Any]) -> Job:
    """The job of a delivery."""
    return Job.from_dict(delivery["job"])


async def gathered(*calls: Any) -> list[Any]:
    """All at once."""
    return list(await asyncio.gather(*calls))


__all__ = ["ALLOW_ALL", "DENY_ALL", "HOLD_ALL", "Msg", "Rules", "Stage", "Worker", "gathered", "job_of", "permit_of"]
