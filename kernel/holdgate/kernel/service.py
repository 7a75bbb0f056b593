"""The kernel as a NATS service: decides and signs, for whoever may publish on its subjects.

What always holds: the policy in force is read once per request, and nothing is awaited between that and the answer, so
that one answer is under one policy; without a valid policy every decision is deny; by a clock that went back nothing is
decided, and what is asked is left to the other kernels until it is right again; what cannot be read is answered with an
error, and never with a permit; a permit is signed only by `custody.answer_permit`.
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
from holdgate.kernel.answering import LIVE, ItemRefused, error_reply, guarded, result_of, trace_decision, where
from holdgate.kernel.calls import Request, SnapshotInfo
from holdgate.kernel.clock import Clock
from holdgate.kernel.clockguard import WENT_BACK, ClockGuard
from holdgate.kernel.custody import PermitReply, answer_permit
from holdgate.kernel.draining import drain
from holdgate.kernel.errors import InvalidInput, KernelUnavailable
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import Digest
from holdgate.kernel.output import OutputFacts, decide_output
from holdgate.kernel.permits import Signer
from holdgate.kernel.queuegroup import JOIN_S, QueueGroup
from holdgate.kernel.records import Decision, Job, Phase, Verdict
from holdgate.kernel.shadow import Shadow
from holdgate.kernel.tasks import TaskSet
from holdgate.kernel.trust import NO_POLICY_SNAPSHOT, ActivePolicy, PolicySource

log = structlog.get_logger("holdgate.kernel")

ANNOUNCE_S = 2.0
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
        self._answers: dict[str, Callable[[bytes], dict[str, Any]]] = {
            subjects.KERNEL_DECIDE: self._decide,
            subjects.KERNEL_PERMIT: self._permit,
            subjects.KERNEL_OUTPUT: self._output,
            subjects.KERNEL_DETECTORS: self._detectors,
        }
        self._group = QueueGroup(nc, tuple(self._answers), self._subscribe_to_questions)
        self._status_asked: Subscription | None = None
        self._tasks = TaskSet(self._failed)
        self._changed = asyncio.Event()
        self._is_listening = False
        self._guard = ClockGuard(clock)
        self._told_seq = 0

    async def start(self) -> None:
        """Subscribe and announce."""
        if self._status_asked is not None:
            return
        if not self._is_listening:
            self._source.on_change(self._changed.set)
            self._is_listening = True
        self._status_asked = await self._subscribe(subjects.KERNEL_STATUS, self._status, "")
        await self._take_place()
        await self._nc.flush(timeout=JOIN_S)  # type: ignore[arg-type]  # nats-py annotates seconds as a whole number
        self._tasks.start(self._announce_always(), "announce")

    async def stop(self) -> None:
        """Answer what was received, then end."""
        status, self._status_asked = self._status_asked, None
        await self._tasks.close()  # before the group is left, or it would be joined again
        await asyncio.gather(self._group.leave(), *(drain(each) for each in (status,) if each is not None))

    @property
    def is_aside(self) -> bool:
        """Whether the clock went back, so that deciding is left to other kernels."""
        active = self._source.current()
        return self._guard.is_back(0 if active is None else active.not_before_ms)

    @property
    def is_answering(self) -> bool:
        """Whether questions come here."""
        return self._group.is_member

    async def _take_place(self) -> None:
        """Among those who answer, or aside."""
        if not self.is_aside:
            await self._group.join()
        elif self._group.is_member:
            log.error("the clock went back: others are left to decide", action="kernel.aside")
            await self._group.leave()

    async def announce(self) -> None:
        """Tell everybody the snapshot in force and what its rules read; who stands aside has none to tell of."""
        if self.is_aside:
            return
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
            await self._keep_place()
            await self.announce()
            await self._tell_events()
            try:
                async with asyncio.timeout(ANNOUNCE_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _keep_place(self) -> None:
        try:
            await self._take_place()
        except (NatsError, TimeoutError) as error:
            log.warning("it is not known who answers", action="kernel.place", error=type(error).__name__)

    async def _subscribe_to_questions(self, subject: str) -> Subscription:
        return await self._subscribe(subject, self._answers[subject], subjects.KERNEL_QUEUE)

    async def _subscribe(self, subject: str, answer: Callable[[bytes], dict[str, Any]], queue: str) -> Subscription:
        operation = subject.rpartition(".")[2]
        seconds = metrics.DECIDE_SECONDS.labels(operation)

        async def serve(message: Msg) -> None:
            if not self._may_answer(subject, message.reply):
                return
            with seconds.time():
                reply = wire.pack(guarded(answer, message.data, "request"))
            await self._respond(message, reply)

        return await self._nc.subscribe(subject, queue=queue, cb=serve)

    def _may_answer(self, subject: str, reply: str) -> bool:
        if subjects.may_answer(reply, self._inboxes):
            return True
        if subject == subjects.KERNEL_STATUS and reply == subjects.POLICY_SNAPSHOT:
            return not self.is_aside  # a client that starts asks for what is announced anyway
        if reply:
            metrics.KERNEL_ERRORS.labels("bad_reply").inc()
            log.warning("a request wants its answer where none goes", action="kernel.answer", reply=reply[:64])
        return False

    async def _respond(self, message: Msg, reply: bytes) -> None:
        try:
            try:
                await self._nc.publish(message.reply, reply)
            except MaxPayloadError:
                await self._nc.publish(
                    message.reply, wire.pack(error_reply(calls.REPLY_TOO_LARGE, "ask for fewer at once"))
                )
        except NatsError as error:
            metrics.KERNEL_ERRORS.labels("not_sent").inc()
            log.warning("an answer was not sent", action="kernel.answer", error=type(error).__name__)

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
            trace_decision("kernel.decide", job, decision, started_ns)
            return decision.as_dict()

        items = [guarded(one, item) for item in request.items]
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
            results[result_of(reply)] += 1
            trace_decision("kernel.permit", asked.job, decision, started_ns, reply.refusal)
            return calls.permit_reply_dict(reply)

        items = [guarded(one, item) for item in request.items]
        for result, count in results.items():
            metrics.PERMITS.labels(result).inc(count)
        for verdict, count in verdicts.items():
            metrics.DECISIONS.labels(str(Phase.DISPATCH), str(verdict)).inc(count)
        return {"items": items, **self._info(active).as_dict()}

    def _output(self, data: bytes) -> dict[str, Any]:
        request, now_ms = self._open(data)
        active, reason = self._in_force()
        if active is None:
            return error_reply(calls.NO_POLICY, reason)
        policy = active.policy

        def one(item: bytes) -> Item:
            return decide_output(policy, OutputFacts.from_dict(wire.unpack(item)), now_ms).as_dict()

        return {"items": [guarded(one, item) for item in request.items], **self._info(active).as_dict()}

    def _detectors(self, data: bytes) -> dict[str, Any]:
        self._open(data)
        active, reason = self._in_force()
        if active is None:
            return error_reply(calls.NO_POLICY, reason)
        return {"items": [active.policy.detector_set.as_dict()], **self._info(active).as_dict()}

    def _status(self, _data: bytes) -> dict[str, Any]:
        active, reason = (None, WENT_BACK) if self.is_aside else self._in_force()
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
                raise ItemRefused(calls.PAYLOAD_MISSING, "the rules look at the payload; send it along")
        elif not job.payload_holds():
            raise ItemRefused(calls.FORGED_PAYLOAD, "the payload is not the one that was hashed")
        return evaluate(active.policy, job, now_ms=now_ms, phase=request.phase, trace=request.trace)

    def _offer(self, job: Job, decision: Decision) -> None:
        """Let the shadow see a live decision that a policy made; whatever becomes of that is none of the asker's."""
        if self._shadow is None or decision.phase not in LIVE or decision.snapshot == NO_POLICY_SNAPSHOT:
            return
        try:
            self._shadow.offer(job, decision)
        except Exception as error:  # noqa: BLE001  who only looks on can take nothing from who decides
            metrics.KERNEL_ERRORS.labels("shadow").inc()
            log.error("the shadow failed", action="kernel.shadow", error=where(error))  # noqa: TRY400  see `where`

    def _in_force(self) -> tuple[ActivePolicy | None, str]:
        """The policy to decide under, or None and why there is none. What expired is as good as none.

        KernelUnavailable by a clock that went back: what came before it was noticed is for another kernel, too.
        """
        if self.is_aside:
            self._changed.set()
            raise KernelUnavailable(WENT_BACK)
        active = self._source.current()
        if active is None:
            return None, "no valid policy bundle"
        if self._clock.now_ms() >= active.expires_ms:
            return None, "policy expired"
        return active, ""

    def _info(self, active: ActivePolicy | None) -> SnapshotInfo:
        snapshot: Digest = NO_POLICY_SNAPSHOT if active is None else active.snapshot
        reads = () if active is None else tuple(sorted(active.policy.reads))
        return SnapshotInfo(snapshot, reads, self._replica, active is not None, 0)

    def _failed(self, name: str, error: BaseException) -> None:
        log.error("a task of the kernel ended", action="kernel.task", task=name, error=type(error).__name__)
        metrics.KERNEL_ERRORS.labels("task").inc()
