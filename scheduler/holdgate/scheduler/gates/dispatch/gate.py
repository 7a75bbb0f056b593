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
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from holdgate.kernel import tracing
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.custody import PermitReply, PermitRequest
from holdgate.kernel.errors import Forged, HoldgateError, InvalidInput, KernelUnavailable, Unavailable
from holdgate.kernel.ids import Digest, Entropy, JobId, LeaseToken, Tenant, new_token
from holdgate.kernel.permits import Signer
from holdgate.kernel.records import Job, Verdict
from holdgate.scheduler import metrics
from holdgate.scheduler.errors import NotFound
from holdgate.scheduler.gates.custody import CUSTODY_BROKEN, approvals_of, outcome_of
from holdgate.scheduler.gates.dispatch.handover import Asker, Handover, Permitted, permitted_without_kernel
from holdgate.scheduler.gates.dispatch.sorting import INVALID_DELAY_MS, KERNEL_AWAY, Refusal, Wait, broken, sort
from holdgate.scheduler.state.approvals import Approvals, Redecision, job_shape
from holdgate.scheduler.state.backlog import Backlog, Picked, StartKind, StartResult
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)

UNAVAILABLE_DELAY_MS = 500
"""How soon a job whose payload could not be read is tried again."""
CUSTODY_DELAY_MS = 60_000
"""A record so altered that even its denial does not fit it: kept from running, and looked at only so often."""


class Payloads(Protocol):
    """Where payloads above the inline limit are."""

    async def get(self, digest: Digest) -> bytes:
        """The bytes, checked against the digest."""
        ...


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
class DispatchGate:
    """`is_open` says whether the signed root lets jobs through without a kernel; `signer` is used only then.

    `on_started` hears of each attempt before it is handed over."""

    kernel: KernelClient
    backlog: Backlog
    approvals: Approvals
    payloads: Payloads
    clock: Clock
    entropy: Entropy
    is_open: Callable[[], bool] = lambda: False
    signer: Signer | None = None
    on_started: Callable[[Tenant, JobId, int], None] = lambda _tenant, _job_id, _attempt: None

    async def pass_through(self, picked: Sequence[Picked], asker: Asker) -> Passage:
        """Hand over what may run; everything else is put where it belongs. StateUnavailable: leases sort it out."""
        started_ns = tracing.start()
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
            await self._put_back(loaded, Wait(error.code, INVALID_DELAY_MS))
            return Passage(())
        found = sort(loaded, replies, self.clock.now_ms())
        handovers, unapproved = await self._start(found.permitted, asker)
        if started_ns:
            _trace(handovers, asker, started_ns)
        denied: list[Job] = []
        held: list[Job] = []
        try:
            await self._redecide([*found.refused, *unapproved], denied, held)
            for wait, jobs in found.waits.items():
                await self._put_back(jobs, wait)
        except HoldgateError as error:
            if not handovers:
                raise
            # These run: their worker must hear of them. The others' reservations end by themselves.
            log.warning("refused jobs were not put away", action="refusals_unwritten", code=error.code)
        return Passage(tuple(handovers), tuple(denied), tuple(held), is_closed=found.is_closed)

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
            await self._put_back([item], Wait("payload_unavailable", UNAVAILABLE_DELAY_MS))
        except NotFound:
            await self._lose_payload(item)
        except Forged as error:
            await self._redecide([broken(item, str(error), self.clock.now_ms())], [], [])
        return None

    async def _lose_payload(self, item: Picked) -> None:
        """The object store does not have it any more, and nobody else ever did: the job ends, and says why."""
        job = item.job
        if await self.backlog.lose_payload(job.tenant, job.job_id, item.reservation, self.clock.now_ms()):
            metrics.JOBS.labels("failed").inc()
            log.error("the payload of a job is lost", action="payload_lost", tenant=job.tenant, job_id=job.job_id)

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

    async def _without_kernel(self, picked: Sequence[Picked], asker: Asker) -> Passage:
        if not (self.is_open() and self.signer is not None):
            metrics.DISPATCH_REFUSED.labels("kernel_unavailable").inc(len(picked))
            await self._put_back(picked, KERNEL_AWAY)
            return Passage((), is_closed=True)
        # Open means: without the kernel's word. It does not mean: without the approval that was asked for at submit.
        plain = [item for item in picked if not _was_held(item)]
        held = [item for item in picked if _was_held(item)]
        await self._put_back(held, Wait(KERNEL_AWAY.reason, UNAVAILABLE_DELAY_MS))
        now_ms = self.clock.now_ms()
        going = [permitted_without_kernel(item, self.signer, asker, now_ms, self.entropy) for item in plain]
        metrics.DISPATCH_FAIL_OPEN.inc(len(going))
        log.warning("jobs handed over without a kernel", action="dispatch_fail_open", jobs=len(going))
        handovers, _ = await self._start(going, asker)
        return Passage(tuple(handovers))

    async def _start(self, permitted: Sequence[Permitted], asker: Asker) -> tuple[list[Handover], list[Refusal]]:
        """Those that run now, and those that lacked a released approval."""
        by_tenant: dict[Tenant, list[Permitted]] = defaultdict(list)
        for going in permitted:
            by_tenant[going.item.job.tenant].append(going)
        parts = await asyncio.gather(*(self._start_of(tenant, asker, some) for tenant, some in by_tenant.items()))
        handovers = [handover for started, _ in parts for handover in started]
        return handovers, [refusal for _, unapproved in parts for refusal in unapproved]

    async def _start_of(
        self, tenant: Tenant, asker: Asker, permitted: Sequence[Permitted]
    ) -> tuple[list[Handover], list[Refusal]]:
        requests = [going.start(asker, LeaseToken(new_token(self.entropy))) for going in permitted]
        results = await self.backlog.start(tenant, requests, self.clock.now_ms())
        handovers: list[Handover] = []
        unapproved: list[Refusal] = []
        for going, request, result in zip(permitted, requests, results, strict=True):
            _count_start(result)
            if result.kind is StartKind.STARTED:
                self.on_started(tenant, going.item.job.job_id, going.item.attempt)
                handovers.append(going.handover(request))
            elif result.kind is StartKind.APPROVAL_MISSING and not going.fail_open:
                unapproved.append(Refusal(going.item, going.decision, "needs_approval"))
        return handovers, unapproved

    async def _redecide(self, refused: Sequence[Refusal], denied: list[Job], held: list[Job]) -> None:
        by_tenant: dict[Tenant, list[Refusal]] = defaultdict(list)
        for refusal in refused:
            by_tenant[refusal.item.job.tenant].append(refusal)
        await asyncio.gather(*(self._redecide_of(tenant, some, denied, held) for tenant, some in by_tenant.items()))
        metrics.JOBS.labels("denied").inc(len(denied))
        metrics.JOBS.labels("held").inc(len(held))

    async def _redecide_of(
        self, tenant: Tenant, refused: Sequence[Refusal], denied: list[Job], held: list[Job]
    ) -> None:
        for refusal in refused:
            if refusal.code == CUSTODY_BROKEN:
                metrics.CUSTODY_BROKEN.inc()
                log.critical("a job record is not what the api signed", action=CUSTODY_BROKEN,
                             job_id=refusal.item.job.job_id, tenant=tenant, why=refusal.decision.reason)  # fmt: skip
        requests = [
            Redecision(
                job_id=refusal.item.job.job_id,
                decision=refusal.decision,
                reservation=refusal.item.reservation,
                outcome=outcome_of(refusal.item.admission),
                code=refusal.code,
                job_shape=job_shape(refusal.item.job),
            )
            for refusal in refused
        ]
        states = await self.approvals.redecide(tenant, requests, self.clock.now_ms())
        for refusal, state in zip(refused, states, strict=True):
            if state is State.DENIED:
                denied.append(refusal.item.job)
            elif state is State.HELD:
                held.append(refusal.item.job)
            else:
                delay_ms = CUSTODY_DELAY_MS if refusal.code == CUSTODY_BROKEN else UNAVAILABLE_DELAY_MS
                await self._put_back([refusal.item], Wait(refusal.code, delay_ms))

    async def _put_back(self, picked: Iterable[Picked], wait: Wait) -> None:
        by_tenant: dict[Tenant, list[Picked]] = defaultdict(list)
        for item in picked:
            by_tenant[item.job.tenant].append(item)
        now_ms = self.clock.now_ms()
        await asyncio.gather(
            *(
                self.backlog.put_back(tenant, items, waiting_reason=wait.reason, delay_ms=wait.delay_ms, now_ms=now_ms)
                for tenant, items in by_tenant.items()
            )
        )


def _trace(handovers: Iterable[Handover], asker: Asker, started_ns: int) -> None:
    for handover in handovers:
        job = handover.job
        above = tracing.root_of(job.trace_id, job.job_id)
        if handover.attempt == 1:
            accepted_ns = job.created_ms * 1_000_000
            tracing.record("queue", above, accepted_ns, kind=tracing.Kind.CONSUMER, ended_ns=started_ns)
        told: dict[str, tracing.Value] = {"holdgate.attempt": handover.attempt}
        told |= {"holdgate.pool": asker.pool, "holdgate.worker": asker.worker}
        tracing.record("dispatch", above, started_ns, kind=tracing.Kind.PRODUCER, attributes=told)


def _was_held(item: Picked) -> bool:
    return item.last_decision.verdict is not Verdict.DENY and bool(approvals_of(item.last_decision, item.admission))


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
