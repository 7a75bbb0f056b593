"""When the client tries again, and what it makes of replies. No IO: operations are driven by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from holdgate.client import (
    ApiError,
    ApprovalError,
    Conflict,
    Denied,
    Forbidden,
    Invalid,
    NotFound,
    OutputQuarantined,
    Throttled,
    Unavailable,
)
from holdgate.client import client as client_module
from holdgate.client.errors import Unexpected
from holdgate.client.exchange import Lost, Operation, Pause, Reply, Request, Retries
from holdgate.client.models import Approval, ApprovalChange, JobInfo
from holdgate.client.operations import Operations, approval_events_request
from holdgate.client.sse import EventReader

SUBMITTED = {
    "job_id": "job_1",
    "state": "queued",
    "decision": {"verdict": "allow", "reason": "", "snapshot": "s", "job_hash": "h"},
}
SHOWN = Approval(job_id="job_1", status="pending", job_hash="h", snapshot="s")


class SetTime:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Driven:
    """Drives an operation with prepared answers and keeps what it asked for."""

    def __init__(self, answers: list[Reply | Lost], *, for_s: float = 30.0) -> None:
        self.time = SetTime()
        self.keys = iter(f"key-{n}" for n in range(100))
        self.operations = Operations(Retries(for_s, self.time, lambda: 1.0), lambda: next(self.keys))
        self.answers = answers
        self.requests: list[Request] = []
        self.pauses: list[float] = []

    def run(self, operation: Operation[Any]) -> Any:
        answer: Reply | Lost | None = None
        try:
            while True:
                step = operation.send(answer)
                answer = None
                if isinstance(step, Pause):
                    self.pauses.append(step.seconds)
                    self.time.now += step.seconds
                else:
                    self.requests.append(step)
                    answer = self.answers.pop(0)
        except StopIteration as end:
            return end.value


def reply(status: int = 200, body: Any = None, **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


def problem(status: int, code: str, retry_after: str | None = None, **extra: Any) -> Reply:
    headers = {} if retry_after is None else {"retry_after": retry_after}
    return reply(status, {"code": code, "detail": "why", "status": status, **extra}, **headers)


AWAY = problem(503, "kernel_unavailable", "2")


def test_an_unavailable_part_is_tried_again_after_what_it_asked_for_with_the_same_idempotency_key() -> None:
    driven = Driven([AWAY, Lost("ReadTimeout", was_sent=True), reply(202, SUBMITTED)])
    assert driven.run(driven.operations.submit("job.x")).job_id == "job_1"
    assert [request.headers["Idempotency-Key"] for request in driven.requests] == ["key-0"] * 3
    assert driven.pauses == [pytest.approx(2.2), pytest.approx(0.4)]


def test_two_submits_have_two_keys() -> None:
    driven = Driven([reply(202, SUBMITTED), reply(202, SUBMITTED)])
    for _ in range(2):
        driven.run(driven.operations.submit("job.x"))
    assert len({request.headers["Idempotency-Key"] for request in driven.requests}) == 2


def test_trying_again_ends_when_its_time_is_over() -> None:
    driven = Driven([AWAY] * 100, for_s=10)
    with pytest.raises(Unavailable) as caught:
        driven.run(driven.operations.submit("job.x"))
    assert caught.value.code == "kernel_unavailable"
    assert sum(driven.pauses) <= 10
    assert 2 <= len(driven.requests) <= 6


def test_pauses_grow_up_to_a_bound() -> None:
    driven = Driven([Lost("ConnectError", was_sent=False)] * 100, for_s=60)
    with pytest.raises(Unavailable):
        driven.run(driven.operations.get_job("job_1"))
    assert driven.pauses == sorted(driven.pauses)
    assert driven.pauses[-1] == 5.0


def test_a_vote_is_not_sent_again_when_its_reply_was_lost() -> None:
    driven = Driven([Lost("ReadTimeout", was_sent=True)])
    with pytest.raises(Unavailable):
        driven.run(driven.operations.approve(SHOWN, reason="ok"))
    assert len(driven.requests) == 1


@pytest.mark.parametrize("first", [Lost("ConnectError", was_sent=False), AWAY])
def test_a_vote_that_did_not_count_is_sent_again(first: Reply | Lost) -> None:
    done = reply(200, {"job_id": "job_1", "status": "released", "state": "queued"})
    driven = Driven([first, done])
    assert driven.run(driven.operations.approve(SHOWN, reason="ok")).state == "queued"
    assert json.loads(driven.requests[1].body or b"") == {"job_hash": "h", "snapshot": "s", "reason": "ok"}


ERRORS: list[tuple[Reply, type[ApiError]]] = [
    (problem(400, "malformed_json"), Invalid),
    (problem(401, "unauthenticated"), Forbidden),
    (problem(403, "forbidden"), Forbidden),
    (problem(403, "tenant_mismatch"), Forbidden),
    (problem(403, "denied"), Denied),
    (problem(403, "output_quarantined"), OutputQuarantined),
    (problem(404, "job_not_found"), NotFound),
    (problem(404, "approval_not_found"), ApprovalError),
    (problem(403, "approval_self"), ApprovalError),
    (problem(409, "approval_stale_policy"), ApprovalError),
    (problem(410, "approval_expired"), ApprovalError),
    (problem(409, "idempotency_conflict"), Conflict),
    (problem(413, "body_too_large"), Invalid),
    (problem(422, "invalid_input"), Invalid),
    (problem(429, "throttled", "7"), Throttled),
    (problem(418, "teapot"), Unexpected),
    (Reply(404, {}, b"<html>"), NotFound),
    (Reply(302, {"location": "http://elsewhere/"}, b""), Unexpected),
    (Reply(200, {}, b"<html>"), Unexpected),
    (reply(200, [1]), Unexpected),
    (reply(200, {"job_id": 1}), Unexpected),
]


@pytest.mark.parametrize(("answer", "error"), ERRORS, ids=[f"{a.status} {e.__name__}" for a, e in ERRORS])
def test_a_refusal_raises_what_it_is_and_is_not_tried_again(answer: Reply, error: type[ApiError]) -> None:
    driven = Driven([answer])
    with pytest.raises(ApiError) as caught:
        driven.run(driven.operations.get_job("job_1"))
    assert type(caught.value) is error
    assert len(driven.requests) == 1


def test_a_throttled_submit_says_when_to_come_back() -> None:
    driven = Driven([problem(429, "throttled", "7")])
    with pytest.raises(Throttled) as caught:
        driven.run(driven.operations.submit("job.x"))
    assert caught.value.retry_after_s == 7


def test_a_denial_without_a_decision_can_still_be_read() -> None:
    driven = Driven([problem(403, "denied", remediations="nonsense")])
    with pytest.raises(Denied) as caught:
        driven.run(driven.operations.submit("job.x"))
    denied = caught.value
    assert (denied.rule, denied.rules, denied.remediations, denied.reason) == (None, (), (), "why")


def test_a_wait_is_as_many_long_polls_as_it_takes() -> None:
    running, done = ({"job_id": "job_1", "topic": "t", "state": state} for state in ("running", "succeeded"))
    driven = Driven([reply(200, running), problem(429, "too_many_waiters", "1"), reply(200, done)])
    assert driven.run(driven.operations.wait("job_1")).state == "succeeded"
    assert [request.query["wait"] for request in driven.requests] == ["30s"] * 3
    assert all(request.timeout_s > 30 for request in driven.requests)


def test_only_what_was_given_is_sent() -> None:
    driven = Driven([reply(202, SUBMITTED)])
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    driven.run(driven.operations.submit("job.x", labels={"a": "b"}, run_at=moment, risk_tags=("x",)))
    assert json.loads(driven.requests[0].body or b"") == {
        "topic": "job.x",
        "labels": {"a": "b"},
        "risk_tags": ["x"],
        "run_at": "2026-01-02T03:04:05Z",
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_json_is_refused_before_it_is_sent(value: float) -> None:
    driven = Driven([])
    with pytest.raises(ValueError, match="JSON"):
        driven.run(driven.operations.submit("job.x", payload=value))
    with pytest.raises(ValueError, match="zone"):
        driven.run(driven.operations.submit("job.x", run_at=datetime(2026, 1, 1)))  # noqa: DTZ001  refused


def test_an_id_cannot_lead_out_of_its_path() -> None:
    driven = Driven([problem(404, "job_not_found")])
    with pytest.raises(NotFound):
        driven.run(driven.operations.get_job("../../status?x=1"))
    assert driven.requests[0].path == "/api/v1/jobs/..%2F..%2Fstatus%3Fx%3D1"


def test_events_are_read_line_by_line_and_other_ones_are_skipped() -> None:
    reader = EventReader("state", JobInfo)
    job = json.dumps({"job_id": "job_1", "topic": "t", "state": "running"})
    lines = [": still here", "", "event: other", "data: {}", "", "event: state", "id: 1", f"data: {job}", ""]
    seen = [found for line in lines if (found := reader.feed(line)) is not None]
    assert seen == [JobInfo(job_id="job_1", topic="t", state="running")]


def test_an_event_that_is_no_job_is_an_error() -> None:
    reader = EventReader("state", JobInfo)
    reader.feed("event: state")
    reader.feed("data: {")
    with pytest.raises(Unexpected):
        reader.feed("")


@pytest.mark.parametrize(
    ("plain", "awaited"),
    [
        (client_module.Client, client_module.AsyncClient),
        (client_module.Jobs, client_module.AsyncJobs),
        (client_module.Approvals, client_module.AsyncApprovals),
        (client_module.Policy, client_module.AsyncPolicy),
        (client_module.JobHandle, client_module.AsyncJobHandle),
    ],
)
def test_plain_and_awaited_have_the_same_calls_over_the_same_operations(plain: type[Any], awaited: type[Any]) -> None:
    def calls(kind: type[Any]) -> dict[str, Callable[..., Any] | None]:
        names = [name for name in vars(kind) if not name.startswith("_")]
        return {name: getattr(vars(kind)[name], "_operation", None) for name in names}

    assert calls(plain) == calls(awaited)


def test_a_stream_that_breaks_goes_on_after_the_last_event_that_was_whole() -> None:
    reader = EventReader("changed", ApprovalChange)
    lines = ["event: changed", "id: 7", 'data: {"job_id": "job_1", "state": "held"}', "", "event: changed", "id: 8"]
    seen = [told for line in lines if (told := reader.feed(line)) is not None]
    assert (seen, reader.last_id) == ([ApprovalChange(job_id="job_1", state="held")], "7")
    assert approval_events_request(reader.last_id).headers["Last-Event-ID"] == "7"
    assert "Last-Event-ID" not in approval_events_request().headers
