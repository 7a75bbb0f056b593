"""Marks jobs `finishing` as soon as their result is in the log, so that a late output gate does not cost their leases.

What always holds: only headers are read, never a result; a message of a stale attempt changes nothing and is counted;
the output gate does not depend on this: it finishes from `running` too.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import structlog
from nats.aio.msg import Msg

from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Unavailable
from holdgate.kernel.ids import JOB_ID, NAME, JobId, LeaseToken, Tenant
from holdgate.scheduler import metrics
from holdgate.scheduler.state.pull import BATCH, PullReader
from holdgate.scheduler.state.results import FinishingClaim, FinishKind, Results

log = structlog.get_logger(__name__)

MARKED_OUTCOMES = frozenset({"succeeded", "oversize"})
"""Those that the output gate must look at before the job can end; the others may be tried again instead."""
NAK_DELAY_S = 1.0
SETTLE_S = 0.15
"""Mostly the output gate has judged by then, and there is nothing left to write."""


class ResultWatch:
    """Reads the headers-only consumer `result-watch` of RESULTS."""

    def __init__(self, reader: PullReader, *, results: Results, clock: Clock) -> None:
        self._reader = reader
        self._results = results
        self._clock = clock

    async def run_once(self) -> int:
        """One batch; how many jobs were marked. Waits a little when there is none."""
        messages = await self._reader.fetch()
        if 0 < len(messages) < BATCH:
            await _settle(messages)
        by_tenant: dict[Tenant, list[FinishingClaim]] = defaultdict(list)
        for message in messages:
            entry = _claim(message)
            if entry is not None:
                by_tenant[entry[0]].append(entry[1])
        now_ms = self._clock.now_ms()
        try:
            marked = await asyncio.gather(
                *(self._results.mark_finishing(tenant, claims, now_ms) for tenant, claims in by_tenant.items())
            )
        except Unavailable as error:
            log.warning("results are not marked yet", action="result_watch_put_off", code=error.code)
            for message in messages:
                await message.nak(delay=NAK_DELAY_S)
            return 0
        for message in messages:
            await message.ack()
        kinds = [kind for part in marked for kind in part.values()]
        return sum(kind is FinishKind.FINISHED for kind in kinds)

    async def stop(self) -> None:
        """Take no more; what came goes to others at once. Idempotent."""
        await self._reader.close()


async def _settle(messages: Sequence[Msg]) -> None:
    try:
        await asyncio.sleep(SETTLE_S)
    except asyncio.CancelledError:
        for message in messages:
            await message.nak()  # for the next dispatcher, before leases end
        raise


def _claim(message: Msg) -> tuple[Tenant, FinishingClaim] | None:
    """What the headers say; None for outcomes that are not marked and for headers that no worker of ours writes."""
    headers = message.headers or {}
    if headers.get("Holdgate-Outcome") not in MARKED_OUTCOMES:
        return None
    tenant, job_id = headers.get("Holdgate-Tenant", ""), headers.get("Holdgate-Job", "")
    attempt, token = headers.get("Holdgate-Attempt", ""), headers.get("Holdgate-Token", "")
    if not (NAME.match(tenant) and JOB_ID.match(job_id) and attempt.isascii() and attempt.isdigit() and token):
        metrics.STALE.labels("result").inc()
        log.warning("a result's headers are malformed", action="result_malformed", subject=message.subject)
        return None
    return Tenant(tenant), FinishingClaim(JobId(job_id), int(attempt), LeaseToken(token))
