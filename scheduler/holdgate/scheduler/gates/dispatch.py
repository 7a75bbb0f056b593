"""The dispatch gate: a picked job becomes a handed-over one only with the kernel's permit for this worker and attempt.

What always holds: the kernel is asked at every hand-off, never a cache; what it refuses does not leave here; without a
kernel the job stays queued and says so, unless the signed root declares dispatch to fail open; a record that is not
what the api signed never runs and raises an alarm. This gate only carries permits; a worker checks them.

    picked → payload in place → one kernel call for all → permit   → start (one script a job, one flush) → handover
                                                       → deny     → denied
                                                       → approval → held, under a new approval of the snapshot of now
                                                       → no answer → back into the backlog, with a waiting reason
                                                       → forged   → denied with code `custody_broken`
                                                       → too early, too late → back; it waits, or expires
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from holdgate.kernel import limits
from holdgate.kernel.canonical import parse_json
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.custody import DEADLINE_PASSED, NOT_YET, PermitReply, PermitRequest, required_approvals
from holdgate.kernel.errors import Forged, HoldgateError, InvalidInput, KernelUnavailable, Unavailable
from holdgate.kernel.ids import Digest, Entropy, LeaseToken, PermitId, Tenant, WorkerId, new_permit_id, new_token
from holdgate.kernel.links import Permit, Signed
from holdgate.kernel.permits import Signer, seal
from holdgate.kernel.records import ALLOWING, ApprovalRequirement, Decision, Job, Outcome, Phase, Verdict
from holdgate.scheduler import metrics
from holdgate.scheduler.errors import NotFound
from holdgate.scheduler.state.approvals import Approvals, Redecision, job_shape
from holdgate.scheduler.state.backlog import Backlog, Picked, StartKind, StartRequest, StartResult
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)

HANDOVER_LEASE_MS = 3 * limits.HEARTBEAT_S * 1000
"""First lease: three heartbeats. A reply that never reached its worker costs this long, not a whole lease."""
UNAVAILABLE_DELAY_MS = 500
"""How soon a job whose payload could not be read is tried again."""
INVALID_DELAY_MS = 5_000
UNTIMELY_DELAY_MS = 1_000
"""The clocks of kernel and dispatcher differ: soon the one that is behind says the same."""
NOT_YET_DELAY_MS_MAX = 60_000
"""Or the job was brought forward by somebody; a clock that was wrong must not put it off for long."""
CUSTODY_DELAY_MS = 60_000
"""A record so altered that even its denial does not fit it: kept from running, and looked at only so often."""
CUSTODY_BROKEN = "custody_broken"
NO_POLICY = ("no_policy", 0)
KERNEL_AWAY = (KernelUnavailable.code, 0)
"""Waiting reason and delay: in their old order, for the asks pause instead (`Passage.is_closed`)."""


class Payloads(Protocol):
    """Where payloads above the inline limit are."""

    async def get(self, digest: Digest) -> bytes:
        """The bytes, checked against the digest."""
        ...


@dataclass(frozen=True, slots=True)
class Handover:
    """A started job with its permit, as it goes to the worker; with the votes that released it, if any did."""

    job: Job
    permit: Signed
    attempt: int
    token: LeaseToken
    lease_ms: int
    votes: tuple[Signed, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain values for the reply."""
        return {
            "job": self.job.as_dict(),
            "permit": self.permit.as_dict(),
            "attempt": self.attempt,
            "token": self.token,
            "lease_ms": self.lease_ms,
            "votes": [vote.as_dict() for vote in self.votes],
        }


@dataclass(frozen=True, slots=True)
class Passage:
    """What became of the picked jobs: handed over, and by state those that were refused for good or held.

    `is_closed`: no kernel, or none with a policy, so that the next jobs would fare no better for now.
    """

    handovers: tuple[Handover, ...]
    denied: tuple[Job, ...] = ()
    held: tuple[Job, ...] = ()
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class Asker:
    """The worker that asked, and its pool."""

    worker: WorkerId
    pool: str


@dataclass(slots=True)
class _Sorted:
    """Picked jobs by what the kernel said."""

    start: list[tuple[Picked, StartRequest, Signed]]
    redecide: list[tuple[Picked, Decision, str]]
    """With the code of the refusal."""
    put_back: dict[tuple[str, int], list[Picked]]


@dataclass(frozen=True, slots=True)
class DispatchGate:
    """`is_open` says whether the signed root lets jobs through without a kernel; `signer` is used only then."""

    kernel: KernelClient
    backlog: Backlog
    approvals: Approvals
    payloads: Payloads
    clock: Clock
    entropy: Entropy
    is_open: Callable[[], bool] = lambda: False
    signer: Signer | None = None

    async def pass_through(self, picked: Sequence[Picked], asker: Asker) -> Passage:
        """Hand over what may run; everything else is put where it belongs. StateUnavailable: leases sort it out."""
        loaded = await self._load(picked)
        if not loaded:
            return Passage(())
        try:
            replies = await self._ask_kernel(loaded, asker)
        except KernelUnavailable:
            return await self._without_kernel(loaded, asker)
        except InvalidInput as error:
            metrics.DISPATCH_REFUSED.labels("invalid").inc(len(loaded))
            log.warning("the kernel refused a request for permits", action="permits_refused", code=error.code)
            await self._put_back(loaded, error.code, INVALID_DELAY_MS)
            return Passage(())
        verdicts = self._sort(loaded, replies, asker)
        handovers, unapproved = await self._start(verdicts.start)
        verdicts.redecide += unapproved
        denied: list[Job] = []
        held: list[Job] = []
        try:
            await self._redecide(verdicts.redecide, denied, held)
            for (reason, delay_ms), jobs in verdicts.put_back.items():
                await self._put_back(jobs, reason, delay_ms)
        except HoldgateError as error:
            if not handovers:
                raise
            # These run: their worker must hear of them. The others' reservations end by themselves.
            log.warning("refused jobs were not put away", action="refusals_unwritten", code=error.code)
        is_closed = not verdicts.put_back.keys().isdisjoint((NO_POLICY, KERNEL_AWAY))
        return Passage(tuple(handovers), tuple(denied), tuple(held), is_closed=is_closed)

    # Payloads ---------------------------------------------------------------------------------------------------------

    async def _load(self, picked: Sequence[Picked]) -> list[Picked]:
        """Those whose payload is in place and is what was hashed; the others are put back or refused."""
        if all(item.job.payload_holds() for item in picked):
            return list(picked)
        return [item for item in await asyncio.gather(*map(self._with_payload, picked)) if item is not None]

    async def _with_payload(self, item: Picked) -> Picked | None:
        if item.job.payload_holds():
            return item
        try:
            if item.job.payload is not None:
                raise Forged("the payload is not the one that was hashed", code="payload_mismatch")
            return replace(item, job=item.job.with_payload(await self.payloads.get(item.job.payload_digest)))
        except Unavailable:
            await self._put_back([item], "payload_unavailable", UNAVAILABLE_DELAY_MS)
        except (NotFound, Forged) as error:
            denial = _custody_denial(item, str(error), self.clock.now_ms())
            await self._redecide([(item, denial, CUSTODY_BROKEN)], [], [])
        return None

    # The kernel -------------------------------------------------------------------------------------------------------

    async def _ask_kernel(self, picked: Sequence[Picked], asker: Asker) -> list[PermitReply]:
        requests = [
            PermitRequest(
                job=item.job,
                admission=item.admission,
                attempt=item.attempt,
                pool=asker.pool,
                worker=asker.worker,
                votes=item.votes,
            )
            for item in picked
        ]
        return await self.kernel.permits(requests)

    def _sort(self, picked: Sequence[Picked], replies: Sequence[PermitReply], asker: Asker) -> _Sorted:
        out = _Sorted([], [], defaultdict(list))
        for item, reply in zip(picked, replies, strict=True):
            permit_id = None if reply.permit is None else _permit_id(reply.permit)
            if permit_id is not None and reply.permit is not None and reply.decision is not None:
                request = self._request(item, reply.decision, permit_id, asker)
                out.start.append((item, request, reply.permit))
            else:
                self._sort_refused(item, reply, out)
        return out

    def _sort_refused(self, item: Picked, reply: PermitReply, out: _Sorted) -> None:
        refusal = reply.refusal or "invalid_reply"
        decision = reply.decision
        if refusal.startswith("forged"):
            metrics.DISPATCH_REFUSED.labels(CUSTODY_BROKEN).inc()
            denial = _custody_denial(item, f"{refusal}: {reply.message}", self.clock.now_ms())
            out.redecide.append((item, denial, CUSTODY_BROKEN))
        elif refusal == "no_policy":
            # Nothing runs, and nothing is lost: what the next policy says of it counts.
            metrics.DISPATCH_REFUSED.labels("no_policy").inc()
            out.put_back[NO_POLICY].append(item)
        elif refusal == KernelUnavailable.code:
            # It fell silent in the middle: those before this one have their answers.
            metrics.DISPATCH_REFUSED.labels(refusal).inc()
            out.put_back[KERNEL_AWAY].append(item)
        elif refusal in (NOT_YET, DEADLINE_PASSED):
            metrics.DISPATCH_REFUSED.labels(refusal).inc()
            out.put_back[(refusal, self._untimely_ms(item, refusal))].append(item)
        elif decision is None or refusal.startswith("invalid"):
            metrics.DISPATCH_REFUSED.labels("invalid").inc()
            log.error("the kernel could not read a request for a permit", action="permit_invalid",
                      job_id=item.job.job_id, code=refusal)  # fmt: skip
            out.put_back[(refusal, INVALID_DELAY_MS)].append(item)
        elif refusal == "denied":
            metrics.DISPATCH_REFUSED.labels("denied").inc()
            out.redecide.append((item, decision, "denied"))
        else:
            metrics.DISPATCH_REFUSED.labels("votes_invalid" if item.votes else "needs_approval").inc()
            out.redecide.append((item, decision, refusal))

    def _untimely_ms(self, item: Picked, refusal: str) -> int:
        """When to ask again: at the job's time. One that is too late is back for the reaper, which ends it."""
        wait_ms = (item.job.run_at_ms or 0) - self.clock.now_ms() if refusal == NOT_YET else 0
        return min(max(wait_ms, UNTIMELY_DELAY_MS), NOT_YET_DELAY_MS_MAX)

    async def _without_kernel(self, picked: Sequence[Picked], asker: Asker) -> Passage:
        if not (self.is_open() and self.signer is not None):
            metrics.DISPATCH_REFUSED.labels("kernel_unavailable").inc(len(picked))
            await self._put_back(picked, KernelUnavailable.code, 0)
            return Passage((), is_closed=True)
        # Open means: without the kernel's word. It does not mean: without the approval that was asked for at submit.
        plain = [item for item in picked if not _was_held(item)]
        await self._put_back([item for item in picked if _was_held(item)], KernelUnavailable.code, UNAVAILABLE_DELAY_MS)
        starts = [self._fail_open(item, self.signer, asker) for item in plain]
        metrics.DISPATCH_FAIL_OPEN.inc(len(starts))
        log.warning("jobs handed over without a kernel", action="dispatch_fail_open", jobs=len(starts))
        handovers, _ = await self._start(starts)
        return Passage(tuple(handovers))

    def _fail_open(self, item: Picked, signer: Signer, asker: Asker) -> tuple[Picked, StartRequest, Signed]:
        now_ms = self.clock.now_ms()
        last = item.last_decision
        permit = Permit(
            permit_id=new_permit_id(now_ms, self.entropy),
            job_id=item.job.job_id,
            job_hash=item.job.job_hash(),
            tenant=item.job.tenant,
            snapshot=last.snapshot,
            verdict=str(last.verdict),
            rules=last.rules,
            constraints=last.constraints,
            attempt=item.attempt,
            pool=asker.pool,
            worker=asker.worker,
            issued_ms=now_ms,
            expires_ms=now_ms + limits.PERMIT_LIFETIME_S * 1000,
            fail_open=True,
        )
        return item, self._request(item, last, permit.permit_id, asker, fail_open=True), seal(permit, signer)

    # Starting ---------------------------------------------------------------------------------------------------------

    def _request(
        self, item: Picked, decision: Decision, permit_id: PermitId, asker: Asker, *, fail_open: bool = False
    ) -> StartRequest:
        runtime_s = decision.constraints.max_runtime_s
        return StartRequest(
            job_id=item.job.job_id,
            reservation=item.reservation,
            decision=None if fail_open else decision,
            permit_id=permit_id,
            worker=asker.worker,
            pool=asker.pool,
            token=LeaseToken(new_token(self.entropy)),
            attempt=item.attempt,
            lease_ms=HANDOVER_LEASE_MS,
            approval_required=not fail_open and bool(approvals_of(decision, item.admission)),
            topic=item.job.topic,
            topic_max=decision.constraints.max_concurrency,
            attempts_max=decision.constraints.max_attempts,
            max_runtime_ms=None if runtime_s is None else runtime_s * 1000,
            fail_open=fail_open,
        )

    async def _start(
        self, starts: Sequence[tuple[Picked, StartRequest, Signed]]
    ) -> tuple[list[Handover], list[tuple[Picked, Decision, str]]]:
        """Those that run now, and those that lacked a released approval."""
        by_tenant: dict[Tenant, list[tuple[Picked, StartRequest, Signed]]] = defaultdict(list)
        for start in starts:
            by_tenant[start[0].job.tenant].append(start)
        now_ms = self.clock.now_ms()
        answers = await asyncio.gather(
            *(
                self.backlog.start(tenant, [request for _, request, _ in parts], now_ms)
                for tenant, parts in by_tenant.items()
            )
        )
        handovers: list[Handover] = []
        unapproved: list[tuple[Picked, Decision, str]] = []
        for parts, results in zip(by_tenant.values(), answers, strict=True):
            for (item, request, permit), result in zip(parts, results, strict=True):
                _count_start(result)
                if result.kind is StartKind.STARTED:
                    handovers.append(
                        Handover(item.job, permit, request.attempt, request.token, request.lease_ms, item.votes)
                    )
                elif result.kind is StartKind.APPROVAL_MISSING and request.decision is not None:
                    unapproved.append((item, request.decision, "needs_approval"))
        return handovers, unapproved

    # Refusals ---------------------------------------------------------------------------------------------------------

    async def _redecide(
        self, refused: Sequence[tuple[Picked, Decision, str]], denied: list[Job], held: list[Job]
    ) -> None:
        by_tenant: dict[Tenant, list[tuple[Picked, Decision, str]]] = defaultdict(list)
        for refusal in refused:
            by_tenant[refusal[0].job.tenant].append(refusal)
        await asyncio.gather(*(self._redecide_of(tenant, parts, denied, held) for tenant, parts in by_tenant.items()))
        metrics.JOBS.labels("denied").inc(len(denied))
        metrics.JOBS.labels("held").inc(len(held))

    async def _redecide_of(
        self, tenant: Tenant, refused: Sequence[tuple[Picked, Decision, str]], denied: list[Job], held: list[Job]
    ) -> None:
        for item, decision, code in refused:
            if code == CUSTODY_BROKEN:
                metrics.CUSTODY_BROKEN.inc()
                log.critical("a job record is not what the api signed", action=CUSTODY_BROKEN,
                             job_id=item.job.job_id, tenant=tenant, why=decision.reason)  # fmt: skip
        requests = [
            Redecision(
                job_id=item.job.job_id,
                decision=decision,
                reservation=item.reservation,
                outcome=outcome_of(item.admission),
                code=code,
                job_shape=job_shape(item.job),
            )
            for item, decision, code in refused
        ]
        states = await self.approvals.redecide(tenant, requests, self.clock.now_ms())
        for (item, _, code), state in zip(refused, states, strict=True):
            if state is State.DENIED:
                denied.append(item.job)
            elif state is State.HELD:
                held.append(item.job)
            else:
                delay_ms = CUSTODY_DELAY_MS if code == CUSTODY_BROKEN else UNAVAILABLE_DELAY_MS
                await self._put_back([item], code, delay_ms)

    async def _put_back(self, picked: Iterable[Picked], reason: str, delay_ms: int) -> None:
        by_tenant: dict[Tenant, list[Picked]] = defaultdict(list)
        for item in picked:
            by_tenant[item.job.tenant].append(item)
        now_ms = self.clock.now_ms()
        await asyncio.gather(
            *(
                self.backlog.put_back(tenant, items, waiting_reason=reason, delay_ms=delay_ms, now_ms=now_ms)
                for tenant, items in by_tenant.items()
            )
        )


def approvals_of(decision: Decision, admission: Signed) -> tuple[ApprovalRequirement, ...]:
    """Who must release the job under `decision`, given how the signed `admission` says that it entered."""
    if decision.verdict in ALLOWING:
        return ()  # however it entered: spares nearly every job the reading of its admission
    return required_approvals(decision, outcome_of(admission))


def outcome_of(admission: Signed) -> Outcome | None:
    """How a job entered, as its admission says."""
    # Read before its signature is checked, which the kernel does: here it can only make the gate stricter.
    try:
        body = parse_json(admission.body)
        return Outcome(str(body["outcome"])) if isinstance(body, dict) and "outcome" in body else None
    except (InvalidInput, ValueError):
        return None


def _was_held(item: Picked) -> bool:
    return item.last_decision.verdict is not Verdict.DENY and bool(approvals_of(item.last_decision, item.admission))


def _custody_denial(item: Picked, why: str, now_ms: int) -> Decision:
    return custody_denial(item.last_decision.snapshot, item.last_decision.job_hash, why, now_ms)


def custody_denial(snapshot: Digest, job_hash: Digest, why: str, now_ms: int) -> Decision:
    """The end of a job whose record or payload is not what the api signed; bound to what it was last decided as."""
    return Decision(
        verdict=Verdict.DENY,
        reason=f"chain of custody broken ({why})"[: limits.REASON_CHARS_MAX],
        snapshot=snapshot,
        job_hash=job_hash,
        phase=Phase.DISPATCH,
        decided_ms=now_ms,
        errors=(CUSTODY_BROKEN,),
    )


def _count_start(result: StartResult) -> None:
    match result.kind:
        case StartKind.STARTED:
            metrics.JOBS.labels("running").inc()
        case StartKind.PARKED:
            metrics.DISPATCH_REFUSED.labels("parked").inc()
        case StartKind.CROWDED:
            metrics.DISPATCH_REFUSED.labels("crowded").inc()
        case StartKind.LOST:
            metrics.STALE.labels("start").inc()
        case StartKind.EXPIRED:
            metrics.DISPATCH_REFUSED.labels("expired").inc()
        case StartKind.APPROVAL_MISSING:
            metrics.DISPATCH_REFUSED.labels("needs_approval").inc()
        case StartKind.UNKNOWN:
            metrics.DUTY_FAILURES.labels("asks").inc()


def _permit_id(permit: Signed) -> PermitId | None:
    """The id in a permit, for the record; whether the permit holds is the worker's to check."""
    try:
        body = json.loads(permit.body)
    except ValueError:
        return None
    permit_id = body.get("permit_id") if isinstance(body, dict) else None
    return PermitId(permit_id) if isinstance(permit_id, str) else None
