"""How api, dispatcher and output gate ask the kernel: a time limit, a circuit breaker, a decision cache.

What always holds: no answer in time is `KernelUnavailable`, never a denial; only decisions for submit are cached, and a
cached one is used only for a job that the rules could not tell from the one it was made for, under the snapshot in
force; callers that come while a question is under way are asked for together in the next one, and one whose question
cannot be sent fails alone. The breaker counts what was on the wire, not who waited for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError

from holdgate.kernel import calls, limits, metrics, subjects, wire
from holdgate.kernel.batching import GroupCommit
from holdgate.kernel.breaker import Breaker, BreakerState
from holdgate.kernel.cache import DecisionCache
from holdgate.kernel.calls import SnapshotInfo
from holdgate.kernel.clock import Clock
from holdgate.kernel.custody import PermitReply, PermitRequest
from holdgate.kernel.detectors import DetectorSet
from holdgate.kernel.errors import InvalidInput, KernelUnavailable, NoPolicy, Unavailable
from holdgate.kernel.ids import Digest
from holdgate.kernel.output import OutputDecision, OutputFacts
from holdgate.kernel.records import Decision, Job, Phase
from holdgate.kernel.tasks import TaskSet

log = structlog.get_logger("holdgate.kernel.client")

SILENT_AFTER_S = 6.0
"""Kernels announce themselves every 2 s; three in a row lost is down."""
SLIM_BYTES = 4096
"""A larger payload is left out of the question when no rule reads it; a kernel that wants it after all says so."""

UNPACKABLE = "unpackable"


class KernelRefused(InvalidInput):
    """the kernel answered that the question is not valid"""

    code = "kernel_refused"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"the kernel refused the question (`{code}`): {message}")
        self.refusal = code
        self.why = message


class _Silent(KernelUnavailable):
    """the kernel gave no answer at all, or is not asked for want of one"""


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One kernel's answer to `status`. `policy` False: it has none, `reason` says why. `source` is for people.

    `shadow` is what it shadows, with samples of all tenants.
    """

    replica: str
    snapshot: Digest
    policy: bool
    reason: str
    uptime_ms: int
    root_version: int | None
    bundles: tuple[dict[str, Any], ...]
    source: dict[str, Any]
    shadow: tuple[dict[str, Any], ...] = ()


class KernelClient:
    """One per process. All calls raise KernelUnavailable when no kernel answers in time, and change nothing then."""

    def __init__(
        self,
        nc: Nats,
        *,
        clock: Clock,
        timeout_s: float = limits.KERNEL_TIMEOUT_S,
        breaker: Breaker | None = None,
    ) -> None:
        self._nc = nc
        self._clock = clock
        self._timeout_s = timeout_s
        self._breaker = breaker or Breaker()
        self._cache = DecisionCache(clock)
        self._info: SnapshotInfo | None = None
        self._is_answering = True
        self._callbacks: list[Callable[[SnapshotInfo], None]] = []
        self._subscription: Subscription | None = None
        self._tasks = TaskSet(self._failed)
        self._submits: GroupCommit[Job, Decision] = GroupCommit(self._flush, batch_max=limits.KERNEL_BATCH_MAX)

    async def start(self) -> None:
        """Listen for snapshots, and ask for one now; idempotent."""
        if self._subscription is None:
            self._subscription = await self._nc.subscribe(subjects.POLICY_SNAPSHOT, cb=self._heard)
            # A status holds all that an announcement does: nobody has to wait for the next one.
            await self._nc.publish(subjects.KERNEL_STATUS, b"", reply=subjects.POLICY_SNAPSHOT)
            self._tasks.start(self._watch(), "kernel-watch")

    async def stop(self) -> None:
        """Refuse what waits and listen no more; idempotent."""
        subscription, self._subscription = self._subscription, None
        await self._tasks.close()
        await self._submits.close()
        if subscription is not None and not self._nc.is_closed:
            try:
                await subscription.unsubscribe()
            except NatsError as error:
                log.debug("the connection ended first", action="kernel.client.stop", error=type(error).__name__)

    @property
    def snapshot(self) -> SnapshotInfo | None:
        """The latest announcement heard, or None before the first."""
        return self._info

    @property
    def breaker_state(self) -> BreakerState:
        """Whether calls go out now."""
        return self._breaker.state(self._clock.now_ms())

    @property
    def is_silent(self) -> bool:
        """Whether no kernel has announced itself for longer than it takes to lose a few announcements."""
        heard_ms = 0 if self._info is None else self._info.heard_ms
        return self._clock.now_ms() - heard_ms > SILENT_AFTER_S * 1000

    @property
    def is_answering(self) -> bool:
        """Whether the last question was answered, or a kernel announced itself since."""
        return self._is_answering

    @property
    def retry_after_s(self) -> int:
        """What to tell a caller that was refused for want of a kernel."""
        return int(limits.BREAKER_OPEN_S) if self.breaker_state is BreakerState.OPEN else 1

    def on_snapshot(self, callback: Callable[[SnapshotInfo], None]) -> None:
        """Call `callback` (quick, on the event loop) when the announced snapshot is another than before."""
        self._callbacks.append(callback)

    async def decide(self, job: Job, phase: Phase = Phase.SUBMIT) -> Decision:
        """The decision about `job`; for submit from the cache where it holds one. Callers are asked for together."""
        if phase is not Phase.SUBMIT:
            return (await self.decide_fresh([job], phase))[0]
        cached = self._cache.get(job)
        return await self._decide_together(job) if cached is None else cached

    async def decide_now(self, job: Job) -> Decision:
        """The decision about `job` for submit as of this moment, never from a cache. Callers are asked for together.

        NoPolicy as in `decide_fresh`.
        """
        decision = await self._decide_together(job)
        if is_without_policy(decision):
            raise NoPolicy
        return decision

    async def _decide_together(self, job: Job) -> Decision:
        """In the next question that leaves: one that is under way when the call comes does not answer it."""
        if self._breaker.would_refuse(self._clock.now_ms()):
            raise KernelUnavailable("the kernel does not answer; the circuit breaker is open")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._submits.submit(job)
        except TimeoutError as error:
            raise KernelUnavailable("the kernel gave no decision in time") from error
        except KernelUnavailable:
            raise
        except Unavailable as error:
            raise KernelUnavailable(str(error)) from error

    async def decide_fresh(
        self, jobs: Sequence[Job], phase: Phase, *, trace: bool = False, now_ms: int | None = None
    ) -> list[Decision]:
        """Decisions never from a cache, in order. `now_ms` (simulate and explain only) decides as of that time.

        NoPolicy where something is to be done by them: a denial for want of a policy ends nothing that waits.
        """
        replies = await self._ask_jobs(jobs, phase, trace=trace, now_ms=now_ms)
        decisions = [_decision(reply) for reply in replies]
        if phase in (Phase.SUBMIT, Phase.DISPATCH) and any(map(is_without_policy, decisions)):
            raise NoPolicy
        return decisions

    async def permits(self, requests: Sequence[PermitRequest]) -> list[PermitReply]:
        """A reply for each request, in order. One that cannot be asked is refused with the code of the reason; so are,
        as `kernel_unavailable`, those after which the kernel fell silent, unless that is all of them."""

        def item(index: int, slim: bool) -> bytes:
            request = requests[index]
            return calls.pack_permit_request(replace(request, job=self._slim(request.job)) if slim else request)

        replies = await self._ask_twice(subjects.KERNEL_PERMIT, len(requests), item, Phase.DISPATCH)
        if replies and all(reply.get("error") == KernelUnavailable.code for reply in replies):
            _raise_refusal(replies[0])
        return [calls.permit_reply(reply) for reply in replies]

    async def decide_outputs(self, facts: Sequence[OutputFacts]) -> list[OutputDecision]:
        """A verdict on each output, in order; KernelUnavailable also while the kernel has no valid policy."""
        items = [wire.pack(fact.as_dict()) for fact in facts]
        replies = await self._ask(subjects.KERNEL_OUTPUT, items, Phase.DISPATCH)
        for reply in replies:
            _raise_refusal(reply)
        return [OutputDecision.from_dict(reply) for reply in replies]

    async def detectors(self) -> DetectorSet:
        """What outputs are scanned with beside the built-in detectors; KernelUnavailable as in `decide_outputs`."""
        (reply,) = await self._ask(subjects.KERNEL_DETECTORS, [b""], Phase.DISPATCH)
        _raise_refusal(reply)
        return DetectorSet.from_dict(reply)

    async def status(self, wait_s: float = 0.3) -> list[ReplicaStatus]:
        """What every kernel that answers within `wait_s` says about itself; empty when none does."""
        inbox = self._nc.new_inbox()
        heard: list[ReplicaStatus] = []

        async def hear(message: Msg) -> None:
            try:
                heard.append(_replica(wire.unpack(message.data)))
            except (InvalidInput, KeyError, TypeError, ValueError) as error:
                # No responders is an empty message; anything else unreadable is not a kernel of this version.
                log.debug("not a status", action="kernel.status", error=str(error))

        try:
            subscription = await self._nc.subscribe(inbox, cb=hear)
            await self._nc.publish(subjects.KERNEL_STATUS, b"", reply=inbox)
            await asyncio.sleep(wait_s)
            await subscription.unsubscribe()
        except NatsError as error:
            raise KernelUnavailable(f"NATS did not take the question: {type(error).__name__}") from error
        return sorted(heard, key=lambda status: status.replica)

    async def _flush(self, jobs: list[Job]) -> list[Decision | Exception]:
        replies = await self._ask_jobs(jobs, Phase.SUBMIT)
        decisions: list[Decision | Exception] = []
        for job, reply in zip(jobs, replies, strict=True):
            try:
                decision = _decision(reply)
            except (InvalidInput, KernelUnavailable) as error:
                decisions.append(error)
                continue
            self._cache.put(job, decision)
            decisions.append(decision)
        return decisions

    async def _ask_jobs(
        self, jobs: Sequence[Job], phase: Phase, *, trace: bool = False, now_ms: int | None = None
    ) -> list[dict[str, Any]]:
        def item(index: int, slim: bool) -> bytes:
            return calls.pack_job(self._slim(jobs[index]) if slim else jobs[index])

        return await self._ask_twice(subjects.KERNEL_DECIDE, len(jobs), item, phase, trace=trace, now_ms=now_ms)

    async def _ask_twice(
        self, subject: str, count: int, item: Callable[[int, bool], bytes], phase: Phase, **extra: Any
    ) -> list[dict[str, Any]]:
        """Ask with large payloads left out where no rule reads them; again, whole, where the kernel wants them."""
        replies = await self._ask_items(subject, range(count), lambda index: item(index, True), phase, **extra)
        missing = [index for index, reply in enumerate(replies) if reply.get("error") == calls.PAYLOAD_MISSING]
        if missing:
            again = await self._ask_items(subject, missing, lambda index: item(index, False), phase, **extra)
            for index, reply in zip(missing, again, strict=True):
                replies[index] = reply
        return replies

    async def _ask_items(
        self, subject: str, indexes: Sequence[int], item: Callable[[int], bytes], phase: Phase, **extra: Any
    ) -> list[dict[str, Any]]:
        """A reply for each of `indexes`, in order; for one that cannot be written as a message, an error of its own."""
        replies: dict[int, dict[str, Any]] = {}
        packed: list[bytes] = []
        asked: list[int] = []
        for index in indexes:
            try:
                packed.append(item(index))
            except (InvalidInput, TypeError, ValueError, OverflowError) as error:
                # Not its text, which may quote the job.
                replies[index] = _refusal(UNPACKABLE, f"it has no form as a message ({type(error).__name__})")
            else:
                asked.append(index)
        replies.update(zip(asked, await self._ask(subject, packed, phase, **extra), strict=True))
        return [replies[index] for index in indexes]

    def _slim(self, job: Job) -> Job:
        if job.payload is None or len(job.payload) <= SLIM_BYTES:
            return job
        return job if self._info is None or "payload" in self._info.reads else job.with_payload(None)

    async def _ask(self, subject: str, items: Sequence[bytes], phase: Phase, **extra: Any) -> list[dict[str, Any]]:
        """A reply for each item, in order. What goes wrong with a part of them is the reply of that part's items; a
        kernel that falls silent is not asked for the rest, so that one call is at most one failure for the breaker."""
        replies: list[dict[str, Any]] = []
        bytes_max = min(calls.REQUEST_BYTES, self._nc.max_payload * 3 // 4)
        for start, part in calls.chunks(items, bytes_max):
            try:
                replies += await self._ask_part(subject, part, phase, **extra)
            except _Silent as error:
                replies += [_refusal(error.code, str(error))] * (len(items) - start)
                break
        return replies

    async def _ask_part(self, subject: str, part: list[bytes], phase: Phase, **extra: Any) -> list[dict[str, Any]]:
        until_ms = self._clock.now_ms() + int(self._timeout_s * 1000)
        try:
            reply = await self._request(subject, calls.pack_request(part, until_ms, phase, **extra))
        except KernelRefused as error:
            return [_refusal(error.refusal, error.why)] * len(part)
        if reply.get("error") == calls.REPLY_TOO_LARGE and len(part) > 1:
            half = len(part) // 2
            first = await self._ask_part(subject, part[:half], phase, **extra)
            return first + await self._ask_part(subject, part[half:], phase, **extra)
        if "error" in reply:
            return [_refusal(str(reply["error"]), str(reply.get("message", "")))] * len(part)
        items = reply.get("items")
        if not isinstance(items, list) or len(items) != len(part) or not all(isinstance(item, dict) for item in items):
            return [_refusal(KernelUnavailable.code, "the kernel's answer does not fit the question")] * len(part)
        return items

    async def _request(self, subject: str, data: bytes) -> dict[str, Any]:
        ticket = self._breaker.try_acquire(self._clock.now_ms())
        if ticket is None:
            raise _Silent("the kernel does not answer; the circuit breaker is open")
        try:
            message = await self._nc.request(subject, data, timeout=self._timeout_s)
            reply = wire.unpack(message.data)
        except asyncio.CancelledError:
            self._breaker.abandon(ticket)
            raise
        except MaxPayloadError as error:
            self._breaker.abandon(ticket)
            raise KernelRefused("too_large", "more than NATS carries in one message") from error
        except (NatsError, TimeoutError, OSError, InvalidInput) as error:
            self._breaker.record_failure(ticket, self._clock.now_ms())
            self._measure(is_up=False)
            raise _Silent(f"the kernel gave no answer: {type(error).__name__}") from error
        self._breaker.record_success()
        self._measure(is_up=True)
        return reply

    def _measure(self, *, is_up: bool) -> None:
        self._is_answering = is_up
        metrics.KERNEL_UP.set(1 if is_up else 0)
        metrics.BREAKER_STATE.set(int(self.breaker_state))

    async def _heard(self, message: Msg) -> None:
        if not message.data:
            return  # NATS says that there is no kernel to answer; one that comes announces itself
        if message.subject != subjects.POLICY_SNAPSHOT:
            # Who fetches from a stream chooses where the server sends it, under the subject it was written on.
            log.warning("not an announcement", action="kernel.snapshot", error="sent here from a stream")
            return
        try:
            info = SnapshotInfo.from_dict(wire.unpack(message.data), self._clock.now_ms())
        except InvalidInput as error:
            log.warning("not an announcement", action="kernel.snapshot", error=str(error))
            return
        before, self._info = self._info, info
        self._breaker.heard(self._clock.now_ms())
        self._measure(is_up=self.breaker_state is BreakerState.CLOSED)
        self._cache.use(info.snapshot, info.reads)
        if before is None or before.snapshot != info.snapshot:
            for callback in self._callbacks:
                callback(info)

    async def _watch(self) -> None:
        """Notice a kernel that fell silent even while nobody asks it anything."""
        while True:
            await asyncio.sleep(SILENT_AFTER_S / 3)
            if self.is_silent:
                self._measure(is_up=False)

    def _failed(self, name: str, error: BaseException) -> None:
        log.error("a task of the kernel client ended", action="kernel.client", task=name, error=type(error).__name__)


def is_without_policy(decision: Decision) -> bool:
    """Whether it is a denial because no valid policy was in force, and so says nothing about the job."""
    return calls.NO_POLICY in decision.errors


def _decision(reply: dict[str, Any]) -> Decision:
    _raise_refusal(reply)
    return Decision.from_dict(reply)


def _refusal(code: str, message: str) -> dict[str, Any]:
    """The reply to an item that was not answered, as the kernel would write it."""
    return {"error": code, "message": message}


def _raise_refusal(reply: dict[str, Any]) -> None:
    """A failure of the kernel is no answer; a question that it refuses is the asker's fault."""
    if (code := reply.get("error")) is None:
        return
    message = str(reply.get("message", ""))
    if code == KernelUnavailable.code:
        raise KernelUnavailable(message)
    if code in (calls.INTERNAL, calls.NO_POLICY):
        raise KernelUnavailable(f"the kernel cannot answer: {message}")
    raise KernelRefused(str(code), message)


def _replica(value: dict[str, Any]) -> ReplicaStatus:
    return ReplicaStatus(
        replica=str(value["replica"]),
        snapshot=Digest(str(value["snapshot"])),
        policy=value["policy"] is True,
        reason=str(value["reason"]),
        uptime_ms=int(value["uptime_ms"]),
        root_version=value["root_version"],
        bundles=tuple(value["bundles"]),
        source=dict(value["source"]),
        shadow=tuple(value.get("shadow", ())),
    )
