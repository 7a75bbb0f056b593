"""One output's way to its verdict: inspect, ask the kernel, redact or seal, say what the job becomes.

What always holds: a verdict comes from the kernel and from nowhere else; what is stored was scanned after it was
redacted; a scan that failed is no verdict; an output that cannot be scanned at all is quarantined.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from nats.aio.msg import Msg

from holdgate.kernel import limits
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import Entropy
from holdgate.kernel.output import OutputDecision
from holdgate.kernel.records import Severity
from holdgate.kernel.rules import OutputVerdict
from holdgate.scan.errors import (
    EngineFailed,
    RedactionIncomplete,
    ScanError,
    ScanIncomplete,
    Unscannable,
)
from holdgate.scan.output import FindingKind, Inspection, Output
from holdgate.scheduler.gates.output import metrics, verdicts
from holdgate.scheduler.gates.output.message import ResultMessage
from holdgate.scheduler.gates.output.scanners import OutputScanners
from holdgate.scheduler.gates.retry import delay_ms
from holdgate.scheduler.gates.sealing import Sealer
from holdgate.scheduler.state.log import PayloadStore
from holdgate.scheduler.state.results import FinishRequest, RunningFacts
from holdgate.scheduler.state.transitions import State

_SEVERITIES = [str(severity) for severity in Severity]
POISON_DELIVERIES = 5
"""A text that ended its scanner this often by itself (killed, out of time) counts as one that cannot be scanned."""


@dataclass(frozen=True, slots=True)
class Item:
    """A result message of the attempt that holds its job."""

    raw: Msg
    message: ResultMessage
    facts: RunningFacts

    @property
    def deliveries(self) -> int:
        """How often this message was delivered, this time included."""
        return int(self.raw.metadata.num_delivered or 1)


@dataclass(frozen=True, slots=True)
class Inspected:
    """An item and what its output holds."""

    item: Item
    inspection: Inspection
    kinds: tuple[FindingKind, ...]


class Judge:
    """Brings items to requests that end their attempts. Keeps nothing between calls."""

    def __init__(
        self,
        *,
        kernel: KernelClient,
        scanners: OutputScanners,
        store: PayloadStore,
        sealer: Sealer | None,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._kernel = kernel
        self._scanners = scanners
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._entropy = entropy

    async def inspect_small(self, items: Sequence[Item]) -> list[Inspected | ScanError]:
        """What each of several small outputs holds, or why there is no telling yet."""
        found = await self._scanners.inspect_small([item.message.output for item in items])
        return [_inspected(item, result) for item, result in zip(items, found, strict=True)]

    async def inspect_large(self, item: Item) -> Inspected | ScanError:
        """What one large output holds, or why there is no telling yet."""
        try:
            result: Inspection | ScanError = await self._scanners.inspect(item.message.output)
        except ScanError as error:
            result = error
        return _inspected(item, result)

    async def decide(self, inspected: Sequence[Inspected]) -> list[OutputDecision]:
        """The kernel's verdicts, in order. KernelUnavailable when there are none."""
        facts = [verdicts.output_facts(each.item.message, each.item.facts, each.kinds) for each in inspected]
        return await self._kernel.decide_outputs(facts) if facts else []

    async def request(self, inspected: Inspected, decision: OutputDecision) -> FinishRequest:
        """How the attempt ends. ScanError while a redaction fails, LogUnavailable while nothing can be stored."""
        item, verdict = inspected.item, decision.verdict
        output, reason = item.message.output, decision.reason
        if verdict is OutputVerdict.REDACT:
            try:
                keep = verdicts.kinds_to_keep(inspected.kinds, decision)
                output = await self._scanners.redact(output, keep)
            except (RedactionIncomplete, ScanIncomplete, Unscannable):
                verdict, reason = OutputVerdict.QUARANTINE, "the redaction left a finding"
        quarantined = verdict is OutputVerdict.QUARANTINE
        to_state = verdicts.next_state(item.message, item.facts, quarantined=quarantined)
        request = FinishRequest(
            job_id=item.message.job_id,
            attempt=item.message.attempt,
            token=item.message.token,
            to_state=to_state,
            verdict=self._record(inspected, decision, verdict, reason),
            code=None if to_state is State.SUCCEEDED else _code(item.message, output, quarantined=quarantined),
            retry_at_ms=self._retry_at(item) if to_state is State.QUEUED else None,
            event={
                "findings": inspected.inspection.total,
                "categories": sorted({kind[1] for kind in inspected.kinds}),
                "severity": _worst(inspected.kinds),
            },
        )
        if quarantined:
            return await self._quarantine(item, request)
        return await self._readable(request, verdicts.cut(output))

    async def _readable(self, request: FinishRequest, output: Output) -> FinishRequest:
        error = None if output.error is None else dict(output.error)
        request = replace(request, logs=output.logs, error=error)
        if output.value is not None and len(output.value) > limits.INLINE_BYTES_MAX:
            return replace(request, ref=await self._store.put(output.value))
        return replace(request, value=output.value)

    async def _quarantine(self, item: Item, request: FinishRequest) -> FinishRequest:
        error = verdicts.withheld(item.message.output).error
        request = replace(request, error=None if error is None else dict(error))
        if request.to_state is not State.QUARANTINED or self._sealer is None:
            # The texts of a failed attempt are withheld and not kept: the attempt ends as what it was, a failure.
            metrics.UNSEALED.inc()
            return replace(request, verdict={**request.verdict, "sealed": False})
        message = item.message
        content = {
            "tenant": message.tenant,
            "job_id": message.job_id,
            "attempt": message.attempt,
            "output": message.output.as_dict(),
        }
        sealed = await asyncio.to_thread(self._sealer.seal, content)
        request = replace(
            request,
            verdict={
                **request.verdict,
                "sealed": True,
                "sealed_digest": sealed.digest,
                "commitment": sealed.commitment,
            },
            event={**request.event, "sealed_digest": sealed.digest, "commitment": sealed.commitment},
        )
        if len(sealed.data) > limits.INLINE_BYTES_MAX:
            return replace(request, sealed_ref=await self._store.put(sealed.data))
        return replace(request, sealed=sealed.data)

    def _record(
        self, inspected: Inspected, decision: OutputDecision, verdict: OutputVerdict, reason: str
    ) -> dict[str, Any]:
        by_kind = {kind: str(each) for kind, each in zip(inspected.kinds, decision.findings, strict=True)}
        described = [
            {**finding, "verdict": by_kind[finding["detector"], finding["category"], finding["severity"]]}
            for finding in inspected.inspection.described
        ]
        whole = [
            {"detector": kind[0], "category": kind[1], "severity": kind[2], "path": "", "verdict": by_kind[kind]}
            for kind in inspected.kinds
            if kind in (verdicts.UNSCANNABLE, verdicts.OVERSIZE)
        ]
        return {
            "verdict": str(verdict),
            "reason": reason,
            "rules": list(decision.rules),
            "snapshot": decision.snapshot,
            "findings": [*whole, *described],
            "findings_total": inspected.inspection.total + len(whole),
            "severity": _worst(inspected.kinds),
            "decided_ms": self._clock.now_ms(),
        }

    def _retry_at(self, item: Item) -> int:
        return self._clock.now_ms() + delay_ms(item.message.attempt, self._entropy)


def _inspected(item: Item, result: Inspection | ScanError) -> Inspected | ScanError:
    if isinstance(result, EngineFailed):
        return result
    if isinstance(result, ScanIncomplete | Unscannable) or (
        isinstance(result, ScanError) and item.deliveries >= POISON_DELIVERIES
    ):
        result = Inspection(kinds=(verdicts.UNSCANNABLE,))
    if isinstance(result, ScanError):
        return result
    return Inspected(item, result, verdicts.kinds_to_decide(item.message, item.facts, result))


def _worst(kinds: Sequence[FindingKind]) -> str | None:
    """The gravest severity among `kinds`; None where there are none."""
    return max((kind[2] for kind in kinds), key=_SEVERITIES.index, default=None)


def _code(message: ResultMessage, output: Output, *, quarantined: bool) -> str:
    """Why it did not succeed: the worker's word where it may be read, else the plain outcome."""
    if quarantined:
        return "output_quarantined"
    return output.code or str(message.outcome)
