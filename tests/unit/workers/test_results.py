"""The message in which the end of a run travels."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.kernel import wire
from holdgate.workers.results import (
    ERROR_MESSAGE_CHARS_MAX,
    ERROR_TRACE_CHARS_MAX,
    RunError,
    RunIdentity,
    RunOutcome,
    RunResult,
    message_of,
)

IDENTITY = RunIdentity(tenant="acme", job_id="job_1", attempt=2, token="0123456789abcdef", permit_id="permit_1")
ERROR = RunError("ValueError", "the secret is hunter2", "Traceback: hunter2")


def made(bytes_max: int = 1_000_000, **fields: Any) -> tuple[dict[str, str], dict[str, Any]]:
    given: dict[str, Any] = {"outcome": RunOutcome.SUCCEEDED, "started_ms": 1, "ended_ms": 2, **fields}
    headers, body = message_of(IDENTITY, RunResult(**given), worker="w-1", pool="default", bytes_max=bytes_max)
    return headers, wire.unpack(body)


def test_headers_fence_the_result_and_hold_nothing_that_a_handler_wrote() -> None:
    headers, _ = made(value=b'"hunter2"', logs=("hunter2",), error=ERROR)
    assert headers == {
        "Nats-Msg-Id": "job_1:2:01234567",
        "Holdgate-Tenant": "acme",
        "Holdgate-Job": "job_1",
        "Holdgate-Attempt": "2",
        "Holdgate-Token": "0123456789abcdef",
        "Holdgate-Outcome": "succeeded",
    }


def test_the_body_holds_everything_that_the_gate_must_scan() -> None:
    _, body = made(value=b"1", logs=("a",), error=ERROR, code="x", retryable=True)
    assert (body["value"], body["logs"], body["error"]) == (b"1", ["a"], ERROR.as_dict())
    assert (body["worker"], body["pool"], body["permit_id"], body["retryable"]) == ("w-1", "default", "permit_1", True)


@pytest.mark.parametrize("field", [{"value": b"x" * 5000}, {"logs": ("x" * 3000, "y" * 3000)}])
def test_what_the_server_would_never_take_becomes_a_message_that_says_so(field: dict[str, Any]) -> None:
    headers, body = made(bytes_max=4000, **field)
    assert headers["Holdgate-Outcome"] == body["outcome"] == "oversize"
    assert (body["value"], body["logs"], body["code"]) == (None, [], "output_too_large")


def test_errors_are_cut_and_of_a_trace_the_end_is_kept() -> None:
    shown = RunError("E" * 999, "m" * 99_999, "begin" + "t" * 99_999 + "end").as_dict()
    assert (len(shown["type"]), len(shown["message"])) == (200, ERROR_MESSAGE_CHARS_MAX)
    assert len(shown["trace"]) == ERROR_TRACE_CHARS_MAX
    assert shown["trace"].endswith("end")
