"""The notifier: turns notices into deliveries and has couriers bring them. Runs in the dispatcher's process.

What always holds: any number may run, and one claims a delivery at a time; killed at any moment it leaves nothing that
another one, or itself after a restart, does not deliver: at least once, under the same id.
"""

from __future__ import annotations

import asyncio
import os

import structlog

from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ids import Entropy, Tenant
from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.notify import metrics
from holdgate.scheduler.notify.config import Webhooks
from holdgate.scheduler.notify.courier import LEASE_MS, TRIED_FOR_MS, Courier
from holdgate.scheduler.notify.sender import HttpSender, Sender
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.notices import Notices, Wanted

log = structlog.get_logger(__name__)

INTERVAL_S = 1.0
STOP_S = 2.0


class NotifyService:
    """`run_once` claims what is due and hands it to the couriers; started, it does so every `INTERVAL_S`."""

    def __init__(
        self,
        scripts: Scripts,
        webhooks: Webhooks,
        *,
        clock: Clock,
        entropy: Entropy = os.urandom,
        sender: Sender | None = None,
    ) -> None:
        self._jobs, self._notices = Jobs(scripts), Notices(scripts)
        self._clock = clock
        self._sender = sender or HttpSender()
        self._again = asyncio.Event()
        self._couriers = [
            Courier(
                webhook,
                self._notices,
                self._sender,
                console_url=webhooks.console_url,
                clock=clock,
                entropy=entropy,
                on_room=self._again.set,
            )
            for webhook in webhooks.items
        ]
        self._known: dict[str, int] = {}
        self._turn = 0
        self._tasks = TaskSet(lambda _name, _error: metrics.FAILURES.inc())

    async def start(self) -> None:
        """Begin; the store may be away."""
        for courier in self._couriers:
            for result in metrics.RESULTS:
                metrics.NOTICES.labels(courier.webhook.name, result)
        self._tasks.start(self._run(), "notify")
        log.info("webhooks are served", action="started", webhooks=[each.webhook.name for each in self._couriers])

    async def stop(self) -> None:
        """Let what is under way arrive; idempotent."""
        await self._tasks.close()
        await asyncio.gather(*(courier.drain(STOP_S) for courier in self._couriers))
        await self._sender.close()

    async def settled(self, timeout_s: float) -> None:
        """Until every delivery under way has come to its end."""
        await asyncio.gather(*(courier.drain(timeout_s) for courier in self._couriers))

    async def run_once(self) -> int:
        """How many deliveries were claimed. StateUnavailable: the next run goes on."""
        now_ms = self._clock.now_ms()
        since = {each.webhook.name: await self._since(each.webhook.name, now_ms) for each in self._couriers}
        waiting = dict.fromkeys(since, 0)
        claimed = 0
        for tenant in await self._tenants():
            for courier, count, left in await self._claim(tenant, since, now_ms):
                claimed += count
                waiting[courier.webhook.name] += left
        for name, left in waiting.items():
            metrics.WAITING.labels(name).set(left)
        return claimed

    async def _claim(self, tenant: Tenant, since: dict[str, int], now_ms: int) -> list[tuple[Courier, int, int]]:
        couriers = [courier for courier in self._couriers if courier.webhook.wants(tenant)]
        if not couriers:
            return []
        wanted = [
            Wanted(each.webhook.name, each.webhook.kinds, since[each.webhook.name], each.room) for each in couriers
        ]
        answers = await self._notices.claim(tenant, wanted, now_ms, LEASE_MS)
        for courier, one, answer in zip(couriers, wanted, answers, strict=True):
            for delivery in answer.deliveries:
                courier.take(delivery)
            if len(answer.deliveries) == one.room:
                courier.note_full()
            if answer.dropped:
                metrics.NOTICES.labels(courier.webhook.name, metrics.DROPPED).inc(answer.dropped)
                log.error(
                    "notices were dropped", action="notices_dropped", webhook=courier.webhook.name, count=answer.dropped
                )
        return [
            (courier, len(answer.deliveries), answer.waiting) for courier, answer in zip(couriers, answers, strict=True)
        ]

    async def _since(self, webhook: str, now_ms: int) -> int:
        if webhook not in self._known:
            self._known[webhook] = await self._notices.known_since(webhook, now_ms)
        return max(self._known[webhook], now_ms - TRIED_FOR_MS)

    async def _tenants(self) -> list[Tenant]:
        """Each time another one first: what fills a courier is not always of the same tenant."""
        tenants = await self._jobs.tenants()
        self._turn += 1
        first = self._turn % max(1, len(tenants))
        return [*tenants[first:], *tenants[:first]]

    async def _run(self) -> None:
        while True:
            self._again.clear()
            try:
                await self.run_once()
            except HoldgateError as error:
                metrics.FAILURES.inc()
                log.warning("the notifier failed", action="notify_failed", code=error.code, error=str(error))
            except Exception:  # a fault of ours in one run must not be the last run
                metrics.FAILURES.inc()
                log.exception("the notifier failed", action="notify_failed")
            try:
                async with asyncio.timeout(INTERVAL_S):
                    await self._again.wait()
            except TimeoutError:
                continue
