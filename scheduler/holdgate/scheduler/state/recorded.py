"""Decisions on record, read back to be decided again: those by which the jobs of a tenant entered, newest first.

What always holds: at most a few batches are in memory; what was not kept of a job is named as missing and never taken
for absent; payloads are read only for who asks for them. A job that changes its state while it is being read may be
left out, never read twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from holdgate.bundles.comparison import NO_TERMS, Terms
from holdgate.bundles.replay import Recorded
from holdgate.kernel.calls import NO_POLICY
from holdgate.kernel.errors import KernelUnavailable
from holdgate.kernel.ids import JobId, Tenant
from holdgate.kernel.records import Decision, Verdict
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import Arg, Scripts
from holdgate.scheduler.state.jobs import Jobs

PAGE = 1000
"""Ids asked for at once."""
BATCH = 100
"""Records read by one script: a fraction of a millisecond of the store's time."""
AHEAD = 3
"""Batches under way: the one that is awaited, and those that the store makes ready meanwhile."""
REPLY_BYTES_MAX = 4 * 1024 * 1024
LAST_MAX = 1_000_000
_NOBODY_DECIDED = frozenset({NO_POLICY, KernelUnavailable.code})
_PAYLOAD = frozenset({"payload"})
_REFUSED = frozenset({"payload", "prompt"})
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records: the newest `last`, of these those since `since_ms`; with payloads where those are looked at."""

    last: int = LAST_MAX
    since_ms: int | None = None
    payloads: bool = True


@dataclass(slots=True)
class Batch:
    """Some records as they lie in the store; read as they are taken, since reading them costs as much as deciding."""

    found: list[list[Any]]
    wanted: Wanted
    unreadable: int = 0
    """How many of those taken so far cannot be read."""
    is_over: bool = False
    """One was taken from before the time asked for: there is no more."""

    def records(self) -> Iterator[Recorded]:
        """Each record once."""
        since_ms = self.wanted.since_ms or 0
        for fields in self.found:
            if fields[0] is None:
                continue  # forgotten since its id was read
            try:
                record = _recorded(fields, with_payload=self.wanted.payloads)
            except StateBroken:
                self.unreadable += 1
                continue
            if record.job.created_ms < since_ms:
                self.is_over = True
                return
            yield record


class RecordedDecisions:
    """Reads what the scripts keep."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._jobs = Jobs(scripts)

    async def read(self, tenant: Tenant, wanted: Wanted) -> AsyncGenerator[Batch, None]:
        """Batches of at most `BATCH` records, newest first. StateUnavailable when the store did not answer.

        While a batch is looked at, the store makes the next ones ready.
        """
        ahead: deque[asyncio.Future[tuple[list[list[Any]]]]] = deque()
        try:
            async for job_ids in self._ids(tenant, wanted.last):
                ahead.append(asyncio.gather(self._fetch(tenant, job_ids, with_payload=wanted.payloads)))
                if len(ahead) < AHEAD:
                    continue
                batch = Batch((await ahead.popleft())[0], wanted)
                yield batch
                if batch.is_over:
                    return
            while ahead:
                batch = Batch((await ahead.popleft())[0], wanted)
                yield batch
                if batch.is_over:
                    return
        finally:
            for fetching in ahead:
                fetching.cancel()

    async def _ids(self, tenant: Tenant, last: int) -> AsyncIterator[list[JobId]]:
        left, cursor = last, None
        while left > 0:
            job_ids = await self._jobs.ids(tenant, None, min(PAGE, left), cursor)
            if not job_ids:
                return
            left -= len(job_ids)
            cursor = job_ids[-1]
            for start in range(0, len(job_ids), BATCH):
                yield job_ids[start : start + BATCH]

    async def _fetch(self, tenant: Tenant, job_ids: list[JobId], *, with_payload: bool) -> list[list[Any]]:
        found: list[list[Any]] = []
        while len(found) < len(job_ids):
            args: list[Arg] = [int(with_payload), REPLY_BYTES_MAX, *job_ids[len(found) :]]
            found += await self._scripts.run("recorded", tenant, args)
        return found


def _recorded(fields: list[Any], *, with_payload: bool) -> Recorded:
    """Of the reply of `recorded.lua` for one job."""
    packed, decided, open_, _state, payload, refused = fields
    job = encoding.unpack_job(packed, payload)
    decision = encoding.unpack_stored(decided)
    try:
        verdict = Verdict(decision["verdict"])
        errors, rules, at_ms = decision["errors"], tuple(decision["deciding"]), decision["decided_ms"]
        terms = _terms(decision, verdict)
    except (KeyError, TypeError, ValueError) as error:
        raise StateBroken("a stored decision cannot be read") from error
    by_kernel = open_ != b"1" and (not errors or _NOBODY_DECIDED.isdisjoint(errors))
    # A refused job was kept without both; one that was let in has no payload here where that was too large for it.
    missing = _REFUSED if refused else _PAYLOAD if with_payload and payload is None else _NOTHING
    return Recorded(job, verdict if by_kernel else None, rules, at_ms, missing, terms)


def _terms(decision: dict[str, Any], verdict: Verdict) -> Terms:
    plain = not (decision["constraints"] or decision["throttles"] or decision["within"])
    if verdict is Verdict.DENY or (plain and verdict is not Verdict.REQUIRE_APPROVAL):
        return NO_TERMS
    return Terms.of(Decision.from_dict(decision))
