"""The API's pure parts: pages, traces, queries, room for requests, the description."""

from __future__ import annotations

import jsonschema
import pytest

from holdgate.scheduler.api.admit import InFlight
from holdgate.scheduler.api.calls import query_of, trace_of
from holdgate.scheduler.api.openapi import openapi
from holdgate.scheduler.api.operations import OPERATIONS
from holdgate.scheduler.api.paging import LIMIT_DEFAULT, SEQ, cursor_of, page_of
from holdgate.scheduler.api.problems import Problem
from holdgate.scheduler.api.schemas import COMPONENTS

JOB = "job_01890a5d-ac96-774b-bcce-b302099a8057"


def entropy(n: int) -> bytes:
    return b"\x07" * n


def test_a_cursor_comes_back_as_the_mark_it_was_made_of() -> None:
    page = page_of({"cursor": cursor_of(JOB), "limit": "7"})
    assert (page.after, page.limit) == (JOB, 7)
    assert page_of({}).limit == LIMIT_DEFAULT
    assert page_of({"cursor": cursor_of("12")}, SEQ).after == "12"


@pytest.mark.parametrize(
    "cursor", ["", "?", cursor_of("job_1"), cursor_of("../x"), cursor_of(JOB + "\n"), "é", "A" * 9999]
)
def test_a_cursor_that_no_list_gave_is_refused(cursor: str) -> None:
    with pytest.raises(Problem):
        page_of({"cursor": cursor})


@pytest.mark.parametrize("limit", ["0", "-1", "501", "1.0", "1e2", "٣", "", "99999999999999999999"])
def test_a_limit_out_of_bounds_is_refused(limit: str) -> None:
    with pytest.raises(Problem):
        page_of({"limit": limit})


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"01-{TRACE}-00f067aa0ba902b7-01-more", TRACE),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-00f067aa0ba902b7", None),
        ("x" * 10_000, None),
    ],
)
def test_a_valid_trace_is_kept_and_any_other_replaced(header: str, expected: str | None) -> None:
    trace = trace_of([(b"traceparent", header.encode())], entropy)
    assert trace.parent.trace_id == (expected or "07" * 16)
    assert (trace.parent.span_id is None) == (expected is None)


@pytest.mark.parametrize("raw", [b"b=1", b"a=1&a=2", b"a=%00", b"a=%ff", b"a=" + b"x" * 5000, b"\xff=1"])
def test_a_query_that_is_not_understood_is_refused(raw: bytes) -> None:
    with pytest.raises(Problem):
        query_of(raw, frozenset({"a"}))


def test_a_tenant_cannot_take_the_room_of_the_others() -> None:
    room = InFlight(total_max=16, share=2, code="overloaded")
    for tenant, most in (("first", 11), ("second", 4), ("third", 1)):
        for _ in range(most):
            room.enter(tenant)
        with pytest.raises(Problem):
            room.enter(tenant)
    with pytest.raises(Problem):
        room.enter("fourth")
    room.leave("first")
    with room.hold("fourth"):
        assert room.total == 16


def test_the_description_is_whole() -> None:
    shown = openapi(OPERATIONS, "1")
    assert shown["openapi"].startswith("3.1")
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    for schema in COMPONENTS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for operation in OPERATIONS:
        for component in (operation.request, operation.reply, *(reply for _, reply in operation.also)):
            assert component is None or component in COMPONENTS, operation.name


@pytest.mark.parametrize("name", ["batch", "agents", "verify", "rollback"])
def test_nothing_is_described_that_does_not_work_yet(name: str) -> None:
    assert not [operation.path for operation in OPERATIONS if name in operation.path]
