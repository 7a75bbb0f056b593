"""The output gate: reads result messages, brings each to one verdict, and only then lets go of the message.

What always holds: nothing of a result leaves this process before its verdict is stored; a message is acknowledged after
that, so a crash means that it is judged again, and the fence in the state makes one verdict of two; whatever fails, the
result stays sealed in the stream, the message comes again, and a metric says why.
"""

from __future__ import annotations

import asyncio
import os
import traceback
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from holdgate.kernel import limits, subjects, wire
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import HoldgateError, InvalidInput, RecordNewer, Unavailable
from holdgate.kernel.ids import Entropy, Tenant
from holdgate.kernel.tasks import TaskSet
from holdgate.scan.errors import ScanError, ScanTimedOut
from holdgate.scheduler import metrics as shared
from holdgate.scheduler.errors import LogUnavailable, StateUnavailable, WrongState
from holdgate.scheduler.gates.output import metrics, record
from holdgate.scheduler.gates.output.held import HeldResults
from holdgate.scheduler.gates.output.inspecting import Decided, Inspected, Inspecting, Item, SnapshotUnsettled, in_calls
from holdgate.scheduler.gates.output.judge import Judge
from holdgate.scheduler.gates.output.lost import JUDGED, Pair, adopt, is_tried, may_be_lost
from holdgate.scheduler.gates.output.message import ResultMessage, malformed_result, parse_result
from holdgate.scheduler.gates.output.scanners import OutputScanners, ScanSettings
from holdgate.scheduler.gates.sealing import Sealer
from holdgate.scheduler.gates.turns import FairTurns
from holdgate.scheduler.state.log import PayloadStore
from holdgate.scheduler.state.pull import PullReader
from holdgate.scheduler.state.results import (
    FinishingClaim,
    FinishKind,
    FinishRequest,
    FinishResult,
    Results,
    RunningFacts,
)
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)

_OPEN = frozenset({State.RUNNING, State.FINISHING})
MAKE_WAIT_S_MAX = 8.0
"""In which a gate judges much of what a tenant may have here."""


@dataclass(frozen=True, slots=True)
class OutputGateConfig:
    """How the gate works.

    `batches`: judged at once, one while another waits for Redis and the kernel. `large_max`: large outputs under way at
    once, a half of them of one tenant; `large_bytes_max`: held at once, under way or waiting for it, before no more is
    read. `fetch_bytes_max`: of a request for results. `put_off_s`: first delay before another try, at most
    `put_off_s_max`; at most `away_s_max` where a part was away, for that may be over at any moment.
    `stop_s`: how long what is here may take to be judged at a stop.
    """

    scan: ScanSettings = field(default_factory=ScanSettings)
    batch: int = 256
    wait_s: float = 2.0
    batches: int = 2
    large_max: int = 8
    large_bytes_max: int = 2 * limits.ENVELOPE_BYTES_MAX
    fetch_bytes_max: int = 2 * limits.ENVELOPE_BYTES_MAX
    put_off_s: float = 0.5
    put_off_s_max: float = 30.0
    away_s_max: float = 3.0
    pause_s: float = 1.0
    stop_s: float = 2.0


class OutputGateService:
    """One per process; any number may run at once.

    `quarantine_key`: X25519 public key of the signed root, or None: quarantined output is then dropped.
    """

    def __init__(
        self,
        *,
        nc: Nats,
        results: Results,
        kernel: KernelClient,
        store: PayloadStore,
        quarantine_key: bytes | None,
        config: OutputGateConfig,
        clock: Clock,
        entropy: Entropy = os.urandom,
    ) -> None:
        self.config = config
        self.scanners = OutputScanners(config.scan)
        self._nc = nc
        self._results = results
        self._clock = clock
        self._reader = PullReader(
            nc,
            subjects.STREAM_RESULTS,
            subjects.CONSUMER_OUTPUT_GATE,
            batch=self.config.batch,
            wait_s=self.config.wait_s,
            bytes_max=self.config.fetch_bytes_max,
        )
        self._held = HeldResults(self._reader, bytes_max=self.config.large_bytes_max)
        self._inspecting = Inspecting(kernel, self.scanners)
        self._judge = Judge(
            scanners=self.scanners,
            tries=self._inspecting.tries,
            store=store,
            sealer=None if quarantine_key is None else Sealer(quarantine_key),
            clock=clock,
            entropy=entropy,
        )
        self._reading = TaskSet(self._on_failure)
        self._judging = TaskSet(self._on_failure)
        self._keeping = TaskSet(self._on_failure)
        self._batches = asyncio.Semaphore(config.batches)
        self._large = FairTurns(config.large_max, each=config.large_max // 2)
        self._running = False

    async def start(self) -> None:
        """Begin to read results. EngineFailed, and nothing is read, where nothing can be scanned here."""
        if not self._running:
            await asyncio.to_thread(self.scanners.check)
            self._running = True
            metrics.UP.inc()
            self._reading.start(self._run(), "output-gate")
            self._keeping.start(self._held.keep(), "keep-large-outputs")

    async def stop(self) -> None:
        """Read no more, judge what is here; what is not judged in time goes to another gate at once. Idempotent."""
        if self._running:
            self._running = False
            metrics.UP.dec()
        await self._reader.close()
        await self._reading.close()
        await self._judging.wait(self.config.stop_s)
        left = self._held.raws()
        await self._judging.close()
        await self._keeping.close()
        await self._give_back(left)
        await self.scanners.close()

    async def _give_back(self, raws: Sequence[Msg]) -> None:
        try:
            for raw in raws:
                if not raw.is_acked:
                    await raw.nak()
        except nats.errors.Error as error:  # they come again, only later
            log.warning("results are not given back", action="result_not_kept", error=type(error).__name__)

    async def run_once(self) -> int:
        """Judge one batch, large outputs included; how many messages it had. LogUnavailable when none can be read."""
        messages = await self._reader.fetch()
        waiting = await self._take(messages)
        await asyncio.gather(*waiting)
        return len(messages)

    async def _run(self) -> None:
        while True:
            await self._held.room()
            await self._batches.acquire()
            try:
                messages = await self._reader.fetch()
            except Exception as error:  # noqa: BLE001  whatever it is, a gate that no longer reads seals every result
                self._batches.release()
                reason = error.code if isinstance(error, HoldgateError) else "internal_error"
                log.warning("results cannot be read", action="output_gate_paused", code=reason, error=repr(error)[:200])
                await asyncio.sleep(self.config.pause_s)
            except BaseException:
                self._batches.release()
                raise
            else:
                self._judging.start(self._take_batch(messages), "batch")

    async def _take_batch(self, messages: Sequence[Msg]) -> None:
        try:
            works = await self._take(messages)
        finally:
            self._batches.release()
        for work in works:
            self._judging.start(work, "large-output")

    async def _take(self, messages: Sequence[Msg]) -> list[Coroutine[Any, Any, None]]:
        """Judge the small ones; returns the work that judges the large ones, each for itself."""
        if not messages:
            return []
        with metrics.BATCH_SECONDS.time():
            items = await self._current(messages)
            large = [item for item in items if not self.scanners.is_small(item.message.output)]
            large += await self._settle([item for item in items if self.scanners.is_small(item.message.output)])
        held = [item for item in large if self._held.add(item.raw, item.message.tenant)]
        await self._make_wait([item.raw for item in large if item not in held])
        return [self._settle_large(item) for item in held]

    async def _make_wait(self, raws: Sequence[Msg]) -> None:
        """They come again in a while: their tenant has enough of them here."""
        for raw in raws:
            await raw.nak(delay=min(MAKE_WAIT_S_MAX, self._delay_s(raw)))

    async def _current(self, messages: Sequence[Msg]) -> list[Item]:
        """The messages of attempts that hold their jobs; the others are let go of, or put off."""
        by_tenant: dict[Tenant, list[Pair]] = defaultdict(list)
        for raw in messages:
            try:
                message = _parsed(raw)
            except RecordNewer as error:
                await self._leave_to_newer(raw, error)
                continue
            if message is None:
                await raw.term()
            else:
                by_tenant[message.tenant].append((raw, message))
        return [item for tenant, pairs in by_tenant.items() for item in await self._holding(tenant, pairs)]

    async def _leave_to_newer(self, raw: Msg, error: RecordNewer) -> None:
        """A gate of the release that wrote it will read it; until then it stays sealed. A stale one is let go of."""
        message = malformed_result(raw.subject, raw.headers)
        if message is None:
            await raw.term()
            return
        for item in await self._holding(message.tenant, [(raw, message)]):
            await self._put_off([item.raw], error, [item])

    async def _holding(self, tenant: Tenant, pairs: Sequence[Pair]) -> list[Item]:
        current: list[Item] = []
        lost: list[Pair] = []
        for (raw, message), facts in await self._known(tenant, pairs):
            if facts is not None and facts.state in _OPEN and facts.holds(message.attempt, message.token):
                current.append(Item(raw, message, facts))
            elif may_be_lost(message, facts):
                lost.append((raw, message))
            else:
                await _let_go_stale(raw)
        return current + (await self._adopted(tenant, lost) if lost else [])

    async def _adopted(self, tenant: Tenant, pairs: Sequence[Pair]) -> list[Item]:
        """Of those that the state has no place for: what is judged after all. The others wait, or belong to nothing."""
        try:
            adopted = await adopt(self._results, self._clock, tenant, pairs)
            is_whole = await self._results.is_whole()
        except HoldgateError as error:
            await self._put_off([raw for raw, _ in pairs], error)
            return []
        waiting = [raw for raw, message in pairs if message.job_id not in adopted and not (is_whole and is_tried(raw))]
        if waiting:
            await self._put_off(waiting, StateUnavailable("the state store does not know of these attempts"))
        for raw, message in pairs:
            if message.job_id not in adopted and raw not in waiting:
                await _let_go_stale(raw)
        # An adopted one is fenced by what it said itself: it holds the job now.
        return await self._holding(tenant, [pair for pair in pairs if pair[1].job_id in adopted])

    async def _known(self, tenant: Tenant, pairs: Sequence[Pair]) -> list[tuple[Pair, RunningFacts | None]]:
        """What the state knows of each job; messages of which that cannot be said are put off, and no others."""
        try:
            facts = await self._results.facts(tenant, [message.job_id for _, message in pairs])
        except HoldgateError as error:
            if len(pairs) == 1 or isinstance(error, Unavailable):
                await self._put_off([raw for raw, _ in pairs], error)
                return []
            return [known for pair in pairs for known in await self._known(tenant, [pair])]
        return list(zip(pairs, facts, strict=True))

    async def _settle_large(self, item: Item) -> None:
        with self._held.released(item.raw):
            async with self._large.turn(item.message.tenant):
                # It may have waited for long: cancelled, or ended by another gate, there is nothing left to scan.
                for now in await self._holding(item.message.tenant, [(item.raw, item.message)]):
                    inspected = await self._inspecting.large(now)
                    if isinstance(inspected, HoldgateError):
                        await self._put_off([now.raw], inspected, [now])
                    else:
                        await self._end_or_put_off([inspected])

    async def _settle(self, items: Sequence[Item]) -> list[Item]:
        """Judge small ones; gives those that turned out to take as long as large ones."""
        slow: list[Item] = []
        ready: list[Inspected] = []
        failed: dict[type[HoldgateError], list[tuple[Item, HoldgateError]]] = defaultdict(list)
        for item, result in zip(items, await self._inspecting.small(items), strict=True):
            if isinstance(result, ScanTimedOut):
                slow.append(item)
            elif isinstance(result, HoldgateError):
                failed[type(result)].append((item, result))
            else:
                ready.append(result)
        for pairs in failed.values():
            await self._put_off([item.raw for item, _ in pairs], pairs[0][1], [item for item, _ in pairs])
        for call in in_calls(ready):
            await self._end_or_put_off(call)
        return slow

    async def _end_or_put_off(self, inspected: Sequence[Inspected]) -> None:
        """Verdicts stored, or every message put off. One that breaks the batch is found by going one by one."""
        if not inspected:
            return
        items = [each.item for each in inspected]
        try:
            await self._end(inspected)
        except HoldgateError as error:
            if len(inspected) == 1 or isinstance(error, Unavailable):
                await self._put_off([item.raw for item in items], error, items)
                return
            for each in inspected:
                await self._end_or_put_off([each])
        except Exception as error:  # a fault of ours must neither release an output nor stop the gate
            log.exception("an output was not judged", action="output_gate_fault")
            if len(inspected) == 1:
                await self._put_off([items[0].raw], error, items)
                return
            for each in inspected:
                await self._end_or_put_off([each])

    async def _end(self, inspected: Sequence[Inspected]) -> None:
        by_tenant: dict[Tenant, list[tuple[Decided, FinishRequest]]] = defaultdict(list)
        for each, found in zip(inspected, await self._inspecting.decide(inspected), strict=True):
            try:
                if isinstance(found, HoldgateError):
                    raise found
                request = await self._judge.request(found)
            except (ScanError, SnapshotUnsettled, LogUnavailable) as error:
                await self._put_off([each.item.raw], error, [each.item])
            else:
                by_tenant[each.item.message.tenant].append((found, request))
        for tenant, pairs in by_tenant.items():
            requests = [request for _, request in pairs]
            answers = await self._results.finish(tenant, requests, self._clock.now_ms())
            for (decided, request), answer in zip(pairs, answers, strict=True):
                await self._ended(tenant, decided, request, answer)

    async def _ended(self, tenant: Tenant, decided: Decided, request: FinishRequest, answer: FinishResult) -> None:
        item = decided.inspected.item
        if answer.kind is FinishKind.STALE:
            await _let_go_stale(item.raw)
            return
        if answer.kind is FinishKind.NOT_ALLOWED:
            # It became `finishing` while it was judged: what comes of it is another question now.
            await self._put_off([item.raw], WrongState(), [item])
            return
        if answer.kind is FinishKind.FINISHED:
            record.count(decided, str(request.verdict["verdict"]))
            record.trace(decided, str(request.verdict["verdict"]), answer.state)
            if answer.state is not None:
                shared.JOBS.labels(str(answer.state)).inc()
            await self._hint(tenant, answer)
        await item.raw.ack()

    async def _hint(self, tenant: Tenant, answer: FinishResult) -> None:
        """Wake who waits for this job or for a job of its pool; a lost hint costs them a moment."""
        try:
            if answer.pool:
                await self._nc.publish(subjects.wake(answer.pool), tenant.encode())
            body = wire.pack({"job_id": answer.job_id, "state": str(answer.state)})
            await self._nc.publish(subjects.event(tenant), body)
        except nats.errors.Error as error:
            log.warning("a hint was not sent", action="hint_lost", error=type(error).__name__)

    async def _put_off(self, raws: Sequence[Msg], error: Exception, items: Sequence[Item] = ()) -> None:
        """No verdict: the outputs stay sealed in the stream, their jobs show `finishing`, the messages come again."""
        reason = error.code if isinstance(error, HoldgateError) else "internal_error"
        metrics.FAILURES.labels(reason if reason in metrics.FAILURE_REASONS else "internal_error").inc(len(raws))
        log.warning("outputs stay sealed", action="output_sealed", reason=reason, outputs=len(raws))
        await self._show_finishing(items, reason)
        most_s = self.config.away_s_max if isinstance(error, Unavailable) else self.config.put_off_s_max
        for raw in raws:
            await raw.nak(delay=min(most_s, self._delay_s(raw)))

    def _delay_s(self, raw: Msg) -> float:
        tries = min(int(raw.metadata.num_delivered or 1), 16)
        return float(self.config.put_off_s * 2 ** (tries - 1))

    async def _show_finishing(self, items: Sequence[Item], reason: str) -> None:
        claims: dict[Tenant, list[FinishingClaim]] = defaultdict(list)
        for item in items:
            message = item.message
            if message.outcome in JUDGED:
                claims[message.tenant].append(FinishingClaim(message.job_id, message.attempt, message.token))
        for tenant, of_tenant in claims.items():
            try:
                now_ms = self._clock.now_ms()
                await self._results.mark_finishing(tenant, of_tenant, now_ms)
                await self._results.note_sealed(tenant, of_tenant, reason, now_ms)
            except HoldgateError as error:
                log.warning("jobs are not shown as finishing", action="finishing_unmarked", code=error.code)

    def _on_failure(self, name: str, error: BaseException) -> None:
        metrics.FAILURES.labels("internal_error").inc()
        # Where, and no text of the error: it may hold what was in an output.
        stack = traceback.extract_tb(error.__traceback__)
        frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in stack]
        log.error(
            "a task of the output gate failed",
            action="output_gate_fault",
            task=name,
            error=type(error).__name__,
            frames=frames[-12:],
        )


def _parsed(raw: Msg) -> ResultMessage | None:
    """What the message says; for one that cannot be read, that its attempt failed, or None where it names none.

    RecordNewer for one of a newer release: that attempt did not fail.
    """
    try:
        return parse_result(raw.subject, raw.data, raw.headers)
    except RecordNewer:
        raise
    except InvalidInput as error:
        metrics.MALFORMED.inc()
        message = malformed_result(raw.subject, raw.headers)
        log.warning(
            "a result cannot be read",
            action="result_malformed",
            subject=raw.subject,
            error=str(error),
            job_id=None if message is None else message.job_id,
        )
        return message


async def _let_go_stale(raw: Msg) -> None:
    shared.STALE.labels("result").inc()
    await raw.ack()
