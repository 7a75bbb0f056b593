"""The protocol of the client without IO: requests, replies, and when to try again.

An operation is a generator. It yields `Request`s and `Pause`s, is sent `Reply`s and `Lost`s, returns its value. What
drives it (`transport`) is all that differs between the plain and the async client.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from holdgate.client.errors import ApiError, Unavailable, Unexpected, error_of

REPLY_TIMEOUT_S = 30.0
BACKOFF_S = 0.2
BACKOFF_S_MAX = 5.0
Value = TypeVar("Value")
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    `is_repeatable`: sending it twice has the effect of sending it once, so it is sent again also when the reply was
    lost. Otherwise it is sent again only when the API said that nothing was done.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = REPLY_TIMEOUT_S
    is_repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """No reply. `was_sent` is false where the request certainly did not reach the API."""

    reason: str
    was_sent: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before going on."""

    seconds: float


Operation: TypeAlias = Generator[Request | Pause, Reply | Lost | None, Value]


@dataclass(frozen=True, slots=True)
class Retries:
    """How long to try again, in all. `now_s` is a monotonic clock, `fraction` gives chance from 0 to 1."""

    for_s: float
    now_s: Callable[[], float]
    fraction: Callable[[], float]


def perform(request: Request, retries: Retries) -> Operation[dict[str, Any]]:
    """The JSON object of the reply to `request`; tries again, with growing pauses, while a part is away."""
    return (yield from _performed(request, retries, _object_of))


def perform_bytes(request: Request, retries: Retries) -> Operation[bytes]:
    """The bytes of the reply, likewise."""
    return (yield from _performed(request, retries, _body_of))


def _performed(request: Request, retries: Retries, read: Callable[[Reply | Lost | None], Value]) -> Operation[Value]:
    until_s = retries.now_s() + retries.for_s
    failures = 0
    while True:
        reply = yield request
        try:
            return read(reply)
        except Unavailable as error:
            may_repeat = request.is_repeatable or not isinstance(reply, Lost) or not reply.was_sent
            pause_s = (error.retry_after_s or 0) + retries.fraction() * min(BACKOFF_S * 2**failures, BACKOFF_S_MAX)
            if not may_repeat or retries.now_s() + pause_s > until_s:
                raise
        failures += 1
        yield Pause(pause_s)


def json_body(value: Mapping[str, Any]) -> bytes:
    """`value` as JSON, without the keys that are None."""
    given = {key: item for key, item in value.items() if item is not None}
    return json.dumps(given, allow_nan=False).encode()  # noqa: TID251  a request; the API makes what is hashed of it


def model_of(kind: type[Model], value: Mapping[str, Any]) -> Model:
    """`value` as `kind`; Unexpected when the API's reply is not one."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise _unexpected(200, f"a reply that is not a {kind.__name__}: {error.errors()[0]['loc']}") from error


def refusal_of(reply: Reply) -> ApiError:
    """The error that a reply other than 2xx tells of."""
    try:
        problem = json.loads(reply.body)
    except ValueError:
        problem = None
    shown = problem if isinstance(problem, dict) else {"title": f"HTTP status {reply.status}"}
    return error_of(reply.status, shown, _retry_after_s(reply.headers.get("retry-after")))


def _body_of(reply: Reply | Lost | None) -> bytes:
    if not isinstance(reply, Reply):
        reason = "no reply" if reply is None else reply.reason
        raise Unavailable(0, {"code": "unreachable", "detail": f"the API cannot be reached: {reason}"})
    if not 200 <= reply.status < 300:
        raise refusal_of(reply)
    return reply.body


def _object_of(reply: Reply | Lost | None) -> dict[str, Any]:
    try:
        value = json.loads(_body_of(reply))
    except ValueError as error:
        raise _unexpected(200, "a reply that is not JSON") from error
    if not isinstance(value, dict):
        raise _unexpected(200, "a reply that is not an object")
    return value


def _unexpected(status: int, detail: str) -> Unexpected:
    return Unexpected(status, {"code": "unexpected", "detail": detail})


def _retry_after_s(text: str | None) -> float | None:
    try:
        return None if text is None else min(max(float(text), 0.0), 3600.0)
    except ValueError:
        return None
