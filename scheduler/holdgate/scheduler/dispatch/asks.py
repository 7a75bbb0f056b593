"""Workers ask for jobs: an ask stays open until there are some or its time is over.

What always holds: an ask takes no more than it asked for, and only what the worker says it can do; whose jobs they are
is decided by fair shares; every job in an answer has passed the dispatch gate. What its worker never got comes back
(see delivery).
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
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
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ids import Tenant, WorkerId
from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.board import ReadyBoard
from holdgate.scheduler.dispatch.config import DispatchConfig
from holdgate.scheduler.dispatch.delivery import Deliveries, may_answer_worker
from holdgate.scheduler.dispatch.fairness import FairShare
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.dispatch.offers import Ask, Pool
from holdgate.scheduler.gates.dispatch import Asker, DispatchGate, Handover
from holdgate.scheduler.state.backlog import Backlog, Picked
from holdgate.scheduler.state.restoring import SET_BACK
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)

ASKS_PER_WORKER_MAX = 3
ASKS_MAX = 8_192
"""Open asks of one dispatcher: beyond, workers are told to come back."""
POOL_ASKS_MAX = ASKS_MAX // 4
"""Of one pool: its workers' user may ask under any name, and must not take the room of others."""
PICK_ROUNDS_MAX = 4
"""Rounds in which tenants that ran dry give their share to the others; what is left then waits for the next ask."""
REPLY_BYTES_MAX = limits.ENVELOPE_BYTES_MAX * 3 // 4
"""Jobs in one reply, as `_reply_bytes` counts them."""
RECORD_BYTES = 16 * 1024
"""A job without payload, prompt and labels, its permit and its lease: topic, tags and principals at their limits."""
VOTE_BYTES = 256
"""A signed vote without what it says: key, signature and the names of both."""
BUSY_RETRY_MS = 1_000
CLOSED_PAUSE_S = 0.5
"""Without a kernel: between two tries. Jobs stay where they are meanwhile."""
RETRY_PAUSE_S = 0.05
"""Between two looks of one ask that found only jobs for others: a bound on how fast it turns the backlog over."""


@dataclass(slots=True)
class _Open:
    """An ask under way; `is_superseded` when the same worker asked more often than it may."""

    ask: Ask
    is_superseded: bool = False


class AskDesk:
    """Answers asks. `serve` is the whole of one; messages only lead to it."""

    def __init__(  # noqa: PLR0913  what it works with, each by its name
        self,
        nc: Nats,
        *,
        backlog: Backlog,
        gate: DispatchGate,
        deliveries: Deliveries,
        board: ReadyBoard,
        hints: Hints,
        clock: Clock,
        config: DispatchConfig,
        is_closed: Callable[[], bool] = lambda: False,
        is_paused: Callable[[str, str], bool] = lambda _pool, _worker: False,
    ) -> None:
        """`is_closed`: whether nothing is handed over now, because what comes of it could not be kept. `is_paused`:
        whether a pool's worker is handed nothing, because an operator says so."""
        self._is_closed = is_closed
        self._is_paused = is_paused
        self._nc = nc
        self._backlog = backlog
        self._gate = gate
        self._deliveries = deliveries
        self._board = board
        self._hints = hints
        self._clock = clock
        self._config = config
        self._pools: dict[str, Pool] = {}
        self._open: dict[tuple[str, WorkerId], deque[_Open]] = defaultdict(deque)
        self._asks: Counter[str] = Counter()
        """Messages that are being answered, by pool."""
        self._tasks = TaskSet(self._task_failed)
        self._subscription: Subscription | None = None
        self._is_stopping = False
        self._closed_until_s = 0.0

    async def start(self) -> None:
        """Hear asks."""
        await self._deliveries.start()
        self._subscription = await self._nc.subscribe(
            f"{subjects.ASK}.*.*", queue=subjects.DISPATCHER_QUEUE, cb=self._on_message
        )

    async def stop(self) -> None:
        """Hear no more; asks that wait are answered empty, those that carry jobs are answered with them. Idempotent."""
        self._is_stopping = True
        subscription, self._subscription = self._subscription, None
        if subscription is not None and not self._nc.is_closed:
            await drain(subscription)
        for pool in self._pools:
            while self._board.waiting and self._wake_one(pool):
                pass
        await self._tasks.drain(timeout_s=limits.KERNEL_TIMEOUT_S + 1)
        await self._deliveries.stop()

    async def serve(self, ask: Ask) -> list[Handover]:
        """Jobs for `ask`, as soon as there are some; [] after its time."""
        entry = self._enter(ask)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ask.wait_s
        try:
            while True:
                if entry.is_superseded or self._is_stopping:
                    self._board.wake_next(ask.pool)
                    return []
                found = await self._hand_over(ask)
                left_s = deadline - loop.time()
                if found or left_s <= 0:
                    return found
                if self._board.has_ready(ask.pool):
                    await asyncio.sleep(min(RETRY_PAUSE_S, left_s))
                else:
                    await self._board.wait(ask.pool, left_s)
        finally:
            self._leave(entry)

    # Messages ---------------------------------------------------------------------------------------------------------

    async def _on_message(self, message: Msg) -> None:
        if not may_answer_worker(message, self._config.inboxes):
            metrics.DUTY_FAILURES.labels("asks").inc()
            return
        if self._is_stopping:
            await self._reply(message, {"jobs": []})  # the next ask goes to another dispatcher
            return
        pool = message.subject.split(".")[-2]
        if len(self._tasks) >= ASKS_MAX or self._asks[pool] >= POOL_ASKS_MAX:
            await self._reply(message, {"error": "busy", "retry_ms": BUSY_RETRY_MS})
            return
        self._asks[pool] += 1
        self._tasks.start(self._answered(message, pool), "ask")

    async def _answered(self, message: Msg, pool: str) -> None:
        try:
            await self._answer(message)
        finally:
            self._asks[pool] -= 1
            if not self._asks[pool]:
                del self._asks[pool]

    async def _answer(self, message: Msg) -> None:
        try:
            ask = Ask.from_message(message.subject, message.data)
            handovers = await self.serve(ask)
        except HoldgateError as error:
            log.warning("an ask failed", action="ask_failed", code=error.code, error=str(error))
            await self._reply(message, {"error": error.code, "retry_ms": BUSY_RETRY_MS})
            return
        if handovers:
            await self._deliveries.send(message.reply, ask.worker, handovers)
        else:
            await self._reply(message, {"jobs": []})

    async def _reply(self, message: Msg, body: dict[str, Any]) -> None:
        try:
            await self._nc.publish(message.reply, wire.pack(body))
        except nats.errors.Error as error:
            log.warning("an answer was not sent", action="ask_unanswered", error=type(error).__name__)

    def _task_failed(self, _name: str, error: BaseException) -> None:
        metrics.DUTY_FAILURES.labels("asks").inc()
        log.error("an ask ended in an error", action="ask_failed", error=repr(error))

    # One hand-over ----------------------------------------------------------------------------------------------------

    async def _hand_over(self, ask: Ask) -> list[Handover]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self._pools[ask.pool].has_new_offer:
            await self._recall(ask.pool)
        if self._is_paused(ask.pool, ask.worker):
            self._board.wake_next(ask.pool)  # this one was woken in vain; another may be let
            return []
        if not self._board.has_ready(ask.pool) or began < self._closed_until_s or self._is_closed():
            return []
        picked = await self._pick(ask)
        if self._is_closed():
            # Closed meanwhile: the store that gave them may be an older one.
            await self._put_back(ask.pool, picked, SET_BACK, 0)
            return []
        if self._board.has_ready(ask.pool):
            self._board.wake_next(ask.pool)
        suited = await self._set_aside(ask, picked)
        if not suited:
            return []
        passage = await self._gate.pass_through(suited, Asker(ask.worker, ask.pool))
        metrics.HANDOVER_SECONDS.observe(loop.time() - began)
        if passage.is_closed:
            self._closed_until_s = loop.time() + CLOSED_PAUSE_S
            for item in suited:
                self._board.mark(ask.pool, item.job.tenant)
        for jobs, state in ((passage.denied, State.DENIED), (passage.held, State.HELD)):
            for job in jobs:
                await self._hints.changed(job.tenant, [job.job_id], state)
        for handover in passage.handovers:
            await self._hints.changed(handover.job.tenant, [handover.job.job_id], State.RUNNING)
        return list(passage.handovers)

    async def _pick(self, ask: Ask) -> list[Picked]:
        """Reserved jobs, shared out among the tenants that have some: `ask.n`, or more to look through."""
        fair, n = self._pools[ask.pool].fair, self._pools[ask.pool].width(ask)
        picked: list[Picked] = []
        for _ in range(PICK_ROUNDS_MAX):
            marks = self._board.marked(ask.pool)
            if not marks or len(picked) >= n:
                break
            shares = fair.allot(marks, n - len(picked))
            taken = await self._pick_shares(ask.pool, shares)
            for tenant, share in shares.items():
                jobs = taken[tenant]
                picked += jobs
                if len(jobs) < share:
                    fair.ran_dry(tenant)
                    self._board.dry(ask.pool, tenant, marks[tenant])
        return picked

    async def _pick_shares(self, pool: str, shares: Mapping[str, int]) -> dict[str, list[Picked]]:
        now_ms, bounds, bound = self._clock.now_ms(), self._config.in_flight_of, self._config.in_flight_max
        lists = await asyncio.gather(
            *(
                self._backlog.pick(Tenant(tenant), pool, n, in_flight_max=bounds.get(tenant, bound), now_ms=now_ms)
                for tenant, n in shares.items()
            )
        )
        return dict(zip(shares, lists, strict=True))

    async def _set_aside(self, ask: Ask, picked: Sequence[Picked]) -> list[Picked]:
        """Those for this worker and this reply; the others go back."""
        pool = self._pools[ask.pool]
        suited: list[Picked] = []
        others: dict[tuple[str, int], list[Picked]] = defaultdict(list)
        size = 0
        for item in picked:
            if not ask.can_do(item.job):
                others[pool.put_off(item.job)].append(item)
                pool.fair.give_back(item.job.tenant, 1)
                metrics.DISPATCH_REFUSED.labels("no_capable_worker").inc()
                continue
            size += _reply_bytes(item)
            if suited and (size > REPLY_BYTES_MAX or len(suited) >= ask.n):
                others["next_answer", 0].append(item)
                pool.fair.give_back(item.job.tenant, 1)
            else:
                suited.append(item)
        if picked:
            pool.widen(ask, has_suited=bool(suited))
        for (reason, delay_ms), items in others.items():
            await self._put_back(ask.pool, items, reason, delay_ms)
        return suited

    async def _recall(self, name: str) -> None:
        """Somebody offers what nobody did: jobs that nobody could do are looked at again, now."""
        pool = self._pools[name]
        pool.has_new_offer = False
        pool.put_offs.clear()
        tenants, pool.unwanted = pool.unwanted, set()
        for tenant in tenants:
            if await self._backlog.recall(tenant, name):
                self._board.mark(name, tenant)

    async def _put_back(self, pool: str, items: Sequence[Picked], reason: str, delay_ms: int) -> None:
        by_tenant: dict[Tenant, list[Picked]] = defaultdict(list)
        for item in items:
            by_tenant[item.job.tenant].append(item)
        now_ms = self._clock.now_ms()
        for tenant, jobs in by_tenant.items():
            await self._backlog.put_back(tenant, jobs, waiting_reason=reason, delay_ms=delay_ms, now_ms=now_ms)
            if not delay_ms:
                self._board.mark(pool, tenant)

    # Who is here ------------------------------------------------------------------------------------------------------

    def _enter(self, ask: Ask) -> _Open:
        pool = self._pools.get(ask.pool)
        if pool is None:
            pool = self._pools[ask.pool] = Pool(FairShare(self._config.weights))
        pool.note(ask, asyncio.get_running_loop().time())
        entry = _Open(ask)
        queue = self._open[ask.pool, ask.worker]
        queue.append(entry)
        metrics.ASKS_WAITING.inc()
        if len(queue) > ASKS_PER_WORKER_MAX:
            # A worker that came back after a crash: its old asks go to nobody.
            queue[0].is_superseded = True
        return entry

    def _leave(self, entry: _Open) -> None:
        name = (entry.ask.pool, entry.ask.worker)
        queue = self._open[name]
        queue.remove(entry)
        if not queue:
            del self._open[name]
        metrics.ASKS_WAITING.dec()

    def _wake_one(self, pool: str) -> bool:
        before = self._board.waiting
        self._board.wake_next(pool)
        return self._board.waiting < before


def _reply_bytes(item: Picked) -> int:
    """No less than what the job takes in an answer; a payload still in the object store counts as a large one."""
    job = item.job
    votes = sum(len(vote.body) + VOTE_BYTES for vote in item.votes)
    payload = limits.BODY_BYTES_DEFAULT if job.payload is None else len(job.payload)
    texts = (job.prompt or "", *job.labels, *job.labels.values())
    return RECORD_BYTES + votes + payload + sum(len(text) if text.isascii() else 4 * len(text) for text in texts)
