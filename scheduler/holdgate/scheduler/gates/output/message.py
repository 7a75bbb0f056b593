"""A worker's result message, read as what a hostile worker may have written.

What always holds: a message that passes has every field of the type and length named here, and its texts are UTF-8; the
worker's name comes from the subject, which NATS guards, not from the body. What a worker writes about itself (code) is
held to a shape, and scanned like the rest; what it says that it took out names nothing that it could make up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from holdgate.kernel import limits, wire
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ARTIFACT_NAME, JOB_ID, MEDIA_TYPE, NAME, JobId, LeaseToken, Tenant
from holdgate.scan.findings import Category, Severity
from holdgate.scan.known import DETECTORS
from holdgate.scan.output import UNSCANNABLE, Artifact, FindingKind, Output

TOKEN = re.compile(r"[0-9a-f]{32}\Z")
CODE = re.compile(r"[a-z][a-z0-9_]{0,47}\Z")
LOG_LINES_MAX = 100_000
MALFORMED = "malformed_result"
ATTEMPT_MAX = 1_000_000
"""Far beyond `ATTEMPTS_MAX`: an operator's retry adds to them."""
REPORTED_MAX = 100
REPORTED = "worker-reported"
"""Stands for a detector that no worker of ours names: the name would be shown, and nobody has searched it."""
DETECTOR = re.compile(r"[a-z0-9][a-z0-9.-]{0,127}\Z")
_DETECTORS = frozenset((*DETECTORS, UNSCANNABLE[0]))
_CATEGORIES = frozenset((*map(str, Category), UNSCANNABLE[1]))
_SEVERITIES = frozenset(map(str, Severity))
NAMED = {
    "Holdgate-Tenant": "tenant",
    "Holdgate-Job": "job_id",
    "Holdgate-Attempt": "attempt",
    "Holdgate-Token": "token",
    "Holdgate-Outcome": "outcome",
}
"""Headers, and the field that each repeats."""
ERROR_KEYS = frozenset({"type", "message", "trace"})


class RunOutcome(StrEnum):
    """How a run ended, as the worker reports it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    OVERSIZE = "oversize"


@dataclass(frozen=True, slots=True)
class ResultMessage:
    """One attempt's end, as reported. Not to be believed beyond its shape: `token` is checked against the state."""

    tenant: Tenant
    job_id: JobId
    attempt: int
    token: LeaseToken
    worker: str
    outcome: RunOutcome
    retryable: bool
    output: Output
    started_ms: int
    ended_ms: int


def parse_result(subject: str, data: bytes, headers: Mapping[str, str] | None) -> ResultMessage:
    """The message; InvalidInput when it is not one, or its headers, which the dispatcher goes by, name another."""
    body = wire.unpack(data, bytes_max=limits.ENVELOPE_BYTES_MAX)
    try:
        message = ResultMessage(
            tenant=Tenant(_matching(body["tenant"], NAME)),
            job_id=JobId(_matching(body["job_id"], JOB_ID)),
            attempt=_integer(body["attempt"], 1, ATTEMPT_MAX),
            token=LeaseToken(_matching(body["token"], TOKEN)),
            worker=subject.rpartition(".")[2],
            outcome=RunOutcome(body["outcome"]),
            retryable=body["retryable"] is True,
            output=_output(body),
            started_ms=_integer(body["started_ms"], 0, 2**53),
            ended_ms=_integer(body["ended_ms"], 0, 2**53),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise InvalidInput(f"not a result message: {type(error).__name__}") from error
    named = headers or {}
    if any(named.get(header) != str(getattr(message, field)) for header, field in NAMED.items()):
        raise InvalidInput("the headers of a result differ from its body")
    return message


def malformed_result(subject: str, headers: Mapping[str, str] | None) -> ResultMessage | None:
    """For a body that cannot be read: the attempt that the headers name failed, with nothing to show; None if none.

    The token in the headers fences it like any other message.
    """
    named = headers or {}
    try:
        return ResultMessage(
            tenant=Tenant(_matching(named.get("Holdgate-Tenant"), NAME)),
            job_id=JobId(_matching(named.get("Holdgate-Job"), JOB_ID)),
            attempt=_integer(int(named.get("Holdgate-Attempt", "")), 1, ATTEMPT_MAX),
            token=LeaseToken(_matching(named.get("Holdgate-Token"), TOKEN)),
            worker=subject.rpartition(".")[2],
            outcome=RunOutcome.FAILED,
            retryable=True,
            output=Output(code=MALFORMED),
            started_ms=0,
            ended_ms=0,
        )
    except (InvalidInput, ValueError):
        return None


def _output(body: Mapping[str, Any]) -> Output:
    value, logs, error = body["value"], body["logs"], body["error"]
    if not (value is None or isinstance(value, bytes)):
        raise InvalidInput("`value` is not bytes")
    if not isinstance(logs, list) or len(logs) > LOG_LINES_MAX or not all(isinstance(line, str) for line in logs):
        raise InvalidInput("`logs` is not a list of texts")
    if error is not None and not (
        isinstance(error, dict) and set(error) <= ERROR_KEYS and all(isinstance(text, str) for text in error.values())
    ):
        raise InvalidInput("`error` is not a map of texts")
    return Output(
        value=value,
        logs=tuple(logs),
        error=error,
        code=_code(body["code"]),
        # Workers of an earlier release send neither.
        artifacts=_artifacts(body.get("artifacts", [])),
        reported=_reported(body.get("reported", [])),
    )


def _artifacts(listed: Any) -> tuple[Artifact, ...]:
    if not isinstance(listed, list) or len(listed) > limits.ARTIFACTS_MAX:
        raise InvalidInput("`artifacts` is not a list of files, or too long")
    files: dict[str, Artifact] = {}
    for item in listed:
        match item:
            case [str(name), str() | None as media_type, bytes(data)]:
                files[_matching(name, ARTIFACT_NAME)] = Artifact(name, _media_type(media_type), data)
            case _:
                raise InvalidInput("an artifact is not a name, a type and bytes")
    if len(files) != len(listed):
        raise InvalidInput("two artifacts have one name")
    return tuple(files.values())


def _media_type(value: str | None) -> str | None:
    """What it is said to be; of another form, nothing is."""
    return value if value is not None and MEDIA_TYPE.match(value) else None


def _reported(listed: Any) -> tuple[FindingKind, ...]:
    """What the worker says that it took out. Of another shape it is refused: it may only add to what is found."""
    if not isinstance(listed, list) or len(listed) > REPORTED_MAX:
        raise InvalidInput("`reported` is not a list of kinds, or too long")
    kinds: set[FindingKind] = set()
    for item in listed:
        match item:
            case [str(detector), str(category), str(severity)] if category in _CATEGORIES and severity in _SEVERITIES:
                named = _matching(detector, DETECTOR)
                kinds.add((named if named in _DETECTORS else REPORTED, category, severity))
            case _:
                raise InvalidInput("a reported kind is not a detector, a category and a severity")
    return tuple(sorted(kinds))


def _matching(value: Any, shape: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not shape.match(value):
        raise InvalidInput("a name is malformed")
    return value


def _integer(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidInput("a number is out of bounds")
    return value


def _code(value: Any) -> str | None:
    """A code has a small alphabet and length; anything else is dropped."""
    return value if isinstance(value, str) and CODE.match(value) else None
