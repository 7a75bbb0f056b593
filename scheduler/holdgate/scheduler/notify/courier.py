"""Brings claimed notices to one webhook: a few at once, each tried until it arrives or its day is over.

What always holds: what is not delivered stays a delivery in the store; couriers share nothing, so a webhook that is
slow or dead holds up no other; no more is held here than a lease has time for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ids import Entropy
from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.gates.retry import delay_ms
from holdgate.scheduler.notify import metrics
from holdgate.scheduler.notify.config import Webhook
from holdgate.scheduler.notify.message import message_body, message_id
from holdgate.scheduler.notify.sender import TIMEOUT_S, Sender
from holdgate.scheduler.notify.signature import signed_headers
from holdgate.scheduler.state.notices import Delivery, Notices

log = structlog.get_logger(__name__)

AT_ONCE = 4
HELD_MAX = 16
LEASE_MS = int(1000 * TIMEOUT_S * HELD_MAX / AT_ONCE * 3)
"""Thrice what the last of those held waits when every one before it takes all its time."""
RETRY_BASE_MS, RETRY_CAP_MS = 5_000, 3_600_000
TRIED_FOR_MS = 24 * 3_600_000


class Courier:
    """Deliveries of one webhook. `on_room` is called when it was full and has room again."""

    def __init__(
        self,
        webhook: Webhook,
        notices: Notices,
        sender: Sender,
        *,
        console_url: str | None,
        clock: Clock,
        entropy: Entropy,
        on_room: Callable[[], None],
    ) -> None:
        self.webhook = webhook
        self._notices = notices
        self._sender = sender
        self._console_url = console_url
        self._clock = clock
        self._entropy = entropy
        self._on_room = on_room
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._is_full = False
        self._tasks = TaskSet(self._failed)

    @property
    def room(self) -> int:
        """How many more may be taken now."""
        return max(0, HELD_MAX - len(self._tasks))

    def take(self, delivery: Delivery) -> None:
        """Deliver it in the background."""
        self._tasks.start(self._deliver(delivery), f"notice-{self.webhook.name}")

    def note_full(self) -> None:
        """It was given as much as it had room for: there may be more."""
        self._is_full = True
        self._ask_for_more()

    async def drain(self, timeout_s: float) -> None:
        """Let what is under way come to its end, at most `timeout_s`. What is cut off comes again after its lease."""
        await self._tasks.drain(timeout_s)

    async def _deliver(self, delivery: Delivery) -> None:
        async with self._at_once:
            wrong = await self._send(delivery)
        now_ms = self._clock.now_ms()
        result = await self._settle(delivery, wrong, now_ms)
        metrics.NOTICES.labels(self.webhook.name, result).inc()
        self._ask_for_more()

    def _ask_for_more(self) -> None:
        if self._is_full and self.room >= HELD_MAX // 2:
            self._is_full = False
            self._on_room()

    async def _send(self, delivery: Delivery) -> str | None:
        body = message_body(delivery.notice, self._console_url)
        try:
            secrets = self.webhook.secrets()
        except Misconfigured as error:
            log.warning("a webhook's secret cannot be read", action="webhook_secret", error=str(error))
            return "secret_unreadable"
        headers = signed_headers(message_id(delivery.notice), self._clock.now_ms(), body, secrets)
        return await self._sender.post(self.webhook.url, body, headers)

    async def _settle(self, delivery: Delivery, wrong: str | None, now_ms: int) -> str:
        if wrong is None:
            return metrics.DELIVERED if await self._notices.done(delivery, now_ms) else metrics.LATE
        at_ms = now_ms + delay_ms(delivery.tries, self._entropy, base_ms=RETRY_BASE_MS, cap_ms=RETRY_CAP_MS)
        facts = {"webhook": self.webhook.name, "tries": delivery.tries, "error": wrong}
        if at_ms < delivery.notice.time_ms + TRIED_FOR_MS:
            log.warning("a notice was not delivered", action="notice_retried", **facts)
            return metrics.RETRIED if await self._notices.retry(delivery, now_ms, at_ms) else metrics.LATE
        log.error("a notice was given up", action="notice_given_up", **facts)
        told = {**facts, "notice": message_id(delivery.notice), "job_id": delivery.notice.job_id}
        return metrics.GIVEN_UP if await self._notices.give_up(delivery, now_ms, told) else metrics.LATE

    def _failed(self, _name: str, error: BaseException) -> None:
        metrics.FAILURES.inc()
        code = error.code if isinstance(error, HoldgateError) else type(error).__name__
        log.warning("a notice is left to its lease", action="notice_left", webhook=self.webhook.name, code=code)
