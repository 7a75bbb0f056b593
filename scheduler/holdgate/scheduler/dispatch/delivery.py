"""Answers with jobs in them, and what happens to those that nobody was there to take.

NATS tells the sender of a message with a reply subject when nobody listens to it (status 503). An answer to a worker
that died while it waited is noticed that way, and its leases end at once instead of running out. What always holds:
this only ends leases early; without it they end by themselves.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Sequence

import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from holdgate.kernel import subjects, wire
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ids import Tenant, WorkerId
from holdgate.scheduler import metrics
from holdgate.scheduler.gates.dispatch import Handover
from holdgate.scheduler.state.leases import LeaseClaim, Leases

log = structlog.get_logger(__name__)

REMEMBERED_MAX = 1_024
"""Answers whose fate may still be told: it comes within a round trip, so this is generous."""
NO_RESPONDERS = "503"
ENDED_MS = -1
"""Renewal into the past: the reaper finds the lease over."""


class Deliveries:
    """Sends answers that carry jobs."""

    def __init__(self, nc: Nats, *, leases: Leases, clock: Clock) -> None:
        self._nc = nc
        self._leases = leases
        self._clock = clock
        self._prefix = ""
        self._number = 0
        self._sent: OrderedDict[str, tuple[WorkerId, tuple[Handover, ...]]] = OrderedDict()
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Hear what could not be delivered."""
        self._prefix = self._nc.new_inbox()
        self._subscription = await self._nc.subscribe(f"{self._prefix}.*", cb=self._on_status)

    async def stop(self) -> None:
        """Hear no more; idempotent."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None and not self._nc.is_closed:
            await subscription.unsubscribe()

    async def send(self, reply: str, worker: WorkerId, handovers: Sequence[Handover]) -> None:
        """Answer on the subject `reply`. Never fails: what is not delivered comes back with its lease."""
        self._number += 1
        report = f"{self._prefix}.{self._number}"
        self._sent[report] = (worker, tuple(handovers))
        if len(self._sent) > REMEMBERED_MAX:
            self._sent.popitem(last=False)
        body = wire.pack({"jobs": [handover.as_dict() for handover in handovers]})
        try:
            await self._nc.publish(reply, body, reply=report)
        except nats.errors.Error as error:
            log.warning("an answer was not sent", action="ask_unanswered", error=type(error).__name__)
            await self._end(report)
        else:
            metrics.HANDED_OVER.inc(len(handovers))

    async def _on_status(self, message: Msg) -> None:
        if (message.headers or {}).get("Status") == NO_RESPONDERS:
            await self._end(message.subject)

    async def _end(self, report: str) -> None:
        worker, handovers = self._sent.pop(report, (WorkerId(""), ()))
        claims: dict[Tenant, list[LeaseClaim]] = defaultdict(list)
        for handover in handovers:
            claims[handover.job.tenant].append(LeaseClaim(handover.job.job_id, handover.attempt, handover.token))
        if not claims:
            return
        metrics.UNDELIVERED.inc(len(handovers))
        log.warning("a worker was gone before its jobs came", action="undelivered", worker=worker, jobs=len(handovers))
        now_ms = self._clock.now_ms()
        try:
            await asyncio.gather(
                *(
                    self._leases.renew(tenant, held, worker, lease_ms=ENDED_MS, now_ms=now_ms)
                    for tenant, held in claims.items()
                )
            )
        except HoldgateError as error:
            log.warning("leases were not ended", action="undelivered", code=error.code)


def may_answer_worker(message: Msg, inboxes: Sequence[str]) -> bool:
    """Whether the answer to a worker's message goes to its pool's inbox, or to one of `inboxes`; if not, a log line.

    The worker chose that subject, and the dispatcher may publish what a worker may not.
    """
    pool, _ = message.subject.split(".")[-2:]
    if subjects.may_answer(message.reply, (*inboxes, subjects.inbox(f"{subjects.WORKER_USER}{pool}"))):
        return True
    log.warning("a worker wants its answer where none goes", action="bad_reply", pool=pool, reply=message.reply[:64])
    return False
