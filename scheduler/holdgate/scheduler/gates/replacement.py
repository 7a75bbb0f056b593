"""What somebody wrote to be read instead of a sealed output: scanned like any output, and let through by policy alone.

What always holds: it is looked at with all that outputs of this tenant and topic are looked at with; it passes only
where the kernel says `allow` of the whole of it, so it holds nothing of the floor and nothing that would be redacted;
what could not be searched does not pass.
"""

from __future__ import annotations

from typing import Any, cast

from nats.aio.msg import Msg

from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ids import LeaseToken, Tenant
from holdgate.kernel.rules import OutputVerdict
from holdgate.scan.errors import ScanError
from holdgate.scan.output import Output
from holdgate.scheduler.errors import QuarantineNotFound, ReplacementRefused
from holdgate.scheduler.gates.output.inspecting import Decided, Inspected, Inspecting, Item
from holdgate.scheduler.gates.output.message import ResultMessage, RunOutcome
from holdgate.scheduler.gates.output.record import verdict_record
from holdgate.scheduler.state.quarantine import QuarantineItem, Replacement
from holdgate.scheduler.state.results import Results

KINDS_TOLD_MAX = 10


class ReplacementCheck:
    """Asks the scanner and the kernel about replacements."""

    def __init__(self, *, results: Results, inspecting: Inspecting, clock: Clock) -> None:
        self._results = results
        self._inspecting = inspecting
        self._clock = clock

    async def verify(self, tenant: Tenant, item: QuarantineItem, replacement: Replacement) -> dict[str, Any]:
        """The verdict on it, as a result's record has it. ReplacementRefused; Unavailable: nothing is known of it."""
        looked = await self._inspecting.large(await self._as_output(tenant, item, replacement))
        if not isinstance(looked, Inspected):
            raise _refusal(looked)
        (decided,) = await self._inspecting.decide([looked])
        if isinstance(decided, HoldgateError):
            raise _refusal(decided)
        if decided.decision.verdict is not OutputVerdict.ALLOW:
            raise ReplacementRefused(_why(decided))
        return verdict_record(decided, OutputVerdict.ALLOW, decided.decision.reason, self._clock.now_ms())

    async def _as_output(self, tenant: Tenant, item: QuarantineItem, replacement: Replacement) -> Item:
        (facts,) = await self._results.facts(tenant, [item.job_id])
        if facts is None:
            raise QuarantineNotFound
        message = ResultMessage(
            tenant=tenant,
            job_id=item.job_id,
            attempt=item.attempt,
            token=LeaseToken(""),
            worker=facts.worker or "",
            outcome=RunOutcome.SUCCEEDED,
            retryable=False,
            output=Output(replacement.value, replacement.logs, replacement.error),
            started_ms=0,
            ended_ms=0,
        )
        return Item(cast(Msg, None), message, facts)


def _refusal(error: HoldgateError) -> HoldgateError:
    """What could not be searched is not let through; whose fault that is changes nothing."""
    return ReplacementRefused(f"it could not be searched: {error}") if isinstance(error, ScanError) else error


def _why(decided: Decided) -> str:
    """Which kinds are in the way; never a value."""
    pairs = zip(decided.inspected.questions, decided.decision.findings, strict=True)
    kinds = sorted({f"{kind[0]} ({kind[1]})" for (kind, _), verdict in pairs if verdict is not OutputVerdict.ALLOW})
    if not kinds:
        return f"policy does not let it be read: {decided.decision.reason}"
    return f"it still holds what may not be read: {', '.join(kinds[:KINDS_TOLD_MAX])}; take that out, too"
