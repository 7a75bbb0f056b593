"""How a drill judges what it saw."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdgate.scheduler.up.closed import ROWS, Observation, Row, Tried, page, recorded, summary

KERNEL, GATE = ROWS[0], next(row for row in ROWS if row.name == "output gate killed")


def seen(row: Row) -> Observation:
    """All that `row` says, half a second later."""
    others = dict.fromkeys(row.others, "no answer") | {"worker-1": "ready"}
    return Observation(
        row.name,
        row.post,
        2,
        row.get,
        row.vote,
        row.standing,
        dict.fromkeys(row.wrong, "away"),
        bool(row.failing),
        row.runs,
        bool(row.stored),
        "succeeded",
        "200" if row.vote != "200" else "409 approval_resolved",
        back_ms=500,
        others=others,
        ran="succeeded",
        attempts=row.attempts,
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_as_the_table_says_is_expected(row: Row) -> None:
    assert Tried(row, seen(row), 5.0).differences == []
    assert Tried(row, seen(row), 5.0).outcome == "ok"


@pytest.mark.parametrize(
    ("change", "outcome", "says"),
    [
        ({"back_ms": 5_001}, "SLOW", "back after 5001 ms, not 5 s"),
        ({"post": "202"}, "DIFF", "post: '202'"),
        ({"attempts": 2}, "DIFF", "attempts: 2"),
        ({"ran": "failed"}, "DIFF", "ran: 'failed'"),
        ({"others": {"kernel": "ready", "dispatcher": "degraded"}}, "DIFF", "/readyz of kernel is ready"),
    ],
)
def test_what_is_late_or_otherwise_fails_the_drill(change: dict[str, object], outcome: str, says: str) -> None:
    tried = Tried(KERNEL, replace(seen(KERNEL), **change), 5.0)  # type: ignore[arg-type]  # fields as the table has them
    assert tried.outcome == outcome
    assert says in "\n".join(tried.differences)


def test_the_end_of_a_drill_counts_rows() -> None:
    late = Tried(GATE, replace(seen(GATE), back_ms=9_000), 5.0)
    tried = [Tried(KERNEL, seen(KERNEL), 5.0), late, Tried(GATE, "skipped: no small disk", 5.0)]
    assert summary(tried[:1]) == "1 as expected, 0 skipped"
    assert summary(tried) == "1 as expected, 1 skipped, 1 back late"
    assert summary([Tried(GATE, "OSError: gone", 5.0)]) == "0 as expected, 0 skipped, 1 not as expected"


def test_the_page_shows_what_goes_on_inside() -> None:
    told = page([recorded(KERNEL, seen(KERNEL))])
    assert "| its handler goes on, its result counts: `succeeded` in attempt 1 |" in told
    assert "kernel no answer" in told
    assert "worker" not in told.splitlines()[-1]
