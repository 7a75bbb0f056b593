"""Heartbeats: a worker renews its leases and hears which jobs to stop.

What always holds: only attempt and token as handed out renew a lease; the answer names every lease that is not the
worker's any more, so that it stops work whose result would be void.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from holdgate.kernel import limits, subjects, wire
from holdgate.kernel.clock import Clock
from holdgate.kernel.draining import drain
from holdgate.kernel.errors import HoldgateError, InvalidInput
from holdgate.kernel.ids import JOB_ID, NAME, JobId, LeaseToken, Tenant, WorkerId
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.delivery import may_answer_worker
from holdgate.scheduler.dispatch.offers import names_of
from holdgate.scheduler.state.leases import LeaseClaim, Leases
from holdgate.scheduler.state.workers import Workers, WorkerView

log = structlog.get_logger(__name__)

BEAT_BYTES_MAX = 1024 * 1024
LEASES_PER_BEAT_MAX = 4_096
WORKER_TTL_MS = 4 * limits.HEARTBEAT_S * 1000


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker says: who it is, how busy, and what it holds, by tenant."""

    view: WorkerView
    claims: Mapping[Tenant, tuple[LeaseClaim, ...]]

    @classmethod
    def from_message(cls, subject: str, data: bytes, now_ms: int) -> Beat:
        """The beat in a message; InvalidInput when it is none, or speaks for another worker than its subject."""
        body = wire.unpack(data, bytes_max=BEAT_BYTES_MAX)
        pool, worker = subject.split(".")[-2:]
        if body.get("worker") != worker or body.get("pool") != pool:
            raise InvalidInput("a heartbeat names another worker or pool than its subject")
        held = body.get("leases", [])
        if not isinstance(held, list) or len(held) > LEASES_PER_BEAT_MAX:
            raise InvalidInput(f"`leases` must be a list of at most {LEASES_PER_BEAT_MAX}")
        claims: dict[Tenant, list[LeaseClaim]] = defaultdict(list)
        for entry in held:
            tenant, claim = _claim(entry)
            claims[tenant].append(claim)
        view = WorkerView(
            worker=WorkerId(worker),
            pool=pool,
            topics=names_of(body.get("topics", []), "topics"),
            capabilities=names_of(body.get("capabilities", []), "capabilities"),
            capacity=_count(body, "capacity"),
            busy=_count(body, "busy"),
            seen_ms=now_ms,
        )
        return cls(view, {tenant: tuple(items) for tenant, items in claims.items()})


class BeatDesk:
    """Answers heartbeats with `{cancel, lost, lease_ms}`."""

    def __init__(
        self,
        nc: Nats,
        *,
        leases: Leases,
        workers: Workers,
        clock: Clock,
        lease_ms: int,
        inboxes: Sequence[str] = (subjects.INBOX,),
    ) -> None:
        """`inboxes` are where answers may go, beside that of the pool's workers."""
        self._inboxes = inboxes
        self._nc = nc
        self._leases = leases
        self._workers = workers
        self._clock = clock
        self._lease_ms = lease_ms
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Hear heartbeats."""
        self._subscription = await self._nc.subscribe(
            f"{subjects.BEAT}.*.*", queue=subjects.DISPATCHER_QUEUE, cb=self._on_message
        )

    async def stop(self) -> None:
        """Hear no more; idempotent."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None and not self._nc.is_closed:
            await drain(subscription)

    async def answer(self, beat: Beat) -> dict[str, Any]:
        """Renew what is still held. StateUnavailable: nothing may have been renewed; the worker beats again."""
        now_ms = self._clock.now_ms()
        seen = self._workers.seen(beat.view, ttl_ms=WORKER_TTL_MS)
        renewing = (
            self._leases.renew(tenant, claims, beat.view.worker, lease_ms=self._lease_ms, now_ms=now_ms)
            for tenant, claims in beat.claims.items()
        )
        _, renewals = await asyncio.gather(seen, asyncio.gather(*renewing))
        lost = [job_id for renewal in renewals for job_id in renewal.lost]
        metrics.STALE.labels("beat").inc(len(lost))
        cancel = [job_id for renewal in renewals for job_id in renewal.cancel]
        return {"cancel": cancel, "lost": lost, "lease_ms": self._lease_ms}

    async def _on_message(self, message: Msg) -> None:
        if not may_answer_worker(message, self._inboxes):
            metrics.DUTY_FAILURES.labels("beats").inc()
            return
        try:
            beat = Beat.from_message(message.subject, message.data, self._clock.now_ms())
            answer = await self.answer(beat)
        except HoldgateError as error:
            metrics.DUTY_FAILURES.labels("beats").inc()
            log.warning("a heartbeat was not served", action="beat_failed", code=error.code, error=str(error))
            answer = {"error": error.code, "cancel": [], "lost": []}
        try:
            await self._nc.publish(message.reply, wire.pack(answer))
        except nats.errors.Error as error:
            log.warning("a heartbeat was not answered", action="beat_unanswered", error=type(error).__name__)


def _claim(entry: Any) -> tuple[Tenant, LeaseClaim]:
    if not isinstance(entry, dict):
        raise InvalidInput("an entry of `leases` must be a map")
    tenant, job_id, attempt, token = (entry.get(key) for key in ("tenant", "job_id", "attempt", "token"))
    progress = entry.get("progress")
    if not (isinstance(tenant, str) and NAME.match(tenant) and isinstance(job_id, str) and JOB_ID.match(job_id)):
        raise InvalidInput("an entry of `leases` names no job")
    if not (type(attempt) is int and attempt > 0 and isinstance(token, str) and len(token) <= 64):
        raise InvalidInput("an entry of `leases` has no attempt and token")
    if progress is not None and not (isinstance(progress, int | float) and 0 <= progress <= 1):
        raise InvalidInput("`progress` must be from 0 to 1")
    return Tenant(tenant), LeaseClaim(JobId(job_id), attempt, LeaseToken(token), progress)


def _count(body: Mapping[str, Any], key: str) -> int:
    value = body.get(key, 0)
    if type(value) is not int or not 0 <= value <= 1_000_000:
        raise InvalidInput(f"`{key}` must be a number of jobs")
    return value
