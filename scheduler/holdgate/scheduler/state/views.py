"""What is shown of a job: made from the fields that the scripts keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack

from holdgate.kernel.ids import JobId
from holdgate.kernel.links import Signed
from holdgate.kernel.records import Decision, Job
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.transitions import State

VIEW_FIELDS = (
    "job",
    "state",
    "decision",
    "latest",
    "hash",
    "attempt",
    "max",
    "created",
    "updated",
    "open",
    "reason",
    "code",
    "cancel",
    "worker",
    "permit",
    "progress",
    "ready",
    "started",
    "ended",
    "admission",
    "glass",
    "skip",
    "idem",
)


@dataclass(frozen=True, slots=True)
class JobView:
    """All the API shows of a job. `job.payload` is None here; see `Jobs.payload`. Times are milliseconds."""

    job: Job
    state: State
    decision: Decision
    job_hash: str
    attempt: int
    created_ms: int
    updated_ms: int
    fail_open: bool = False
    logged: bool = True
    waiting_reason: str | None = None
    code: str | None = None
    reason: str | None = None
    cancel_requested_by: str | None = None
    worker: str | None = None
    permit_id: str | None = None
    progress: float | None = None
    ready_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    admission: Signed | None = None
    attempts_max: int = 1
    broke_glass: bool = False
    """Released by two people past the quorum of its rules."""
    next_attempt: int = 1
    """The number that its next start has; after a loss of the state some are left out."""
    idempotency: encoding.Idempotency | None = None


@dataclass(frozen=True, slots=True)
class ResultView:
    """What the output gate let through, or why nothing was.

    `value` is canonical JSON or None; `ref` a digest in the object store where the value is too large to be inline.
    `verdict` is the output gate's record (verdict, findings, rules, snapshot).
    """

    job_id: JobId
    state: State
    attempt: int
    verdict: dict[str, Any]
    value: bytes | None
    ref: str | None
    logs: tuple[str, ...]
    error: dict[str, Any] | None
    finished_ms: int

    @property
    def artifacts(self) -> tuple[dict[str, Any], ...]:
        """Files that may be read: `name`, `media_type`, `bytes`, `digest` in the object store."""
        return tuple(self.verdict.get("artifacts", ()))


def job_view(fields: list[Any], outbox: bytes | None) -> JobView | None:
    """Of the values of VIEW_FIELDS and the score in the outbox; None when there is no such job."""
    record = dict(zip(VIEW_FIELDS, fields, strict=True))
    if record["state"] is None:
        return None
    job = encoding.unpack_job(record["job"])
    waiting = State(record["state"].decode()) in (State.QUEUED, State.FINISHING)
    return JobView(
        job=job,
        state=State(record["state"].decode()),
        decision=encoding.unpack_decision(record["latest"] or record["decision"]),
        job_hash=record["hash"].decode(),
        attempt=int(record["attempt"]),
        attempts_max=int(record["max"]),
        created_ms=int(record["created"]),
        updated_ms=int(record["updated"]),
        fail_open=record["open"] == b"1",
        logged=outbox is None,
        waiting_reason=_text(record["reason"]) if waiting else None,
        code=_text(record["code"]),
        reason=_text(record["reason"]),
        cancel_requested_by=_text(record["cancel"]),
        worker=_text(record["worker"]),
        permit_id=_text(record["permit"]),
        progress=float(record["progress"]) if record["progress"] else None,
        ready_ms=_number(record["ready"]),
        started_ms=_number(record["started"]),
        ended_ms=_number(record["ended"]),
        admission=encoding.unpack_signed(record["admission"]) if record["admission"] else None,
        broke_glass=record["glass"] == b"1",
        next_attempt=int(record["attempt"]) + int(record["skip"] or 0) + 1,
        idempotency=encoding.unpack_idempotency(record["idem"]),
    )


def _text(value: bytes | None) -> str | None:
    return value.decode() if value else None


def _number(value: bytes | None) -> int | None:
    return int(value) if value else None


def timeline_event(data: bytes) -> dict[str, Any]:
    """One entry of a job's timeline."""
    seq, time_ms, kind, before, after, details = msgpack.unpackb(data, raw=True)
    return {
        "seq": int(seq),
        "time_ms": int(time_ms),
        "type": kind.decode(),
        "from": before.decode() or None,
        "to": after.decode() or None,
        **encoding.unpack_details(details),
    }


def verdict_of(record: bytes) -> dict[str, Any]:
    """Of the field `record` of a stored result; StateBroken when it is none."""
    verdict = encoding.unpack_stored(record).get("verdict")
    if not isinstance(verdict, dict):
        raise StateBroken("a stored result cannot be read")
    return verdict


def result_view(job_id: JobId, state: State, record: dict[bytes, bytes]) -> ResultView:
    """Of the fields of a stored result; StateBroken when they are none."""
    kept = encoding.unpack_stored(record[b"record"])
    try:
        return ResultView(
            job_id=job_id,
            state=state,
            attempt=kept["attempt"],
            verdict=kept["verdict"],
            value=record.get(b"value"),
            ref=kept["ref"],
            logs=tuple(kept["logs"]),
            error=kept["error"],
            finished_ms=kept["finished_ms"],
        )
    except (KeyError, TypeError) as error:
        raise StateBroken("a stored result cannot be read") from error
