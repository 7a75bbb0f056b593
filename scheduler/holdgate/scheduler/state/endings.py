"""How jobs ended, as the log keeps it: enough to bring an ended job back as it ended, and never what no gate let out.

What always holds: of a job that is in the log, every end is written down in the script that ends it, and told to the
log a moment later; so is an end that was undone. The newest is the one with the highest `seq`: that of the audit event
that says it, never the place in the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from nats.aio.client import Client as Nats

from holdgate.kernel import subjects
from holdgate.kernel.batching import BatchPublisher, Publication
from holdgate.kernel.errors import InvalidInput, Unavailable
from holdgate.kernel.ids import JOB_ID, NAME, SYSTEM, JobId, Tenant, new_token
from holdgate.kernel.wire import pack, unpack
from holdgate.scheduler.errors import LogUnavailable
from holdgate.scheduler.state.connection import Arg, Scripts, key
from holdgate.scheduler.state.encoding import known
from holdgate.scheduler.state.transitions import TERMINAL, State

CLAIM_MS = 5_000
BATCH = 256
NUMBER_MAX = 2**52
"""Of what counts and of times: above it Redis and its scripts count no more one by one."""
FIELDS_MAX = 64
BATCH_BYTES_MAX = 8 * 1024 * 1024
SEALED_FIELDS = ("ref", "verdict", "at", "attempt", "status", "resolved", "by")
"""In the order of `take_unlogged.lua`. The sealed bytes are not among them, only where they lie: what is
destroyed must not lie on in the log. Nor are votes: after a loss they are cast again."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a job: its end, or, where `state` is `queued`, that an operator undid it. Where the job still
    runs: that it started, or, with a name in `cancel_by`, that it is to be cancelled.

    `result` and `sealed`: the fields of what is stored, by name.
    """

    tenant: Tenant
    job_id: JobId
    seq: int
    state: State
    attempt: int
    attempts_max: int
    code: str
    changed_ms: int
    ended_ms: int
    result: dict[str, bytes] = field(default_factory=dict)
    sealed: dict[str, bytes] = field(default_factory=dict)
    cancel_by: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether it is an end, and not the undoing of one."""
        return self.state in TERMINAL

    @property
    def sealed_status(self) -> str:
        """What people or time did with the sealed output; "" while nothing."""
        return self.sealed.get("status", b"").decode()

    def pack(self) -> bytes:
        """Bytes for the log."""
        return pack(
            {
                "tenant": self.tenant,
                "job_id": self.job_id,
                "seq": self.seq,
                "state": str(self.state),
                "attempt": self.attempt,
                "attempts_max": self.attempts_max,
                "code": self.code,
                "changed_ms": self.changed_ms,
                "ended_ms": self.ended_ms,
                "result": self.result,
                "sealed": self.sealed,
                "cancel_by": self.cancel_by,
            }
        )

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """The ending in `data`; InvalidInput when it is none."""
        record = unpack(data)
        try:
            ending = cls(**{**known(cls, record), "state": State(record["state"])})
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("not the ending of a job") from error
        numbers = (ending.seq, ending.attempt, ending.attempts_max, ending.changed_ms, ending.ended_ms)
        if not all(type(number) is int and 0 <= number < NUMBER_MAX for number in numbers) or not isinstance(
            ending.code, str
        ):
            raise InvalidInput("not the ending of a job")
        if not isinstance(ending.cancel_by, str):
            raise InvalidInput("not the ending of a job")
        if not (_is_name(ending.tenant, NAME) and _is_name(ending.job_id, JOB_ID)):
            raise InvalidInput("not the ending of a job")
        if not (_is_fields(ending.result) and _is_fields(ending.sealed) and ending.sealed.get("status", b"").isascii()):
            raise InvalidInput("not the ending of a job")
        return ending


class MarkKind(StrEnum):
    """What else stands in the log of endings."""

    BASELINE = "baseline"
    """From here on it has the end of every job of the log that ended; those from before may lack one."""
    LOSS = "loss"
    """The state was lost, and jobs were let in anew: numbers of attempts that they had are used up."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something about the log itself. `losses`: of the state, as far as a baseline knows; marks of losses grow old."""

    kind: MarkKind
    at_ms: int
    losses: int = 0

    def pack(self) -> bytes:
        """Bytes for the log."""
        return pack({"mark": str(self.kind), "at_ms": self.at_ms, "losses": self.losses})


def read_entry(data: bytes) -> Ending | Mark:
    """What a message of the log of endings says; InvalidInput when it says nothing."""
    record = unpack(data)
    if "mark" not in record:
        return Ending.unpack(data)
    try:
        return Mark(MarkKind(record["mark"]), int(record["at_ms"]), int(record.get("losses", 0)))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput("not a mark of the log") from error


class Endings:
    """What the log is to be told of."""

    def __init__(self, scripts: Scripts, owner: str) -> None:
        self._scripts = scripts
        self._owner = owner

    async def waiting(self, tenants: Sequence[Tenant]) -> dict[Tenant, int]:
        """How many wait to be told, of each tenant that has any."""
        counts = await self._scripts.commands([("ZCARD", key(tenant, "unlogged")) for tenant in tenants])
        return {tenant: int(count) for tenant, count in zip(tenants, counts, strict=True) if count}

    async def take(self, tenant: Tenant, limit: int = BATCH) -> list[Ending]:
        """The first of them; [] also while another dispatcher does it."""
        rows = await self._scripts.run("take_unlogged", tenant, (self._owner, CLAIM_MS, limit, BATCH_BYTES_MAX))
        return [_ending(tenant, *row) for row in rows]

    async def note_logged(self, tenant: Tenant, endings: Sequence[Ending]) -> int:
        """They are in the log; how many are told of by that."""
        args: list[Arg] = [part for ending in endings for part in (ending.job_id, ending.seq)]
        return int(await self._scripts.run("note_logged", tenant, args)) if args else 0


class EndingLog:
    """Publishes endings; what is waiting leaves as one atomic batch."""

    def __init__(self, nc: Nats, *, timeout_s: float = 5.0) -> None:
        self._publisher = BatchPublisher(nc, timeout_s=timeout_s)

    async def publish(self, endings: Sequence[Ending]) -> list[Ending]:
        """Those that are on disk in JetStream when it returns. LogUnavailable when none is."""
        outcomes = await asyncio.gather(*map(self._one, endings), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Unavailable):
                raise outcome
        told = [ending for ending, outcome in zip(endings, outcomes, strict=True) if outcome is None]
        if endings and not told:
            raise LogUnavailable(str(outcomes[0]))
        return told

    async def mark(self, mark: Mark) -> None:
        """On disk in JetStream when it returns; LogUnavailable."""
        message_id = f"{mark.kind}:{mark.at_ms}:{new_token()}"
        try:
            await self._publisher.publish(Publication(subjects.ending(SYSTEM), mark.pack(), message_id))
        except Unavailable as error:
            raise LogUnavailable(str(error)) from error

    async def close(self) -> None:
        """Stop; idempotent."""
        await self._publisher.close()

    async def _one(self, ending: Ending) -> None:
        # The id keeps two dispatchers from filling the log; nothing rests on it.
        message_id = f"{ending.job_id}:{ending.attempt}:{ending.state}:{ending.seq}"
        await self._publisher.publish(Publication(subjects.ending(ending.tenant), ending.pack(), message_id))


def _ending(
    tenant: Tenant, job_id: bytes, seq: bytes, job: list[Any], result: list[bytes], sealed: list[Any]
) -> Ending:
    state, attempt, attempts_max, code, updated, ended, cancel_by = job
    return Ending(
        tenant=tenant,
        job_id=JobId(job_id.decode()),
        seq=int(float(seq)),
        state=State(state.decode()),
        attempt=int(attempt),
        attempts_max=int(attempts_max),
        code=(code or b"").decode(),
        changed_ms=int(updated),
        ended_ms=int(ended or updated),
        result={name.decode(): value for name, value in zip(result[::2], result[1::2], strict=True)},
        sealed={name: value for name, value in zip(SEALED_FIELDS, sealed, strict=False) if value is not None},
        cancel_by=(cancel_by or b"").decode(),
    )


def _is_name(value: Any, pattern: Any) -> bool:
    return isinstance(value, str) and pattern.match(value) is not None


def _is_fields(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= FIELDS_MAX
        and all(isinstance(name, str) and isinstance(part, bytes) for name, part in value.items())
    )
