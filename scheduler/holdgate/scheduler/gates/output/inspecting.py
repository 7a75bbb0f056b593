"""From result messages to what their outputs hold, and to the kernel's verdicts on that.

What always holds: a verdict counts only for an output that was looked at with the detectors of the snapshot that the
verdict is under; a scan that failed is no verdict; an output that cannot be scanned at all is a finding of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nats.aio.msg import Msg

from holdgate.kernel import limits, tracing
from holdgate.kernel.client import KernelClient
from holdgate.kernel.detectors import DetectorSet
from holdgate.kernel.errors import HoldgateError, Unavailable
from holdgate.kernel.ids import Digest
from holdgate.kernel.output import OutputDecision
from holdgate.scan.errors import ScanError, ScanTimedOut
from holdgate.scan.output import UNSCANNABLE, Inspection
from holdgate.scheduler.gates.output import questions, verdicts
from holdgate.scheduler.gates.output.detectors import DetectorSets
from holdgate.scheduler.gates.output.message import ResultMessage
from holdgate.scheduler.gates.output.questions import Question
from holdgate.scheduler.gates.output.scanners import Detectors, OutputScanners
from holdgate.scheduler.gates.output.tries import ScanTries
from holdgate.scheduler.state.results import RunningFacts

CALL_QUESTIONS_MAX = 2_000
"""Under a policy of a thousand rules each question takes a tenth of a millisecond, and others wait for the kernel."""
DECIDE_TRIES = 3
"""While a policy changes, kernels answer under two snapshots; after this many the output waits for them to agree."""


class SnapshotUnsettled(Unavailable):
    """kernels answer under different snapshots; the output waits until they agree"""

    code = "snapshot_unsettled"


@dataclass(frozen=True, slots=True)
class Item:
    """A result message of the attempt that holds its job."""

    raw: Msg
    message: ResultMessage
    facts: RunningFacts
    received_ns: int = field(default_factory=tracing.start)


@dataclass(frozen=True, slots=True)
class Inspected:
    """An item and what its output holds: looked at with `detectors`, asked about by `questions`."""

    item: Item
    inspection: Inspection
    questions: tuple[Question, ...]
    detectors: DetectorSet

    @property
    def custom(self) -> Detectors:
        """The detectors of bundles that looked at it."""
        return _of(self.detectors, self.item)


@dataclass(frozen=True, slots=True)
class Decided:
    """What an output holds and the verdict on it."""

    inspected: Inspected
    decision: OutputDecision


class Inspecting:
    """Inspects outputs and asks the kernel about them. Keeps nothing of them between calls."""

    def __init__(self, kernel: KernelClient, scanners: OutputScanners) -> None:
        self._kernel = kernel
        self._scanners = scanners
        self._sets = DetectorSets(kernel)
        self.tries = ScanTries(scanners)

    async def small(self, items: Sequence[Item]) -> list[Inspected | HoldgateError]:
        """What each of several small outputs holds, or why there is no telling yet.

        ScanTimedOut: it takes longer than a small one may; `large` tells.
        """
        if not items:
            return []
        try:
            detectors = await self._sets.current()
        except HoldgateError as error:
            return [error] * len(items)
        custom = [_of(detectors, item) for item in items]
        found = await self._scanners.inspect_small([item.message.output for item in items], custom)
        return [
            result if isinstance(result, ScanTimedOut) else self._inspected(item, result, detectors)
            for item, result in zip(items, found, strict=True)
        ]

    async def large(self, item: Item) -> Inspected | HoldgateError:
        """What one large output holds, or why there is no telling yet."""
        try:
            return await self._inspect(item, await self._sets.current())
        except HoldgateError as error:
            return error

    async def decide(self, inspected: Sequence[Inspected]) -> list[Decided | HoldgateError]:
        """The kernel's verdicts, in order, or why there is none yet. KernelUnavailable when there are none at all."""
        answers: dict[int, Decided | HoldgateError] = {}
        left = dict(enumerate(inspected))
        for _ in range(DECIDE_TRIES):
            asked, left = left, {}
            facts = [
                questions.output_facts(each.item.message, each.item.facts, each.questions) for each in asked.values()
            ]
            decisions = await self._kernel.decide_outputs(facts) if facts else []
            for (index, each), decision in zip(asked.items(), decisions, strict=True):
                now = await self._under(each, decision.snapshot)
                if now is each:
                    answers[index] = Decided(each, decision)
                elif isinstance(now, Inspected):
                    left[index] = now
                else:
                    answers[index] = now
            if not left:
                break
        answers.update(dict.fromkeys(left, SnapshotUnsettled()))
        return [answers[index] for index in range(len(inspected))]

    async def _under(self, each: Inspected, snapshot: Digest) -> Inspected | HoldgateError:
        """The same where `snapshot` has no other detectors for it; else what is found with those."""
        if each.detectors.snapshot == snapshot:
            return each
        found = await self._sets.under(snapshot)
        same = _of(found, each.item) == each.custom and found.fingerprints == each.detectors.fingerprints
        return each if same and found.snapshot == snapshot else await self._inspect(each.item, found)

    async def _inspect(self, item: Item, detectors: DetectorSet) -> Inspected | HoldgateError:
        try:
            result: Inspection | ScanError = await self._scanners.inspect(
                item.message.output, _of(detectors, item), item.message.tenant
            )
        except ScanError as error:
            result = error
        return self._inspected(item, result, detectors)

    def _inspected(self, item: Item, result: Inspection | ScanError, detectors: DetectorSet) -> Inspected | ScanError:
        if isinstance(result, ScanError) and self.tries.is_last(result, item.message):
            result = Inspection(kinds=(UNSCANNABLE,), unscannable=(result.code,))
        if isinstance(result, ScanError):
            return result
        kinds = verdicts.kinds_to_decide(item.message, item.facts, result)
        return Inspected(item, result, questions.to_ask(result, kinds, detectors.fingerprints), detectors)


def in_calls(inspected: Sequence[Inspected]) -> Iterator[list[Inspected]]:
    """The same, as many at once as one call of the kernel may be about."""
    call: list[Inspected] = []
    asked = 0
    for each in inspected:
        if call and (len(call) >= limits.KERNEL_BATCH_MAX or asked + len(each.questions) > CALL_QUESTIONS_MAX):
            yield call
            call, asked = [], 0
        call.append(each)
        asked += len(each.questions)
    if call:
        yield call


def _of(detectors: DetectorSet, item: Item) -> Detectors:
    return detectors.of(item.message.tenant, item.facts.topic)
