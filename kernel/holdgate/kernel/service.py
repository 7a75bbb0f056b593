"""The kernel as a NATS service: decides and signs, for whoever may publish on its subjects.

What always holds: the policy in force is read once per request, and nothing is awaited between that and the answer, so
that one answer is under one policy; without a valid policy every decision is deny; what cannot be read is answered with
an error, and never with a permit; a permit is signed only by `custody.answer_permit`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError

from holdgate.kernel import calls, limits, metrics, subjects, tracing, wire
from holdgate.kernel.calls import Request, SnapshotInfo
from holdgate.kernel.clock import Clock
from holdgate.kernel.custody import PermitReply, answer_permit
from holdgate.kernel.draining import drain
from holdgate.kernel.errors import HoldgateError, InvalidInput
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import Digest
from holdgate.kernel.output import OutputFacts, decide_output
from holdgate.kernel.permits import Signer
from holdgate.kernel.records import Decision, Job, Phase, Verdict
from holdgate.kernel.shadow import Shadow
from holdgate.kernel.tasks import TaskSet
from holdgate.kernel.trust import NO_POLICY_SNAPSHOT, ActivePolicy, PolicySource

log = structlog.get_logger("holdgate.kernel")

ANNOUNCE_S = 2.0
START_S = 5.0
LIVE = frozenset({Phase.SUBMIT, Phase.DISPATCH})
"""Phases in which something comes of a decision."""
Item = dict[str, Any]


class KernelService:
    """One replica. `start` begins to answer, `stop` answers what was received and ends; both idempotent."""

    def __init__(
        self,
        nc: Nats,
        source: PolicySource,
        signer: Signer,
        clock: Clock,
        replica_id: str,
        *,
        inboxes: Sequence[str] = subjects.KERNEL_INBOXES,
        shadow: Shadow | None = None,
    ) -> None:
        """`inboxes` are where answers may go; `shadow` looks on at what is decided for submit and dispatch."""
        self._nc = nc
        self._source = source
        self._signer = signer
        self._clock = clock
        self._replica = replica_id
        self._inboxes = tuple(inboxes)
        self._shadow = shadow
        self._started_ms = clock.now_ms()
        self._subscriptions: list[Subscription] = []
        self._tasks = TaskSet(self._failed)
        self._changed = asyncio.Event()
        self._is_listening = False
        self._latest_ms = 0
        self._told_seq = 0

    async def start(self) -> None:
        """Subscribe and announce."""
        if self._subscriptions:
            return
        if not self._is_listening:
            self._source.on_change(self._changed.set)
            self._is_listening = True
        answers: dict[str, Callable[[bytes], dict[str, Any]]] = {
            subjects.KERNEL_DECIDE: self._decide,
            subjects.KERNEL_PERMIT: self._permit,
            subjects.KERNEL_OUTPUT: self._output,
            subjects.KERNEL_DETECTORS: self._detectors,
        }
        for subject, answer in answers.items():
            self._subscriptions.append(await self._subscribe(subject, answer, subjects.KERNEL_QUEUE))
        self._subscriptions.append(await self._subscribe(subjects.KERNEL_STATUS, self._status, ""))
        # The server knows of a subscription only once it read it: before that, a request finds nobody to answer.
        await self._nc.flush(timeout=START_S)  # type: ignore[arg-type]  # nats-py annotates seconds as a whole number
        self._tasks.start(self._announce_always(), "announce")

    async def stop(self) -> None:
        """Answer what was received, then end."""
        subscriptions, self._subscriptions = self._subscriptions, []
        await asyncio.gather(*(drain(subscription) for subscription in subscriptions))
        await self._tasks.close()

    async def announce(self) -> None:
        """Tell everybody the snapshot in force and what its rules read."""
        active, _ = self._in_force()
        try:
            await self._nc.publish(subjects.POLICY_SNAPSHOT, wire.pack(self._info(active).as_dict()))
        except NatsError as error:
            log.warning("the snapshot was not announced", action="kernel.announce", error=str(error))

    async def _tell_events(self) -> None:
        """Publish what happened to policy since the last time; what is lost is caught up on from `status`."""
        for event in self._source.events(self._told_seq):
            told = {"replica": self._replica, "epoch_ms": self._source.epoch_ms, "event": event.as_dict()}
            try:
                await self._nc.publish(subjects.POLICY_EVENT, wire.pack(told))
            except NatsError as error:
                log.warning("an event was not told", action="kernel.announce", error=type(error).__name__)
                return
            self._told_seq = event.seq

    async def _announce_always(self) -> None:
        while True:
            self._changed.clear()
            await self.announce()
            await self._tell_events()
            try:
                async with asyncio.timeout(ANNOUNCE_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _subscribe(self, subject: str, answer: Callable[[bytes], dict[str, Any]], queue: str) -> Subscription:
        operation = subject.rpartition(".")[2]
        seconds = metrics.DECIDE_SECONDS.labels(operation)

        async def serve(message: Msg) -> None:
            if not self._may_answer(subject, message.reply):
                return
            with seconds.time():
                reply = wire.pack(self._answer(answer, message.data))
            await self._respond(message, reply)

        return await self._nc.subscribe(subject, queue=queue, cb=serve)

    def _may_answer(self, subject: str, reply: str) -> bool:
        if subjects.may_answer(reply, self._inboxes):
            return True
        if subject == subjects.KERNEL_STATUS and reply == subjects.POLICY_SNAPSHOT:
            return True  # a client that starts asks for what is announced anyway
        if reply:
            metrics.KERNEL_ERRORS.labels("bad_reply").inc()
            log.warning("a request wants its answer where none goes", action="kernel.answer", reply=reply[:64])
        return False

    async def _respond(self, message: Msg, reply: bytes) -> None:
        try:
            try:
                await self._nc.publish(message.reply, reply)
            except MaxPayloadError:
                await self._nc.publish(message.reply, wire.pack(_error(calls.REPLY_TOO_LARGE, "ask for fewer at once")))
        except NatsError as error:
            metrics.KERNEL_ERRORS.labels("not_sent").inc()
            log.warning("an answer was not sent", action="kernel.answer", error=type(error).__name__)

    def _answer(self, answer: Callable[[bytes], dict[str, Any]], data: bytes) -> dict[str, Any]:
        try:
            return answer(data)
        except HoldgateError as error:
            metrics.KERNEL_ERRORS.labels(error.code).inc()
            return _error(error.code, str(error))
        except Exception as error:  # noqa: BLE001  a gate: what nobody thought of is a "no"
            metrics.KERNEL_ERRORS.labels(calls.INTERNAL).inc()
            log.error("a request failed", action="kernel.answer", error=_where(error))  # noqa: TRY400  see _where
            return _error(calls.INTERNAL, "the kernel failed on this request")

    def _decide(self, data: bytes) -> dict[str, Any]:
        request, now_ms = self._open(data)
        active, reason = self._in_force()
        counted: Counter[Verdict] = Counter()

        def one(item: bytes) -> Item:
            started_ns = tracing.start()
            job = calls.unpack_job(item)
            decision = self._evaluate(active, reason, job, request, now_ms)
            self._offer(job, decision)
            counted[decision.verdict] += 1
            _trace("kernel.decide", job, decision, started_ns)
            return decision.as_dict()

        items = [_guarded(one, item) for item in request.items]
        for verdict, count in counted.items():
            metrics.DECISIONS.labels(str(request.phase), str(verdict)).inc(count)
        return {"items": items, **self._info(active).as_dict()}

    def _permit(self, data: bytes) -> dict[str, Any]:
        request, now_ms = self._open(data)
        if request.phase is not Phase.DISPATCH:
            raise InvalidInput("permits are for dispatch only")
        active, reason = self._in_force()
        results: Counter[str] = Counter()
        verdicts: Counter[Verdict] = Counter()

        def one(item: bytes) -> Item:
            started_ns = tracing.start()
            asked = calls.unpack_permit_request(item)
            decision = self._evaluate(active, reason, asked.job, request, now_ms)
            self._offer(asked.job, decision)
            verdicts[decision.verdict] += 1
            if active is None:
                reply = PermitReply(decision, refusal=calls.NO_POLICY, message=decision.reason)
            else:
                reply = answer_permit(asked, decision, active.trust, self._signer, now_ms)
            results[_result(reply)] += 1
            _trace("kernel.permit", asked.job, decision, started_ns, reply.refusal)
            return calls.permit_reply_dict(reply)

        items = [_guarded(one, item) for item in request.items]
        for result, count in results.items():
            metrics.PERMITS.labels(result).inc(count)
        for verdict, count in verdicts.items():
            metrics.DECISIONS.labels(str(Phase.DISPATCH), str(verdict)).inc(count)
        return {"items": items, **self._info(active).as_dict()}

    def _output(self, data: bytes) -> dict[str, Any]:
        request, now_ms = self._open(data)
        active, reason = self._in_force()
        if active is None:
            return _error(calls.NO_POLICY, reason)
        policy = active.policy

        def one(item: bytes) -> Item:
            return decide_output(policy, OutputFacts.from_dict(wire.unpack(item)), now_ms).as_dict()

        return {"items": [_guarded(one, item) for item in request.items], **self._info(active).as_dict()}

    def _detectors(self, data: bytes) -> dict[str, Any]:
        self._open(data)
        active, reason = self._in_force()
        if active is None:
            return _error(calls.NO_POLICY, reason)
        return {"items": [active.policy.detector_set.as_dict()], **self._info(active).as_dict()}

    def _status(self, _data: bytes) -> dict[str, Any]:
        active, reason = self._in_force()
        trust = self._source.trust
        return {
            **self._info(active).as_dict(),
            "reason": reason,
            "uptime_ms": self._clock.now_ms() - self._started_ms,
            "root_version": None if trust is None else trust.root_version,
            "bundles": [] if active is None else [bundle.as_dict() for bundle in active.bundles],
            "source": self._source.status(),
            "shadow": [] if self._shadow is None else self._shadow.status(),
        }

    def _open(self, data: bytes) -> tuple[Request, int]:
        request, now_ms = calls.unpack_request(data), self._clock.now_ms()
        if now_ms > request.until_ms + limits.CLOCK_SKEW_S * 1000:
            raise InvalidInput(f"`{calls.LATE}`: nobody waits for this answer any more")
        return request, now_ms if request.now_ms is None else request.now_ms

    def _evaluate(self, active: ActivePolicy | None, reason: str, job: Job, request: Request, now_ms: int) -> Decision:
        if active is None:
            return Decision(
                verdict=Verdict.DENY,
                reason=reason,
                snapshot=NO_POLICY_SNAPSHOT,
                job_hash=job.job_hash(),
                phase=request.phase,
                decided_ms=now_ms,
                errors=(calls.NO_POLICY,),
            )
        if job.payload is None:
            if "payload" in active.policy.reads:
                raise _ItemRefused(calls.PAYLOAD_MISSING, "the rules look at the payload; send it along")
        elif not job.payload_holds():
            raise _ItemRefused(calls.FORGED_PAYLOAD, "the payload is not the one that was hashed")
        return evaluate(active.policy, job, now_ms=now_ms, phase=request.phase, trace=request.trace)

    def _offer(self, job: Job, decision: Decision) -> None:
        """Let the shadow see a live decision that a policy made; whatever becomes of that is none of the asker's."""
        if self._shadow is None or decision.phase not in LIVE or decision.snapshot == NO_POLICY_SNAPSHOT:
            return
        try:
            self._shadow.offer(job, decision)
        except Exception as error:  # noqa: BLE001  who only looks on can take nothing from who decides
            metrics.KERNEL_ERRORS.labels("shadow").inc()
            log.error("the shadow failed", action="kernel.shadow", error=_where(error))  # noqa: TRY400  see _where

    def _in_force(self) -> tuple[ActivePolicy | None, str]:
        """The policy to decide under, or None and why there is none. What expired is as good as none."""
        active = self._source.current()
        if active is None:
            return None, "no valid policy bundle"
        now_ms = self._clock.now_ms()
        self._latest_ms = max(now_ms, self._latest_ms, active.not_before_ms)
        if now_ms + limits.CLOCK_SKEW_S * 1000 < self._latest_ms:
            return None, "the clock went back: what has expired could hold again; set this machine's clock"
        if now_ms >= active.expires_ms:
            return None, "policy expired"
        return active, ""

    def _info(self, active: ActivePolicy | None) -> SnapshotInfo:
        snapshot: Digest = NO_POLICY_SNAPSHOT if active is None else active.snapshot
        reads = () if active is None else tuple(sorted(active.policy.reads))
        return SnapshotInfo(snapshot, reads, self._replica, active is not None, 0)

    def _failed(self, name: str, error: BaseException) -> None:
        log.error("a task of the kernel ended", action="kernel.task", task=name, error=type(error).__name__)
        metrics.KERNEL_ERRORS.labels("task").inc()


class _ItemRefused(InvalidInput):
    """one item of a request is not answered"""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _guarded(answer: Callable[[bytes], Item], item: bytes) -> Item:
    """The answer for one item; whatever goes wrong with it is its own "no" and not that of the others."""
    try:
        return answer(item)
    except HoldgateError as error:
        metrics.KERNEL_ERRORS.labels(error.code).inc()
        return _error(error.code, str(error))
    except Exception as error:  # noqa: BLE001  a gate: what nobody thought of is a "no"
        metrics.KERNEL_ERRORS.labels(calls.INTERNAL).inc()
        log.error("an item failed", action="kernel.answer", error=_where(error))  # noqa: TRY400  see _where
        return _error(calls.INTERNAL, "the kernel failed on this item")


def _trace(name: str, job: Job, decision: Decision, started_ns: int, refusal: str | None = None) -> None:
    if not started_ns or decision.phase not in LIVE:
        return
    told = {"holdgate.job_id": job.job_id, "holdgate.phase": str(decision.phase)}
    told |= {"holdgate.tenant": job.tenant, "holdgate.verdict": str(decision.verdict)}
    above = tracing.root_of(job.trace_id, job.job_id)
    tracing.record(name, above, started_ns, kind=tracing.Kind.SERVER, attributes=told, code=refusal)


def _where(error: BaseException) -> str:
    """What went wrong and where. Not the message and not a traceback: both could quote a job."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
    return f"{type(error).__name__}{place}"


def _result(reply: PermitReply) -> str:
    if reply.refusal is None:
        return "signed"
    if reply.refusal in ("denied", calls.NO_POLICY):
        return "denied"
    return "forged" if reply.refusal.startswith("forged_") else "refused"


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": code, "message": message}
