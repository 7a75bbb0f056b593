"""Results: from the worker's message to what may be read. Fenced by attempt and lease token.

What always holds: nothing of a result is stored before its verdict; a stale message changes nothing; a job's result is
written once, in the script that ends the job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from holdgate.kernel.ids import JobId, LeaseToken, Tenant
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.transitions import State


@dataclass(frozen=True, slots=True)
class FinishRequest:
    """The output gate's verdict on one attempt.

    `to_state`: SUCCEEDED, QUARANTINED, FAILED, TIMED_OUT, CANCELLED, or QUEUED (retry, ready at `retry_at_ms`).
    `verdict`: the gate's record (verdict, findings, rules, snapshot; never a secret). `value` (canonical JSON), `logs`
    and `error` are what may be read, already redacted; `ref` a digest in the object store instead of `value`.
    `sealed`: SealedBox bytes of a quarantined output, `sealed_ref` where it lies in the object store.
    `event`: further details for the audit event, without secrets.
    """

    job_id: JobId
    attempt: int
    token: LeaseToken
    to_state: State
    verdict: dict[str, Any]
    value: bytes | None = None
    ref: str | None = None
    logs: tuple[str, ...] = ()
    error: dict[str, Any] | None = None
    sealed: bytes | None = None
    sealed_ref: str | None = None
    code: str | None = None
    retry_at_ms: int | None = None
    event: dict[str, Any] = field(default_factory=dict)


class FinishKind(StrEnum):
    """What became of a verdict."""

    FINISHED = "finished"
    STALE = "stale"
    """Another attempt or token holds the job, or nobody does: nothing changed; count it and ack the message."""
    ALREADY = "already"
    """This very attempt was finished before (a repeated message): nothing changed."""


@dataclass(frozen=True, slots=True)
class FinishResult:
    """Answer of `finish`. `state` is the job's state now; `pool` to wake after a retry."""

    job_id: JobId
    kind: FinishKind
    state: State | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True)
class FinishingClaim:
    """A result message is in the stream for this attempt."""

    job_id: JobId
    attempt: int
    token: LeaseToken


@dataclass(frozen=True, slots=True)
class RunningFacts:
    """What the output gate needs to know about a job before it decides."""

    job_id: JobId
    state: State
    attempt: int
    attempts_max: int
    topic: str
    labels: dict[str, str]
    pool: str
    actor: str
    snapshot: str
    cancel_requested: bool
    max_output_bytes: int | None
    worker: str | None
    permit_id: str | None


@dataclass(frozen=True, slots=True)
class QuarantineItem:
    """A sealed output; `sealed` opens only with the quarantine private key."""

    job_id: JobId
    attempt: int
    verdict: dict[str, Any]
    sealed: bytes | None
    sealed_ref: str | None
    quarantined_ms: int


class Results:
    """The results of a tenant."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def mark_finishing(
        self, tenant: Tenant, claims: Sequence[FinishingClaim], now_ms: int
    ) -> dict[JobId, FinishKind]:
        """`running` → `finishing` for those fenced right; their leases no longer expire. Idempotent."""
        raise NotImplementedError

    async def facts(self, tenant: Tenant, job_ids: Sequence[JobId]) -> list[RunningFacts | None]:
        """For the output gate, in one round trip; None for an unknown job."""
        raise NotImplementedError

    async def finish(self, tenant: Tenant, requests: Sequence[FinishRequest], now_ms: int) -> list[FinishResult]:
        """End attempts, each its own script, one flush; from `running` or `finishing`."""
        raise NotImplementedError

    async def quarantined(
        self, tenant: Tenant, limit: int, cursor: str | None = None
    ) -> tuple[list[QuarantineItem], str | None]:
        """Sealed outputs without their bytes, newest first, and the next cursor."""
        raise NotImplementedError

    async def quarantine_item(self, tenant: Tenant, job_id: JobId) -> QuarantineItem | None:
        """One sealed output with its bytes."""
        raise NotImplementedError
