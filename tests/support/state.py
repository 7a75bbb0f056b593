"""Jobs, decisions and every store of the state for tests, with a clock that tests turn."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

from holdgate.kernel.canonical import digest, digest_bytes
from holdgate.kernel.ids import ActorId, Digest, JobId, LeaseToken, PermitId, Tenant, WorkerId, new_job_id, new_token
from holdgate.kernel.links import Admission, Signed, Vote
from holdgate.kernel.permits import Signer, seal
from holdgate.kernel.records import ApprovalRequirement, Decision, Job, Outcome, Phase, Throttle, Verdict
from holdgate.scheduler.state.approvals import Approvals, VoteRequest, VoteResult
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.backlog import Backlog, Picked, StartRequest, StartResult
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.endings import Ending, Endings
from holdgate.scheduler.state.entry import AcceptResult, Idempotency, StateLimits, Submission
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.leases import Leases
from holdgate.scheduler.state.quarantine import Quarantine
from holdgate.scheduler.state.results import FinishRequest, Results
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.state.workers import Workers

TENANT = Tenant("acme")
POOL = "default"
WORKER = WorkerId("w1")
API = Signer.from_seed(b"a" * 32)
SNAPSHOT = digest("policy one")
START_MS = 1_800_000_000_000
APPROVERS = (ApprovalRequirement(rule="hold", roles=("release-manager",)),)


_numbers = itertools.count(1)


def _in_order(n: int) -> bytes:
    """Entropy for ids that sort in the order in which they are made, also within one millisecond."""
    return next(_numbers).to_bytes(n, "big")


def make_job(now_ms: int, **changes: Any) -> Job:
    """A plain job; `payload` may be replaced with its digest following."""
    payload = changes.pop("payload", b'{"n":1}')
    job = Job(
        job_id=new_job_id(now_ms, _in_order),
        created_ms=now_ms,
        trace_id="trace",
        tenant=TENANT,
        topic="job.demo.read",
        payload=payload,
        payload_digest=digest_bytes(payload),
        actor=ActorId("agent"),
        actor_type="agent",
        pool=POOL,
        max_attempts=2,
    )
    return replace(job, **changes)


def make_decision(job: Job, verdict: Verdict = Verdict.ALLOW, *, snapshot: Digest = SNAPSHOT, **more: Any) -> Decision:
    """A decision about `job`; a required approval asks for one `release-manager` unless `approvals` says else."""
    if verdict is Verdict.REQUIRE_APPROVAL:
        more.setdefault("approvals", APPROVERS)
    return Decision(
        verdict=verdict,
        reason="a test says so",
        snapshot=snapshot,
        job_hash=job.job_hash(),
        phase=Phase.SUBMIT,
        decided_ms=job.created_ms,
        rules=("rule",),
        deciding=("rule",),
        **more,
    )


def make_admission(job: Job, outcome: Outcome = Outcome.ACCEPTED) -> Signed:
    """Signed by the test's api key."""
    return seal(
        Admission(
            job_id=job.job_id,
            job_hash=job.job_hash(),
            tenant=job.tenant,
            actor=job.actor,
            principals=job.principals,
            outcome=outcome,
            verdict="allow",
            snapshot=SNAPSHOT,
            issued_ms=job.created_ms,
        ),
        API,
    )


async def tell_log(scripts: Scripts, tenant: Tenant = TENANT, owner: str = "test") -> list[Ending]:
    """All that ended since, as a dispatcher tells the log of it."""
    endings, told = Endings(scripts, owner), []
    while some := await endings.take(tenant):
        await endings.note_logged(tenant, some)
        told += some
    return told


@dataclass
class World:
    """The stores over one connection. `now_ms` is the clock."""

    scripts: Scripts
    now_ms: int = START_MS
    limits: StateLimits = field(default_factory=StateLimits)

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.scripts, self.limits)
        self.backlog = Backlog(self.scripts)
        self.leases = Leases(self.scripts)
        self.results = Results(self.scripts)
        self.quarantine = Quarantine(self.scripts)
        self.approvals = Approvals(self.scripts)
        self.audit = AuditTrail(self.scripts)
        self.workers = Workers(self.scripts)
        self.numbers = itertools.count(1)

    def pass_ms(self, ms: int) -> int:
        """Let time pass."""
        self.now_ms += ms
        return self.now_ms

    async def accept(
        self,
        job: Job | None = None,
        *,
        initial: State = State.ACCEPTED,
        verdict: Verdict | None = None,
        idempotency: Idempotency | None = None,
        throttles: tuple[Throttle, ...] = (),
    ) -> AcceptResult:
        """Submit `job`, or a plain new one."""
        job = job or make_job(self.now_ms)
        held = initial is State.HELD
        decision = make_decision(job, verdict or (Verdict.REQUIRE_APPROVAL if held else Verdict.ALLOW))
        admission = make_admission(job, Outcome.HELD if held else Outcome.ACCEPTED)
        return await self.jobs.accept(
            Submission(job, decision, admission, initial, idempotency, throttles), self.now_ms
        )

    async def queued(self, **changes: Any) -> JobId:
        """A job in the backlog."""
        job = make_job(self.now_ms, **changes)
        await self.accept(job)
        await self.backlog.enqueue(job.tenant, [job.job_id], self.now_ms)
        return job.job_id

    async def held(self, **changes: Any) -> Job:
        """A job that waits for approval."""
        job = make_job(self.now_ms, **changes)
        await self.accept(job, initial=State.HELD)
        await self.backlog.enqueue(job.tenant, [job.job_id], self.now_ms)
        return job

    async def pick(
        self, n: int = 1, *, tenant: Tenant = TENANT, pool: str = POOL, in_flight_max: int = 100
    ) -> list[Picked]:
        """Reserve jobs."""
        return await self.backlog.pick(tenant, pool, n, in_flight_max=in_flight_max, now_ms=self.now_ms)

    def start_request(self, picked: Picked, **changes: Any) -> StartRequest:
        """What starts `picked`, allowed under SNAPSHOT."""
        request = StartRequest(
            job_id=picked.job.job_id,
            reservation=picked.reservation,
            decision=make_decision(picked.job),
            permit_id=PermitId(f"permit_{next(self.numbers)}"),
            worker=WORKER,
            pool=picked.job.pool,
            token=LeaseToken(new_token()),
            attempt=picked.attempt,
            lease_ms=30_000,
            topic=picked.job.topic,
        )
        return replace(request, **changes)

    async def start(self, picked: Picked, **changes: Any) -> tuple[StartResult, LeaseToken]:
        """Start one picked job; its token."""
        request = self.start_request(picked, **changes)
        [result] = await self.backlog.start(picked.job.tenant, [request], self.now_ms)
        return result, request.token

    async def running(self, **changes: Any) -> tuple[Picked, LeaseToken]:
        """A job that runs; how it was picked and its token."""
        job_id = await self.queued(**changes)
        picked = next(item for item in await self.pick(100) if item.job.job_id == job_id)
        _, token = await self.start(picked)
        return picked, token

    def finish_request(self, picked: Picked, token: LeaseToken, to_state: State, **changes: Any) -> FinishRequest:
        """A verdict on the attempt."""
        request = FinishRequest(
            job_id=picked.job.job_id,
            attempt=picked.attempt,
            token=token,
            to_state=to_state,
            verdict={"verdict": "allow", "findings": []},
        )
        return replace(request, **changes)

    def vote_request(self, job: Job, approver: str = "ada", **changes: Any) -> VoteRequest:
        """A release by a release manager."""
        job_hash = job.job_hash()
        vote = Vote(
            job_id=job.job_id,
            job_hash=job_hash,
            snapshot=SNAPSHOT,
            tenant=job.tenant,
            approver=ActorId(approver),
            roles=("release-manager",),
            approve=True,
            reason="looked at it",
            attempt=1,
            issued_ms=self.now_ms,
            expires_ms=self.now_ms + 3_600_000,
        )
        request = VoteRequest(
            job_id=job.job_id,
            approver=ActorId(approver),
            roles=("release-manager",),
            approve=True,
            reason="looked at it",
            job_hash=job_hash,
            snapshot=SNAPSHOT,
            fresh=SNAPSHOT,
            signed=seal(vote, API),
        )
        return replace(request, **changes)

    async def vote(self, job: Job, approver: str = "ada", **changes: Any) -> VoteResult:
        """Cast it."""
        return await self.approvals.vote(job.tenant, self.vote_request(job, approver, **changes), self.now_ms)

    async def state(self, job_id: JobId, tenant: Tenant = TENANT) -> State:
        """The job's state."""
        return (await self.jobs.require(tenant, job_id)).state
