"""Results: from the worker's message to what may be read. Fenced by attempt and lease token.

What always holds: nothing of a result is stored before its verdict; a stale message changes nothing; a job's result is
written once, in the script that ends the job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from holdgate.kernel.ids import JobId, LeaseToken, Tenant
from holdgate.kernel.wire import pack
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import WHOLE, Arg, Scripts, key
from holdgate.scheduler.state.transitions import State

RESULT_LOST = "result_lost"
"""Code of a job whose result was in the log, but never came to a verdict."""


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
    NOT_ALLOWED = "not_allowed"
    """The attempt holds the job, but the table has no way from its state to the one asked for: nothing changed."""


@dataclass(frozen=True, slots=True)
class FinishResult:
    """Answer of `finish`. `state` is the job's state now; `pool` to wake, after a retry or a freed concurrency key."""

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
class LostClaim:
    """A result message is in the stream for an attempt that the state does not know. `pool`: whose worker sent it."""

    job_id: JobId
    attempt: int
    token: LeaseToken
    pool: str


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
    secrets_present: bool = False
    pii_present: bool = False
    token: str | None = field(default=None, repr=False)
    """Of the lease that holds it."""
    left_out: int = 0
    """Numbers of attempts that were left out after losses of the state."""

    def holds(self, attempt: int, token: LeaseToken) -> bool:
        """Whether this attempt holds the job under this token. Nobody need look at what another one sends."""
        return (self.attempt, self.token) == (attempt, token)


class Results:
    """The results of a tenant."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def mark_finishing(
        self, tenant: Tenant, claims: Sequence[FinishingClaim], now_ms: int
    ) -> dict[JobId, FinishKind]:
        """`running` → `finishing` for those fenced right; their leases no longer expire. Idempotent."""
        if not claims:
            return {}
        args: list[Arg] = [now_ms, b""]
        for claim in claims:
            args += [claim.job_id, claim.attempt, claim.token]
        answers = await self._scripts.run("mark_finishing", tenant, args)
        return {claim.job_id: FinishKind(answer.decode()) for claim, answer in zip(claims, answers, strict=True)}

    async def adopt(self, tenant: Tenant, claims: Sequence[LostClaim], now_ms: int) -> set[JobId]:
        """Jobs that came back after a loss and did not start since → `finishing`, by that attempt. Gives those."""
        if not claims:
            return set()
        args = [part for claim in claims for part in (claim.job_id, claim.attempt, claim.token, claim.pool)]
        details = encoding.pack_details({"restored": True})
        answers = await self._scripts.run("adopt_result", tenant, (now_ms, details, *args))
        return {claim.job_id for claim, answer in zip(claims, answers, strict=True) if answer}

    async def is_whole(self) -> bool:
        """Whether the state has everything that was told, as far as dispatchers know."""
        return await self._scripts.command("GET", WHOLE) is not None

    async def finishing(self, tenant: Tenant, job_ids: Sequence[JobId]) -> list[FinishingClaim]:
        """By which attempts those of them are `finishing` that are."""
        wanted = ("state", "attempt", "token")
        found = await self._scripts.commands([("HMGET", key(tenant, "job", job_id), *wanted) for job_id in job_ids])
        return [
            FinishingClaim(job_id, int(attempt), LeaseToken(token.decode()))
            for job_id, (state, attempt, token) in zip(job_ids, found, strict=True)
            if state == State.FINISHING.encode() and token
        ]

    async def lose(self, tenant: Tenant, claims: Sequence[FinishingClaim], now_ms: int) -> list[JobId]:
        """`finishing` by those attempts → `failed` with code RESULT_LOST. Gives those that were."""
        if not claims:
            return []
        details = encoding.pack_details({"code": RESULT_LOST})
        args = [part for claim in claims for part in (claim.job_id, claim.attempt, claim.token)]
        found = await self._scripts.run("lose_result", tenant, (now_ms, RESULT_LOST, details, *args))
        return [JobId(job_id.decode()) for job_id in found]

    async def note_sealed(self, tenant: Tenant, claims: Sequence[FinishingClaim], reason: str, now_ms: int) -> None:
        """Jobs in `finishing` show, and the audit log says, why there is no verdict yet; the verdict takes it away."""
        if claims:
            args = [part for claim in claims for part in (claim.job_id, claim.attempt, claim.token)]
            details = encoding.pack_details({"reason": reason})
            await self._scripts.run("note_sealed", tenant, (now_ms, reason, details, *args))

    async def facts(self, tenant: Tenant, job_ids: Sequence[JobId]) -> list[RunningFacts | None]:
        """For the output gate, in one round trip; None for an unknown job."""
        return [_facts(fields) for fields in await self._scripts.run("facts", tenant, job_ids)] if job_ids else []

    async def finish(self, tenant: Tenant, requests: Sequence[FinishRequest], now_ms: int) -> list[FinishResult]:
        """End attempts, each its own script, one flush; from `running` or `finishing`."""
        replies = await asyncio.gather(
            *(self._scripts.run("finish", tenant, _finish_args(request, now_ms)) for request in requests)
        )
        return [_finish_result(request.job_id, reply) for request, reply in zip(requests, replies, strict=True)]


def _finish_args(request: FinishRequest, now_ms: int) -> list[Arg]:
    """Arguments of `finish.lua`, in its order."""
    verdict = {name: request.verdict[name] for name in ("verdict", "rules", "snapshot") if name in request.verdict}
    details = {"attempt": request.attempt, "code": request.code, "output": verdict or None, **request.event}
    args: list[Arg] = [
        request.job_id,
        request.attempt,
        request.token,
        now_ms,
        request.to_state,
        request.code or "",
        now_ms if request.retry_at_ms is None else request.retry_at_ms,
        encoding.pack_details(details),
        request.sealed or b"",
        request.sealed_ref or "",
        pack(request.verdict),
        request.verdict.get("verdict", ""),
    ]
    if request.to_state is State.QUEUED:
        return args
    record = {
        "attempt": request.attempt,
        "verdict": request.verdict,
        "ref": request.ref,
        "logs": list(request.logs),
        "error": request.error,
        "finished_ms": now_ms,
    }
    args += ["record", pack(record)]
    if request.value is not None:
        args += ["value", request.value]
    return args


def _finish_result(job_id: JobId, reply: list[bytes]) -> FinishResult:
    kind, state, *pool = (part.decode() for part in reply)
    return FinishResult(job_id, FinishKind(kind), State(state) if state else None, (pool[0] or None) if pool else None)


def _facts(fields: list[Any]) -> RunningFacts | None:
    """One answer of `facts.lua`."""
    record, state, attempt, attempts_max, snapshot, cancel, worker, permit, decision, token, left_out = fields
    if state is None:
        return None
    job = encoding.unpack_job(record)
    constraints = encoding.unpack_decision(decision).constraints
    return RunningFacts(
        job_id=job.job_id,
        state=State(state.decode()),
        attempt=int(attempt),
        attempts_max=int(attempts_max),
        topic=job.topic,
        labels=dict(job.labels),
        pool=job.pool,
        actor=job.actor,
        snapshot=snapshot.decode(),
        cancel_requested=cancel is not None,
        max_output_bytes=constraints.max_output_bytes,
        worker=worker.decode() if worker else None,
        permit_id=permit.decode() if permit else None,
        secrets_present=job.secrets_present,
        pii_present=job.pii_present,
        token=token.decode() if token else None,
        left_out=int(left_out or 0),
    )
