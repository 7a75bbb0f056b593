"""Spans: made only where somebody wants them, the same ids in every process, nothing in them but what is listed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from holdgate.kernel import tracing
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.tracing import Collector, Context, Sampler, Span, parse_traceparent, record, root_of, run_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.fixture
def spans() -> Iterator[list[Span]]:
    """Where the spans of this test go."""
    taken: list[Span] = []
    tracing.set_sink(taken.append)
    yield taken
    tracing.set_sink(None)


def test_without_a_sink_nothing_begins_and_nothing_is_made() -> None:
    assert not tracing.is_on()
    assert tracing.start() == 0
    record("decide", Context(TRACE), tracing.start(), attributes={"of no list": 1})


def test_a_span_says_what_was_done_below_what_and_for_how_long(spans: list[Span]) -> None:
    above = root_of(TRACE, "job_1")
    started = tracing.start()
    record("run", above, started, attributes={"holdgate.attempt": 2}, code="failed")
    (span,) = spans
    assert (span.name, span.parent, span.code, span.attributes) == ("run", above, "failed", {"holdgate.attempt": 2})
    assert span.start_ns == started <= span.end_ns
    assert len(span.span_id) == 16
    assert span.span_id != above.span_id


def test_a_clock_that_went_back_makes_no_span_of_negative_length(spans: list[Span]) -> None:
    record("queue", Context(TRACE), 2_000, ended_ns=1_000)
    assert spans[0].end_ns == spans[0].start_ns


@pytest.mark.parametrize("name", ["holdgate.payload", "holdgate.prompt", "holdgate.labels", "value", ""])
def test_what_is_not_listed_is_not_said(spans: list[Span], name: str) -> None:
    with pytest.raises(ValueError, match="does not say"):
        record("run", Context(TRACE), tracing.start(), attributes={name: "x"})
    assert spans == []


def test_a_long_text_is_cut(spans: list[Span]) -> None:
    record("run", Context(TRACE), tracing.start(), attributes={"holdgate.topic": "x" * 10_000})
    assert spans[0].attributes == {"holdgate.topic": "x" * tracing.VALUE_CHARS_MAX}


def test_a_sink_that_fails_takes_nothing_from_who_works() -> None:
    def fails(_span: Span) -> None:
        raise RuntimeError

    tracing.set_sink(fails)
    try:
        record("run", Context(TRACE), tracing.start())
    finally:
        tracing.set_sink(None)


def test_ids_that_others_hang_below_follow_from_the_job_alone() -> None:
    assert root_of(TRACE, "job_1") == root_of(TRACE, "job_1")
    ids = {root_of(TRACE, "job_1").span_id, root_of(TRACE, "job_2").span_id}
    ids |= {run_of(TRACE, "job_1", attempt).span_id for attempt in (1, 2)}
    assert len(ids) == 4


@pytest.mark.parametrize(("ratio", "kept"), [(0.0, 0), (1.0, 1000), (0.25, 250)])
def test_a_share_of_traces_is_kept_and_the_same_ones_everywhere(ratio: float, kept: int) -> None:
    traces = [f"{'0' * 16}{number * 2**64 // 1000:016x}" for number in range(1000)]
    assert sum(map(Sampler(ratio).takes, traces)) == kept


@pytest.mark.parametrize("text", ["", "x" * 32, TRACE.upper(), TRACE + "0"])
def test_what_is_no_trace_is_not_kept(spans: list[Span], text: str) -> None:
    record("run", Context(text), tracing.start())
    assert spans == []


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", Context(TRACE, SPAN)),
        (f"01-{TRACE}-{SPAN}-00-more", Context(TRACE, SPAN)),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        ("", None),
    ],
)
def test_a_context_that_a_caller_sends_is_taken_where_it_is_valid(header: str, expected: Context | None) -> None:
    assert parse_traceparent(header.encode()) == expected


def test_a_context_is_sent_on_as_it_would_be_read(spans: list[Span]) -> None:
    above = run_of(TRACE, "job_1", 1)
    assert parse_traceparent(above.header().encode()) == above
    assert above.header().endswith("-01")
    with pytest.raises(ValueError, match="trace alone"):
        Context(TRACE).header()


def test_headers_of_a_collector_are_read_and_known_as_secrets() -> None:
    token = "t" * 20
    collector = Collector("http://127.0.0.1:1", (f"Authorization: Bearer {token}".encode(), b"x-team: 7"))
    assert collector.pairs() == {"Authorization": f"Bearer {token}", "x-team": "7"}
    assert token.encode() in collector.secrets()
    with pytest.raises(InvalidInput, match="Name: value"):
        Collector("http://127.0.0.1:1", (b"no colon",)).pairs()


def test_spans_and_the_headers_of_a_collector_go_to_no_other_machine_in_clear() -> None:
    """Unless the operator said so: the headers are a login."""
    away = Collector("http://collector.example:4318", (b"Authorization: Bearer x",))
    with pytest.raises(InvalidInput, match="HOLDGATE_PLAINTEXT=allow"), tracing.exporting(away, "test"):
        pass
    for collector in (replace(away, plaintext="allow"), replace(away, endpoint="https://collector.example")):
        with tracing.exporting(collector, "test"):
            assert tracing.is_on()


def test_a_collector_that_hangs_holds_up_no_end() -> None:
    """It takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        collector = Collector(f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with tracing.exporting(collector, "test"):
            for _ in range(1_000):
                record("run", Context(TRACE), tracing.start())
        assert any(thread.name.startswith("OtelBatch") for thread in threading.enumerate()), "it was waited for"
    assert not tracing.is_on()
