"""What a run ended with, and the message in which it travels to the output gate.

What always holds: everything a handler produced (value, logs, error, files) is in the body, none of it in headers or
subjects, so that all of it is scanned before anybody reads it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeAlias

from pydantic import BaseModel

from holdgate.kernel import tracing, wire
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.errors import HoldgateError, InvalidInput
from holdgate.workers.artifacts import RunArtifact
from holdgate.workers.errors import PermanentFailure

ERROR_MESSAGE_CHARS_MAX = 4_000
ERROR_TRACE_CHARS_MAX = 16_000
HEADER_MESSAGE_ID = "Nats-Msg-Id"
FindingKind: TypeAlias = tuple[str, str, str]
"""(detector, category, severity) of what was found."""


class RunOutcome(StrEnum):
    """How a run ended, as the worker reports it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    OVERSIZE = "oversize"
    """It succeeded with more output than it may have; the output is dropped."""


class OutputNotJson(PermanentFailure):
    """the handler returned something that is not JSON"""

    code = "output_not_json"


@dataclass(frozen=True, slots=True)
class RunError:
    """An exception of a handler: its type, message and trace. Output like any other, so unread until it was scanned."""

    type: str
    message: str
    trace: str = ""

    def as_dict(self) -> dict[str, str]:
        """Plain values, cut to size; of a trace the end is kept, where the cause is."""
        return {
            "type": self.type[:200],
            "message": self.message[:ERROR_MESSAGE_CHARS_MAX],
            "trace": self.trace[-ERROR_TRACE_CHARS_MAX:],
        }


@dataclass(frozen=True, slots=True)
class RunResult:
    """The end of a run. `value` is canonical JSON where the run succeeded. Times: milliseconds since the epoch.

    `reported`: what the worker took out of the rest before it let it out.
    """

    outcome: RunOutcome
    started_ms: int
    ended_ms: int
    value: bytes | None = None
    logs: tuple[str, ...] = ()
    error: RunError | None = None
    code: str | None = None
    retryable: bool = False
    artifacts: tuple[RunArtifact, ...] = ()
    reported: tuple[FindingKind, ...] = ()


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Which attempt of which job a message is about, with the token that fences it."""

    tenant: str
    job_id: str
    attempt: int
    token: str
    permit_id: str
    trace_id: str = ""


def message_of(
    identity: RunIdentity, result: RunResult, *, worker: str, pool: str, bytes_max: int
) -> tuple[dict[str, str], bytes]:
    """Headers and body of the result message.

    A body over `bytes_max`, which the server would never take, becomes one that says so.
    """
    headers, body = _message_of(identity, result, worker, pool)
    if len(body) <= bytes_max:
        return headers, body
    problem = RunError("OutputTooLarge", f"a message of {len(body)} bytes is over what NATS carries here ({bytes_max})")
    dropped = replace(
        result,
        outcome=RunOutcome.OVERSIZE,
        value=None,
        logs=(),
        error=problem,
        code="output_too_large",
        retryable=False,
        artifacts=(),
    )
    return _message_of(identity, dropped, worker, pool)


def _message_of(identity: RunIdentity, result: RunResult, worker: str, pool: str) -> tuple[dict[str, str], bytes]:
    headers = {
        HEADER_MESSAGE_ID: f"{identity.job_id}:{identity.attempt}:{identity.token[:8]}",
        "Holdgate-Tenant": identity.tenant,
        "Holdgate-Job": identity.job_id,
        "Holdgate-Attempt": str(identity.attempt),
        "Holdgate-Token": identity.token,
        "Holdgate-Outcome": str(result.outcome),
    }
    if identity.trace_id:
        headers[tracing.TRACEPARENT] = tracing.run_of(identity.trace_id, identity.job_id, identity.attempt).header()
    body: Mapping[str, Any] = {
        "tenant": identity.tenant,
        "job_id": identity.job_id,
        "attempt": identity.attempt,
        "token": identity.token,
        "permit_id": identity.permit_id,
        "worker": worker,
        "pool": pool,
        "outcome": str(result.outcome),
        "code": result.code,
        "retryable": result.retryable,
        "value": result.value,
        "logs": list(result.logs),
        "error": None if result.error is None else result.error.as_dict(),
        "artifacts": [[each.name, each.media_type, each.data] for each in result.artifacts],
        "reported": [list(kind) for kind in result.reported],
        "started_ms": result.started_ms,
        "ended_ms": result.ended_ms,
    }
    return headers, wire.pack(dict(body))


def describe_error(error: BaseException) -> RunError:
    """What the handler raised, for whoever may read it after the output gate."""
    return RunError(
        type(error).__name__,
        _text(lambda: str(error)),
        _text(lambda: "".join(traceback.format_exception(error))),
    )


def code_of(error: BaseException) -> str:
    """The word for what the handler raised: its own where it is one of ours."""
    return error.code if isinstance(error, HoldgateError) and isinstance(error.code, str) else "handler_error"


def encode_value(value: Any) -> bytes:
    """Canonical JSON of what a handler returned; pydantic models become objects. OutputNotJson when there is none."""
    try:
        plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        return canonical_bytes(plain)
    except (InvalidInput, TypeError, ValueError) as error:
        raise OutputNotJson(f"the handler returned a `{type(value).__name__}` that is not JSON: {error}") from error


def _text(made: Callable[[], str]) -> str:
    try:
        return made().encode("utf-8", "replace").decode("utf-8")
    except Exception as error:  # noqa: BLE001  `__str__` is a handler's own code; its run ends all the same
        return f"<cannot be shown: {type(error).__name__}>"
