"""The queue's rows and filters, out of what the API lists and an address says."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.scheduler.console.waiting import Filters, filters_of, rows_of
from holdgate.scheduler.words.needs import needs_of

HELD_AT = "2026-01-01T00:00:00Z"
NEED = {"rule": "r", "roles": ["ops"], "quorum": 1, "bulk": True, "signed": False}


def item(job_id: str, **facts: Any) -> dict[str, Any]:
    """A row of the API, as far as the queue looks at it."""
    return {
        "job_id": job_id,
        "requirements": [NEED],
        "votes": [],
        "remaining_s": 60,
        "shape": "s",
        "created_at": HELD_AT,
        **facts,
    }


def test_deferred_ones_stand_last_and_the_others_keep_their_order() -> None:
    rows = rows_of([item("a"), item("b", deferred_until="2026-01-01T00:00:00Z"), item("c")])
    assert [(row.job_id, row.next) for row in rows] == [("a", "c"), ("c", "b"), ("b", "")]


def test_a_queue_may_be_empty() -> None:
    assert rows_of([]) == []


@pytest.mark.parametrize(
    ("needs", "together"),
    [
        ([NEED], True),
        ([NEED, {**NEED, "bulk": False}], False),
        ([{**NEED, "signed": True}], False),
        ([], True),
    ],
)
def test_one_rule_that_wants_each_alone_is_enough(needs: list[dict[str, Any]], together: bool) -> None:
    (row,) = rows_of([item("a", requirements=needs)])
    assert row.bulk is together


def vote(approver: str, *roles: str, **more: Any) -> dict[str, Any]:
    """A yes."""
    return {"approver": approver, "roles": list(roles), "approve": True, "cast_at": HELD_AT, **more}


def test_the_rule_that_misses_most_says_how_many_votes() -> None:
    (row,) = rows_of([item("a", requirements=[NEED, {**NEED, "quorum": 3}], votes=[vote("ada", "ops")])])
    assert (row.need.yes, row.need.facts["quorum"], row.need.glass) == (1, 3, 0)


def test_who_breaks_the_glass_is_not_counted_among_the_votes_of_the_rule() -> None:
    """Nor the other way round: two of one kind are needed."""
    glass = vote("ada", "ops", "break_glass", break_glass=True)
    (row,) = rows_of([item("a", requirements=[{**NEED, "quorum": 2}], votes=[glass])])
    assert (row.need.yes, row.need.glass) == (0, 1)
    (row,) = rows_of([item("a", requirements=[{**NEED, "quorum": 2}], votes=[glass, vote("bea", "ops")])])
    assert (row.need.yes, row.need.glass) == (1, 1)


def test_an_address_without_filters_asks_for_everything() -> None:
    filters = filters_of({})
    assert not filters.any
    assert filters.query() == {
        "order": "expiring",
        "rule": None,
        "topic": None,
        "severity": None,
        "mine": None,
        "cursor": None,
    }


def test_filters_that_do_not_exist_are_none() -> None:
    filters = filters_of({"order": "random", "severity": "awful", "mine": "maybe"})
    assert filters == Filters()


def test_a_link_carries_the_filters_encoded() -> None:
    link = Filters(topic="job.a&mine=true", severity="high").link("/approvals", cursor="x y")
    assert link == "/approvals?topic=job.a%26mine%3Dtrue&severity=high&cursor=x+y"


@pytest.mark.parametrize(("remaining_s", "when"), [(3000, "now"), (3590, "after 1 min"), (None, "after 1 min")])
def test_who_may_release_it_too_is_told_as_of_now_once_it_escalated(remaining_s: int | None, when: str) -> None:
    """By the clock of who told how much time is left."""
    need = {**NEED, "escalate_after_s": 60}
    facts = item("a", requirements=[need], remaining_s=remaining_s, expires_at="2026-01-01T01:00:00Z", status="pending")
    (found,) = needs_of(facts)
    assert found.escalates == f"{when} also role escalation"
