"""What changed about a held job, in words."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.scheduler.words.changes import Change, changes_of, words_of

NEED: dict[str, Any] = {"rule": "r", "roles": ["ops"], "names": [], "quorum": 1, "definition": "sha256:a"}


def test_a_fact_is_told_as_it_was_and_as_it_is() -> None:
    changes = [{"what": "reason", "before": "then", "after": "now"}, {"what": "rules", "before": ["a"], "after": []}]
    assert changes_of(changes) == [Change("reason", "then", "now"), Change("rules", "a", "nothing")]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"max_runtime_s": 60, "network": []}, "max runtime s: 60; network: nothing"),
        ([{"id": "less", "title": "Do less of it"}], "Do less of it"),
        ({}, "nothing"),
        (False, "no"),
        (0, "0"),
    ],
)
def test_values_in_words(value: Any, words: str) -> None:
    assert words_of(value) == words


def test_what_a_rule_demands_is_told_one_by_one() -> None:
    changes = [{"what": "requirements", "before": [NEED], "after": [{**NEED, "quorum": 2, "definition": "sha256:b"}]}]
    assert changes_of(changes) == [
        Change("r: votes needed", "1", "2"),
        Change("text of r", "as it was", "rewritten, see below"),
    ]


def test_a_rule_that_came_or_went_is_told_by_its_approvers() -> None:
    other = {**NEED, "rule": "s", "names": ["ann"]}
    changes = [{"what": "requirements", "before": [NEED], "after": [other]}]
    assert changes_of(changes) == [
        Change("approvers of r", "1 of ops", "not asked"),
        Change("approvers of s", "not asked", "1 of ops, ann"),
    ]


def test_seconds_are_told_as_time() -> None:
    then, now = {**NEED, "expires_s": 7200}, {**NEED, "expires_s": 86_400}
    changes = [{"what": "requirements", "before": [then], "after": [now]}]
    assert changes_of(changes) == [Change("r: expires after", "2 h", "1 d")]


def test_nothing_that_changed_is_nothing() -> None:
    assert changes_of(None) == []


def test_what_is_not_asked_for_is_told_so_and_is_no_time_that_is_over() -> None:
    then = {**NEED, "reading_s": 0, "confirm": "", "escalate_after_s": None}
    now = {**NEED, "reading_s": 120, "confirm": "do it", "escalate_after_s": 5400}
    assert changes_of([{"what": "requirements", "before": [then], "after": [now]}]) == [
        Change("r: time to read", "not asked", "2 min"),
        Change("r: text to type", "not asked", "do it"),
        Change("r: escalates after", "never", "1 h 30 min"),
    ]


def test_constraints_are_told_as_what_a_run_is_held_to() -> None:
    changes = [{"what": "constraints", "before": {}, "after": {"max_runtime_s": 7200, "network": []}}]
    told = "runs at most 2 h; reaches nothing"
    assert changes_of(changes) == [Change("what it will be held to", "nothing", told)]
