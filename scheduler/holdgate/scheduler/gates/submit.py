"""The submit gate: nothing is stored or published before the kernel has decided.

    job → decide → deny: recorded without payload and prompt
                 → hold: is there a standing grant? → its use and its votes go into accept
                 → sign the admission → accept (one script) → publish to the log → answer

What always holds: without a decision nothing is stored, unless the signed root says that submit fails open, and then
the job is marked and counted; how a job entered (accepted, held) is signed, so that a hold cannot be dropped on the
way; the answer "accepted" is given only when Redis and JetStream both have the job on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from holdgate.kernel import limits, tracing
from holdgate.kernel.client import KernelClient, is_without_policy
from holdgate.kernel.clock import Clock
from holdgate.kernel.custody import effective_verdict, required_approvals
from holdgate.kernel.errors import KernelUnavailable
from holdgate.kernel.links import Admission
from holdgate.kernel.permits import Signer, seal
from holdgate.kernel.records import Decision, Job, Outcome, Over, Phase, Throttle, Verdict
from holdgate.kernel.trust import NO_POLICY_SNAPSHOT, Trust
from holdgate.scheduler.errors import (
    IdempotencyConflict,
    LogUnavailable,
    QueueFull,
    QueuesFull,
    StateBroken,
    TooManyPools,
)
from holdgate.scheduler.gates import metrics
from holdgate.scheduler.gates.granted import StandingGrants
from holdgate.scheduler.gates.hints import Hints
from holdgate.scheduler.gates.room import QueueRoom
from holdgate.scheduler.gates.trust import TrustInForce
from holdgate.scheduler.metrics import JOBS
from holdgate.scheduler.state.encoding import Packed
from holdgate.scheduler.state.entry import AcceptKind, AcceptResult, Idempotency, Submission
from holdgate.scheduler.state.grants import GrantUse
from holdgate.scheduler.state.jobs import Jobs, JobView
from holdgate.scheduler.state.log import Envelope, JobLog, PayloadStore
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger("holdgate.gates.submit")
_COUNTERS = {state: JOBS.labels(str(state)) for state in State}
FAIL_OPEN_REASON = "no kernel answered; the signed root says that submit fails open"


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a job at the gate.

    `state` is DENIED for a refusal; `code` then says which (`denied` or `throttled`). `replayed`: the idempotency key
    had been used with this body before, and this is the answer of that time.
    """

    job_id: str
    state: State
    decision: Decision
    trace_id: str
    code: str | None = None
    retry_after_ms: int = 0
    replayed: bool = False
    fail_open: bool = False


@dataclass(frozen=True, slots=True)
class SubmitGate:
    """Lets jobs in. One per api process."""

    kernel: KernelClient
    jobs: Jobs
    job_log: JobLog
    payloads: PayloadStore
    signer: Signer
    trust: TrustInForce
    standing: StandingGrants
    room: QueueRoom
    hints: Hints
    clock: Clock
    is_log_away: Callable[[], bool] = lambda: False
    """Whether it is known beforehand that the log takes nothing: then nothing is stored."""

    async def preview(self, job: Job) -> Decision:
        """What the kernel would say now; nothing is stored and no rate limit counted. KernelUnavailable."""
        (decision,) = await self.kernel.decide_fresh([job], Phase.SIMULATE)
        return decision

    async def submit(self, job: Job, idempotency: Idempotency | None) -> Submitted:
        """Take `job` through the gate.

        KernelUnavailable: nothing was stored. StateUnavailable, LogUnavailable: the same request may be sent again.
        IdempotencyConflict, QueueFull, QueuesFull, TooManyPools: nothing was stored.
        """
        started_ns = tracing.start()
        try:
            decision = await self.kernel.decide(job, Phase.SUBMIT)
        except KernelUnavailable:
            return await self._without_kernel(job, idempotency)
        _trace("decide", job, started_ns)
        match effective_verdict(decision):
            case Verdict.DENY | Verdict.THROTTLE:
                return await self._deny(job, decision, idempotency)
            case Verdict.REQUIRE_APPROVAL:
                return await self._enter(job, decision, Outcome.HELD, idempotency, decision.throttles)
            case Verdict.ALLOW | Verdict.ALLOW_WITH_CONSTRAINTS:
                return await self._enter(job, decision, Outcome.ACCEPTED, idempotency, decision.throttles)

    async def _without_kernel(self, job: Job, idempotency: Idempotency | None) -> Submitted:
        trust = self.trust()
        if not submit_fails_open(trust, self.clock.now_ms()):
            raise KernelUnavailable
        decision = self._fail_open_decision(job)
        submitted = await self._enter(job, decision, Outcome.FAIL_OPEN, idempotency, ())
        if not submitted.replayed:
            metrics.INPUT_FAIL_OPEN.inc()
            log.warning(
                "a job entered without a decision",
                action="input_fail_open",
                job_id=job.job_id,
                trace_id=job.trace_id,
            )
        return submitted

    def _fail_open_decision(self, job: Job) -> Decision:
        heard = self.kernel.snapshot
        return Decision(
            verdict=Verdict.ALLOW,
            reason=FAIL_OPEN_REASON,
            snapshot=NO_POLICY_SNAPSHOT if heard is None else heard.snapshot,
            job_hash=job.job_hash(),
            phase=Phase.SUBMIT,
            decided_ms=self.clock.now_ms(),
            errors=("kernel_unavailable",),
        )

    async def _enter(
        self,
        job: Job,
        decision: Decision,
        outcome: Outcome,
        idempotency: Idempotency | None,
        throttles: tuple[Throttle, ...],
    ) -> Submitted:
        if self.is_log_away():
            raise LogUnavailable("the job log takes nothing now; nothing was stored")
        grant: GrantUse | None = None
        if outcome is Outcome.HELD:
            decision = replace(decision, approvals=required_approvals(decision, Outcome.HELD))
            # A job that comes here again because it is over a rate limit is one that a person looks at.
            grant = await self.standing.use_for(job, decision) if throttles == decision.throttles else None
        stored = await self._stored_payload(job)
        submission = self._submission(stored, decision, outcome, idempotency, throttles)
        if grant is not None:
            submission = replace(submission, grant=grant)
        started_ns = tracing.start()
        result = await self.jobs.accept(submission, self.clock.now_ms(), has_room=self.room.has_room())
        _trace("accept", job, started_ns)
        match result.kind:
            case AcceptKind.ACCEPTED:
                self.room.entered()
                return await self._logged(submission, result)
            case AcceptKind.REPLAY:
                return await self._replay(job, result)
            case AcceptKind.CONFLICT:
                raise IdempotencyConflict
            case AcceptKind.QUEUE_FULL:
                raise QueueFull(retry_after_ms=max(1000, result.retry_after_ms))
            case AcceptKind.QUEUES_FULL:
                raise QueuesFull(retry_after_ms=max(1000, result.retry_after_ms))
            case AcceptKind.TOO_MANY_POOLS:
                raise TooManyPools(retry_after_ms=max(1000, result.retry_after_ms))
            case AcceptKind.THROTTLED if result.over is Over.HOLD:
                return await self._enter(job, decision, Outcome.HELD, idempotency, ())
            case AcceptKind.THROTTLED:
                return await self._throttle(job, decision, result)

    def _submission(
        self,
        job: Job,
        decision: Decision,
        outcome: Outcome,
        idempotency: Idempotency | None,
        throttles: tuple[Throttle, ...],
    ) -> Submission:
        now_ms = self.clock.now_ms()
        admission = Admission(
            job_id=job.job_id,
            job_hash=decision.job_hash,
            tenant=job.tenant,
            actor=job.actor,
            principals=job.principals,
            outcome=outcome,
            verdict=str(decision.verdict),
            snapshot=decision.snapshot,
            issued_ms=now_ms,
        )
        signed = seal(admission, self.signer)
        return Submission(
            job=job,
            decision=decision,
            admission=signed,
            initial=_initial(job, outcome, now_ms),
            idempotency=idempotency,
            throttles=throttles,
            fail_open=outcome is Outcome.FAIL_OPEN,
            packed=Packed.of(job, decision, signed),
        )

    async def _stored_payload(self, job: Job) -> Job:
        if job.payload is None or len(job.payload) <= limits.INLINE_BYTES_MAX:
            return job
        await self.payloads.put(job.payload)
        return job.with_payload(None)

    async def _logged(self, submission: Submission, result: AcceptResult) -> Submitted:
        job, state = submission.job, result.state or submission.initial
        started_ns = tracing.start()
        await self.job_log.publish(
            Envelope(
                job=job,
                decision=submission.decision,
                admission=submission.admission,
                state=state,
                accepted_ms=job.created_ms,
                fail_open=submission.fail_open,
                idempotency=submission.idempotency,
                packed=submission.packed,
            )
        )
        _trace("publish", job, started_ns)
        _COUNTERS[state].inc()
        if submission.initial is State.HELD and state is not State.HELD:
            metrics.GRANTS_USED.inc()
        if state is State.HELD:
            await self.hints.changed(job.tenant, [job.job_id], state)
        return Submitted(
            job_id=job.job_id,
            state=state,
            decision=submission.decision,
            trace_id=job.trace_id,
            fail_open=submission.fail_open,
        )

    async def _deny(self, job: Job, decision: Decision, idempotency: Idempotency | None) -> Submitted:
        bare = replace(job, payload=None, prompt=None)
        result = await self.jobs.deny(
            bare,
            decision,
            code="denied",
            now_ms=self.clock.now_ms(),
            idempotency=idempotency,
            # Says nothing about the job: sent again under a policy, the same request is to be judged by that.
            binds_key=not is_without_policy(decision),
        )
        if result.kind is AcceptKind.CONFLICT:
            raise IdempotencyConflict
        if result.kind is AcceptKind.REPLAY:
            return await self._replay(job, result)
        _COUNTERS[State.DENIED].inc()
        return Submitted(job.job_id, State.DENIED, decision, job.trace_id, code="denied")

    async def _throttle(self, job: Job, decision: Decision, result: AcceptResult) -> Submitted:
        """Recorded without the idempotency key: the same request, sent again later, is to be judged afresh."""
        bare = replace(job, payload=None, prompt=None)
        await self.jobs.deny(bare, decision, code="throttled", now_ms=self.clock.now_ms())
        return Submitted(
            job.job_id,
            State.DENIED,
            decision,
            job.trace_id,
            code="throttled",
            retry_after_ms=max(1, result.retry_after_ms),
        )

    async def _replay(self, job: Job, result: AcceptResult) -> Submitted:
        if result.job_id is None:
            raise StateBroken("a replayed submit names no job")
        view = await self.jobs.require(job.tenant, result.job_id)
        if view.state is not State.DENIED and not result.logged:
            await self.job_log.publish(await self._envelope_of(view))
        return Submitted(
            job_id=view.job.job_id,
            state=view.state,
            decision=view.decision,
            trace_id=view.job.trace_id,
            code=(view.code or "denied") if view.state is State.DENIED else None,
            replayed=True,
            fail_open=view.fail_open,
        )

    async def _envelope_of(self, view: JobView) -> Envelope:
        return Envelope.of(view, await self.jobs.payload(view.job.tenant, view.job.job_id))


def submit_fails_open(trust: Trust | None, now_ms: int) -> bool:
    """Whether the root in force lets jobs in without a decision: it says so, and it has not expired."""
    return trust is not None and trust.fail_modes.submit_open and now_ms < trust.expires_ms


def _trace(name: str, job: Job, started_ns: int) -> None:
    if started_ns:
        tracing.record(name, tracing.root_of(job.trace_id, job.job_id), started_ns, kind=tracing.Kind.CLIENT)


def _initial(job: Job, outcome: Outcome, now_ms: int) -> State:
    if outcome is Outcome.HELD:
        return State.HELD
    if job.run_at_ms is not None and job.run_at_ms > now_ms:
        return State.SCHEDULED
    return State.ACCEPTED
