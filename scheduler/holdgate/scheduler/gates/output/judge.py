"""From a verdict to how the attempt ends: redact or seal, say what the job becomes.

What always holds: a verdict comes from the kernel and from nowhere else; what is stored was scanned after it was
redacted; what a redaction cannot clean is quarantined.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from holdgate.kernel import limits
from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import Entropy
from holdgate.kernel.rules import OutputVerdict
from holdgate.scan.errors import ScanError
from holdgate.scan.output import Output
from holdgate.scheduler.gates.files import kept_files
from holdgate.scheduler.gates.output import metrics, questions, record, verdicts
from holdgate.scheduler.gates.output.inspecting import Decided, Item
from holdgate.scheduler.gates.output.message import ResultMessage
from holdgate.scheduler.gates.output.scanners import OutputScanners
from holdgate.scheduler.gates.output.tries import ScanTries
from holdgate.scheduler.gates.retry import delay_ms
from holdgate.scheduler.gates.sealing import Sealer
from holdgate.scheduler.state.log import PayloadStore
from holdgate.scheduler.state.results import FinishRequest
from holdgate.scheduler.state.transitions import State

_REDACTION_FAILED = "the redaction left a finding"


class Judge:
    """Brings decided outputs to requests that end their attempts. Keeps nothing between calls."""

    def __init__(
        self,
        *,
        scanners: OutputScanners,
        tries: ScanTries,
        store: PayloadStore,
        sealer: Sealer | None,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._scanners = scanners
        self._tries = tries
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._entropy = entropy

    async def request(self, decided: Decided) -> FinishRequest:
        """How the attempt ends. ScanError while a redaction fails, LogUnavailable while nothing can be stored."""
        inspected, decision = decided.inspected, decided.decision
        item, verdict = inspected.item, decision.verdict
        output, reason = item.message.output, decision.reason
        if verdict is OutputVerdict.REDACT:
            try:
                keep = questions.to_keep(inspected.questions, decision)
                output = await self._scanners.redact(output, keep, inspected.custom, item.message.tenant)
            except ScanError as error:
                if not self._tries.is_last(error, item.message):
                    raise
                verdict, reason = OutputVerdict.QUARANTINE, _REDACTION_FAILED
        quarantined = verdict is OutputVerdict.QUARANTINE
        to_state = verdicts.next_state(item.message, item.facts, quarantined=quarantined)
        request = FinishRequest(
            job_id=item.message.job_id,
            attempt=item.message.attempt,
            token=item.message.token,
            to_state=to_state,
            verdict=record.verdict_record(decided, verdict, reason, self._clock.now_ms()),
            code=None if to_state is State.SUCCEEDED else _code(item.message, output, quarantined=quarantined),
            retry_at_ms=self._retry_at(item) if to_state is State.QUEUED else None,
            event=record.event_details(decided),
        )
        if quarantined:
            return await self._quarantine(item, request)
        return await self._readable(request, verdicts.cut(output))

    async def _readable(self, request: FinishRequest, output: Output) -> FinishRequest:
        error = None if output.error is None else dict(output.error)
        request = replace(request, logs=output.logs, error=error)
        if request.to_state is State.SUCCEEDED and output.artifacts:
            files = await kept_files(self._store, output.artifacts)
            request = replace(request, verdict={**request.verdict, "artifacts": files})
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
        # By reference whatever its size: what is deleted there is gone, and no log that keeps its past has the bytes.
        return replace(request, sealed_ref=await self._store.put(sealed.data))

    def _retry_at(self, item: Item) -> int:
        return self._clock.now_ms() + delay_ms(item.message.attempt - item.facts.left_out, self._entropy)


def _code(message: ResultMessage, output: Output, *, quarantined: bool) -> str:
    """Why it did not succeed: the worker's word where it may be read, else the plain outcome."""
    if quarantined:
        return "output_quarantined"
    return output.code or str(message.outcome)
