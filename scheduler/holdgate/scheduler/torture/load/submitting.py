"""Submits a job of a kind, and does with it what belongs to the kind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random  # noqa: TID251  a seeded one comes in as an argument
from typing import Any

from holdgate.kernel.clock import Clock, rfc3339
from holdgate.kernel.errors import HoldgateError
from holdgate.scheduler.torture.load.kinds import After, JobKind
from holdgate.scheduler.torture.load.known import Known, KnownJob
from holdgate.scheduler.torture.load.voice import Voice

CANCEL_WITHIN_S = 2.5
LISTEN_S = 8.0


@dataclass
class Submitting:
    """Submits as one of several agents."""

    known: Known
    chance: Random
    clock: Clock

    async def submit(self, who: Voice, kind: JobKind) -> None:
        """One job of `kind`, and what comes after."""
        key = f"{kind.name}-{self.chance.getrandbits(64):016x}"
        fields = self._fields(kind, key)
        job_id = await self._send(who, kind, key, fields)
        match kind.after:
            case After.RESUBMIT:
                await self._send(who, kind, key, fields)
            case After.CONFLICT:
                await self._send(who, kind, key, {**fields, "labels": {"round": "other"}})
            case After.CANCEL if job_id is not None:
                await asyncio.sleep(self.chance.random() * CANCEL_WITHIN_S)
                await who.say("cancel", who.operations.cancel(job_id), job_id=job_id)
            case After.LISTEN if job_id is not None:
                await who.listen(job_id, LISTEN_S)
            case _:
                pass

    async def _send(self, who: Voice, kind: JobKind, key: str, fields: Mapping[str, Any]) -> str | None:
        operation = who.operations.submit(kind.topic, idempotency_key=key, **fields)
        try:
            submitted = await who.say(
                "submit", operation, key=key, job_kind=kind.name, topic=kind.topic, **_bounds(kind)
            )
        except HoldgateError:
            return None
        self.known.add(KnownJob(submitted.job_id, who.tenant, who.name, kind.name))
        return submitted.job_id

    def _fields(self, kind: JobKind, marker: str) -> dict[str, Any]:
        payload = {**kind.payload, "marker": marker}
        if kind.filler_chars:
            payload["filler"] = "x" * kind.filler_chars
        fields: dict[str, Any] = {"payload": payload, "capability": "torture.read", "labels": {"round": "one"}}
        if kind.run_in_s is not None:
            fields["run_at"] = self._in(kind.run_in_s)
        if kind.deadline_in_s is not None:
            fields["deadline"] = self._in(kind.deadline_in_s)
        if kind.max_attempts is not None:
            fields["max_attempts"] = kind.max_attempts
        if kind.concurrency_key is not None:
            fields["concurrency_key"] = kind.concurrency_key
        return fields

    def _in(self, seconds: float) -> str:
        return rfc3339(self.clock.now_ms() + int(seconds * 1000))


def _bounds(kind: JobKind) -> dict[str, Any]:
    """What a job says of itself that is checked later."""
    found = {"max_attempts": kind.max_attempts, "concurrency_key": kind.concurrency_key}
    return {name: value for name, value in found.items() if value is not None}
