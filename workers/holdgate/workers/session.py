"""One worker at work: asks for jobs, checks their permits, runs them, reports their ends.

    ask ──▶ delivery ──▶ PermitCheck ──▶ handler ──▶ result (acknowledged by the log) ──▶ slot and lease free

What always holds: nothing of a job reaches a handler before its permit was verified; a lease is kept until the log has
the result; never is more asked for than slots are free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from holdgate.kernel import limits, subjects, tracing, wire
from holdgate.kernel.canonical import parse_json
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.links import Permit
from holdgate.kernel.readiness import Check
from holdgate.kernel.tasks import TaskSet
from holdgate.workers import metrics
from holdgate.workers.artifacts import ArtifactBox
from holdgate.workers.askline import AskLine
from holdgate.workers.beats import Heart
from holdgate.workers.cancellation import Cancellation, StopReason
from holdgate.workers.door import SEARCH_S_MAX
from holdgate.workers.errors import MalformedDelivery, PermitRefused, Refusal
from holdgate.workers.execute import Execution, Executors, RunLimits
from holdgate.workers.handlers import Handler, Handlers
from holdgate.workers.job import Job
from holdgate.workers.leases import Lease, Leases
from holdgate.workers.permits import Delivery, PermitCheck
from holdgate.workers.reports import Reports
from holdgate.workers.results import RunError, RunIdentity, RunOutcome, RunResult
from holdgate.workers.runlog import RunLog
from holdgate.workers.secrets import SECRETS_S_MAX, SecretRefused

_log = structlog.get_logger("holdgate.worker")

ASKS_MAX = 3
"""Asks under way at once: while one is answered and one runs, one waits."""
ASK_WAIT_S = 2.0
"""How long an ask may stay open; also the longest that a drain waits for asks to come back."""
ASK_REPLY_MARGIN_S = 5.0
"""Beyond the wait: permits and starts may take this long, before the dispatcher is taken to be gone."""
BACKOFF_S_MIN = 0.05
BACKOFF_S_MAX = 2.0
"""Between tries while the dispatcher or the log is away."""
DRAIN_SHARE = 0.6
"""Of the time to stop in: for runs to end by themselves. The rest is for stopping the others, and for reports."""
GRACE_SHARE = 0.15
"""Of the time to stop in: for a handler that was told to stop; a process gets it once more when it is killed."""
assert DRAIN_SHARE + 2 * GRACE_SHARE < 1, "what is stopped must be reported in time"  # noqa: S101  relation of bounds
REFUSED_BACKOFF_S = 5.0
"""A worker that trusts other keys than its kernel's must not empty the queue by refusing all of it."""
UNPUBLISHED_MAX = 2_048
"""Results waiting for the log's acknowledgement; beyond, no new work is asked for."""
TRY_ELSEWHERE = frozenset(
    {
        Refusal.PERMIT_SIGNATURE,
        Refusal.PERMIT_EXPIRED,
        Refusal.PERMIT_OTHER_WORKER,
        Refusal.PERMIT_OTHER_POOL,
        Refusal.FAIL_OPEN_REFUSED,
        Refusal.VOTES_UNSIGNED,
        Refusal.REPLAY_MEMORY_FULL,
        Refusal.NO_HANDLER,
        Refusal.MISSING_CAPABILITY,
        Refusal.SECRET_UNAVAILABLE,
        Refusal.SECRET_NOT_PERMITTED,
    }
)
"""Refusals that say something about this worker or moment, not about the job."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long runs and the drain may take."""

    max_runtime_s: float
    stop_s: float


class Session:
    """The runtime of one worker, from `start` to `drain`."""

    def __init__(
        self,
        *,
        nc: Nats,
        heart: Heart,
        leases: Leases,
        handlers: Handlers,
        check: PermitCheck,
        executors: Executors,
        session_limits: SessionLimits,
        clock: Clock,
    ) -> None:
        self._nc = nc
        self._heart = heart
        self._leases = leases
        self._me = heart.introduction
        self._handlers = handlers
        self._check = check
        self._executors = executors
        self._limits = session_limits
        self._clock = clock
        self._line = AskLine(nc, subjects.ask(self._me.pool, self._me.worker), self._on_late_reply)
        self._coordination = TaskSet(self._on_failure)
        self._asks = TaskSet(self._on_failure)
        self._runs = TaskSet(self._on_failure)
        self._changed = asyncio.Event()
        self._reports = Reports(nc, heart.introduction, leases, clock, self._notify_soon)
        self._draining = asyncio.Event()
        self._is_hurried = False
        self._busy = 0
        self._asked = 0
        self._backoff_s = 0.0
        self._failure_pause_s = BACKOFF_S_MIN
        self._ask_failure: str | None = None

    @property
    def checks(self) -> tuple[Check, ...]:
        """What this worker needs to get work."""

        async def connected() -> str | None:
            return None if self._nc.is_connected else "not connected"

        async def answered() -> str | None:
            return self._ask_failure

        return Check("nats", connected), Check("dispatcher", answered, is_needed=False)

    @property
    def busy(self) -> int:
        """Slots that are taken."""
        return self._busy

    async def start(self) -> None:
        """Send heartbeats and ask for work."""
        await self._heart.start()
        await self._line.start()
        self._coordination.start(self._ask_for_work(), "ask-for-work")
        _log.info("worker is ready", action="worker_ready", worker=self._me.worker, pool=self._me.pool)

    def hurry(self) -> None:
        """Stop what runs now instead of letting it end. That is still reported, so that others try it at once."""
        self._is_hurried = True
        self._changed.set()

    async def drain(self) -> None:
        """Ask for nothing more, let runs end within the drain time, stop the rest, report all, close. Idempotent."""
        _log.info("worker drains", action="worker_drain", worker=self._me.worker, running=self._busy)
        self._draining.set()
        self._changed.set()
        drain_s = self._limits.stop_s * DRAIN_SHARE
        await _until(lambda: self._is_idle() or self._is_hurried, self._changed, drain_s)
        if not self._is_idle():
            self._leases.stop_all(StopReason.SHUTDOWN)
            # Hurried, open asks are not waited for: what they bring finds nobody, and goes to others at once.
            await _until(
                lambda: not len(self._runs) if self._is_hurried else self._is_idle(),
                self._changed,
                self._limits.stop_s - drain_s,
            )
        self._reports.give_up()
        await self._line.stop()
        for tasks in (self._coordination, self._asks, self._runs):
            await tasks.close()
        await self._reports.close()
        await self._heart.stop()
        self._executors.close()

    def _is_idle(self) -> bool:
        """Whether no ask is open, so that no job can arrive any more, and no run goes on or waits to be reported."""
        return not len(self._asks) and not len(self._runs)

    # Asking -----------------------------------------------------------------------------------------------------------

    async def _ask_for_work(self) -> None:
        # A third of the slots an ask: while one batch runs, the next is decided about and a third one picked.
        portion = min(-(-self._me.capacity // ASKS_MAX), limits.ASK_JOBS_MAX)
        while not self._draining.is_set():
            self._changed.clear()
            if self._backoff_s:
                await _until(self._draining.is_set, self._draining, self._backoff_s)
                self._backoff_s = 0.0
                continue
            n = min(self._me.capacity - self._busy - self._asked, portion)
            is_enough = n == portion or (n > 0 and not len(self._asks))
            if is_enough and len(self._asks) < ASKS_MAX and self._reports.waiting < UNPUBLISHED_MAX:
                self._asked += n
                self._asks.start(self._ask(n), "ask")
            else:
                await self._changed.wait()

    async def _ask(self, n: int) -> None:
        """One ask and the start of what it brings; slows the next one down when it failed."""
        deliveries: list[Any] = []
        try:
            deliveries = await self._request(n)
        except (nats.errors.Error, OSError, InvalidInput) as error:
            _log.warning("an ask for work was not answered", action="ask_failed", error=type(error).__name__)
            self._ask_failure = f"an ask for work was not answered: {type(error).__name__}"
            self._backoff_s = self._failure_pause_s
            self._failure_pause_s = min(self._failure_pause_s * 2, BACKOFF_S_MAX)
        else:
            self._ask_failure = None
            self._failure_pause_s = BACKOFF_S_MIN
        finally:
            self._asked -= n
            refused = sum(not self._accept(item) for item in deliveries[:n])
            if refused and refused == len(deliveries):
                self._backoff_s = REFUSED_BACKOFF_S
            self._notify_soon()

    async def _request(self, n: int) -> list[Any]:
        if not self._nc.is_connected:
            # It would wait in memory and be sent when its time is nearly over.
            raise nats.errors.ConnectionClosedError
        message = {**self._me.as_dict(), "n": n, "wait_ms": int(ASK_WAIT_S * 1000)}
        reply = await self._line.ask(wire.pack(message), ASK_WAIT_S + ASK_REPLY_MARGIN_S)
        return self._jobs_in(reply)

    def _on_late_reply(self, reply: Msg) -> None:
        """Jobs that are leased to this worker run, even where the slots asked for were asked for again."""
        try:
            deliveries = self._jobs_in(reply)
        except InvalidInput as error:
            _log.warning("a late answer is malformed", action="ask_failed", error=error.code)
            return
        _log.warning("an answer came late", action="ask_late", jobs=len(deliveries))
        for item in deliveries:
            self._accept(item)

    def _jobs_in(self, reply: Msg) -> list[Any]:
        answer = wire.unpack(reply.data)
        if "error" in answer:
            retry_ms = answer.get("retry_ms")
            self._backoff_s = min(retry_ms / 1000, BACKOFF_S_MAX) if isinstance(retry_ms, int) else 1.0
            _log.warning("the dispatcher has no work to give", action="ask_refused", code=str(answer["error"])[:64])
            return []
        jobs = answer.get("jobs")
        return jobs if isinstance(jobs, list) else []

    # Taking -----------------------------------------------------------------------------------------------------------

    def _accept(self, raw: Any) -> bool:
        """Start the run of one delivery, or refuse it. Returns whether it was accepted."""
        try:
            delivery = Delivery.from_dict(raw)
            permit = self._check.verify(delivery)
            handler = self._handler_of(delivery)
            payload = parse_json(delivery.job.payload or b"null")
        except (MalformedDelivery, PermitRefused, InvalidInput) as error:
            refusal = error.refusal if isinstance(error, PermitRefused) else Refusal.MALFORMED_DELIVERY
            self._refuse(raw, refusal)
            return False
        self._begin(delivery, permit, handler, payload)
        return True

    def _handler_of(self, delivery: Delivery) -> Handler:
        handler = self._handlers.get_for(delivery.job.topic)
        if handler is None:
            raise PermitRefused(Refusal.NO_HANDLER, "no handler serves this topic")
        if not set(delivery.job.requires) <= set(self._me.capabilities):
            raise PermitRefused(Refusal.MISSING_CAPABILITY, "the job requires a capability that is not here")
        return handler

    def _refuse(self, raw: Any, refusal: Refusal) -> None:
        metrics.REFUSED.labels(code=str(refusal)).inc()
        identity = _claimed_identity(raw)
        _log.warning(
            "refused a job",
            action="job_refused",
            code=str(refusal),
            job_id=None if identity is None else identity.job_id,
        )
        # A replay names a run that may be going on here: to report it refused would end that run.
        if identity is None or refusal is Refusal.PERMIT_REPLAYED:
            return
        now_ms = self._clock.now_ms()
        result = RunResult(RunOutcome.REFUSED, now_ms, now_ms, code=str(refusal), retryable=refusal in TRY_ELSEWHERE)
        lease = Lease(identity=identity, stop=Cancellation(), renew_until_ms=now_ms, has_ended=True)
        self._runs.start(self._reports.report(lease, result), "refusal")

    def _begin(self, delivery: Delivery, permit: Permit, handler: Handler, payload: Any) -> None:
        stop, log = Cancellation(), RunLog()
        now_ms = self._clock.now_ms()
        identity = RunIdentity(
            tenant=permit.tenant,
            job_id=permit.job_id,
            attempt=permit.attempt,
            token=delivery.token,
            permit_id=permit.permit_id,
            trace_id=delivery.job.trace_id,
        )
        lease = Lease(identity=identity, stop=stop, renew_until_ms=now_ms)
        run_limits = RunLimits.tightest(permit.constraints, handler, runtime_s=self._limits.max_runtime_s)
        secrets_s = SECRETS_S_MAX if delivery.job.secrets else 0.0
        around_s = secrets_s + self._executors.stop_s + SEARCH_S_MAX + limits.HEARTBEAT_S
        lease.renew_until_ms += int((run_limits.runtime_s + around_s) * 1000)
        deadline_ms = now_ms + int(run_limits.runtime_s * 1000)
        job = replace(
            _job_for_handler(delivery, permit, payload, lease, deadline_ms),
            _on_log=log.add,
            _artifacts=ArtifactBox(run_limits.output_bytes_max),
        )
        self._leases.add(lease)
        self._busy += 1
        execution = Execution(job, handler, run_limits, log, delivery.job)
        self._runs.start(self._run(execution, lease), "run")

    # Running ----------------------------------------------------------------------------------------------------------

    async def _run(self, execution: Execution, lease: Lease) -> None:
        metrics.RUNNING.inc()
        started_ns = tracing.start()
        try:
            result = await self._executors.run(execution)
        except SecretRefused as error:
            result = self._refused(lease, error)
        except Exception as error:  # noqa: BLE001  a fault of ours: unreported, its lease would be renewed for ever
            result = self._reports.fault(lease, error)
        finally:
            metrics.RUNNING.dec()
            lease.has_ended = True
            self._free_slot(execution)
        metrics.DONE.labels(outcome=str(result.outcome)).inc()
        metrics.RUN_SECONDS.observe((result.ended_ms - result.started_ms) / 1000)
        self._trace(lease.identity, result, started_ns)
        await self._reports.report(lease, result)

    def _trace(self, run: RunIdentity, result: RunResult, started_ns: int) -> None:
        if not started_ns:
            return
        tracing.record(
            "run",
            tracing.root_of(run.trace_id, run.job_id),
            started_ns,
            kind=tracing.Kind.CONSUMER,
            span_id=tracing.run_of(run.trace_id, run.job_id, run.attempt).span_id,
            attributes={
                "holdgate.job_id": run.job_id,
                "holdgate.attempt": run.attempt,
                "holdgate.pool": self._me.pool,
                "holdgate.worker": self._me.worker,
                "holdgate.outcome": str(result.outcome),
            },
            code=None if result.outcome is RunOutcome.SUCCEEDED else str(result.outcome),
        )

    def _free_slot(self, execution: Execution) -> None:
        straggler = execution.still_running
        if straggler is None or straggler.done():
            self._busy -= 1
            self._changed.set()
            return
        metrics.STUCK.inc()
        _log.warning(
            "a handler does not stop; its slot stays taken", action="handler_stuck", job_id=execution.job.job_id
        )

        def on_end(_done: asyncio.Future[bytes]) -> None:
            metrics.STUCK.dec()
            self._busy -= 1
            self._changed.set()

        straggler.add_done_callback(on_end)

    def _refused(self, lease: Lease, error: SecretRefused) -> RunResult:
        """The end of a run that does not begin, because it does not get what it needs."""
        code, now_ms = str(error.refusal), self._clock.now_ms()
        metrics.REFUSED.labels(code=code).inc()
        _log.warning("refused a job", action="job_refused", code=code, job_id=lease.identity.job_id, reason=str(error))
        retryable = error.refusal in TRY_ELSEWHERE
        problem = RunError("SecretRefused", str(error))
        return RunResult(RunOutcome.REFUSED, now_ms, now_ms, error=problem, code=code, retryable=retryable)

    def _notify_soon(self) -> None:
        """Wake who waits for a change, once the running task has left its set."""
        asyncio.get_running_loop().call_soon(self._changed.set)

    def _on_failure(self, name: str, error: BaseException) -> None:
        _log.error("background work failed", action="task_failed", task=name, error=type(error).__name__)
        self._changed.set()


def _job_for_handler(delivery: Delivery, permit: Permit, payload: Any, lease: Lease, deadline_ms: int) -> Job:
    record = delivery.job

    def on_progress(fraction: float) -> None:
        lease.progress = fraction

    return Job(
        job_id=record.job_id,
        topic=record.topic,
        tenant=record.tenant,
        payload=payload,
        prompt=record.prompt,
        labels=dict(record.labels),
        capability=record.capability,
        actor=record.actor,
        principals=record.principals,
        attempt=permit.attempt,
        trace_id=record.trace_id,
        permit_id=permit.permit_id,
        constraints=permit.constraints,
        deadline_ms=deadline_ms,
        cancelled=lease.stop,
        _on_progress=on_progress,
    )


def _claimed_identity(raw: Any) -> RunIdentity | None:
    """Which run a refused delivery says it is. Believed by nobody: the token fences what is reported under it."""
    match raw:
        case {
            "job": {"job_id": str(job_id), "tenant": str(tenant)},
            "attempt": int(attempt),
            "token": str(token),
        } if job_id and tenant and token:
            return RunIdentity(tenant=tenant, job_id=job_id, attempt=attempt, token=token, permit_id="")
        case _:
            return None


async def _until(condition: Callable[[], bool], changed: asyncio.Event, timeout_s: float) -> bool:
    """Wait until `condition()` holds, looking whenever `changed` is set; False when it does not in `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():
                changed.clear()
                await changed.wait()
    except TimeoutError:
        return condition()
    return True
