"""What changed about a held job, in words."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.scheduler.console.changes import Change, changes_of, words_of

NEED: dict[str, Any] = {"rule": "r", "roles": ["ops"], "names": [], "quorum": 1, "definition": "sha256:a"}


def test_a_fact_is_told_as_it_was_and_as_it_is() -> None:
    changes = [{"what": "reason", "before": "then", "after": "now"}, {"what": "rules", "before": ["a"], "after": []}]
    assert changes_of({"changes": changes}) == [Change("reason", "then", "now"), Change("rules", "a", "nothing")]


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
    assert changes_of({"changes": changes}) == [
        Change("r: quorum", "1", "2"),
        Change("text of r", "as it was", "rewritten, see below"),
    ]


def test_a_rule_that_came_or_went_is_told_by_its_approvers() -> None:
    other = {**NEED, "rule": "s", "names": ["ann"]}
    changes = [{"what": "requirements", "before": [NEED], "after": [other]}]
    assert changes_of({"changes": changes}) == [
        Change("approvers of r", "1 of ops", "not asked"),
        Change("approvers of s", "not asked", "1 of ops, ann"),
    ]


def test_seconds_are_told_as_time() -> None:
    then, now = {**NEED, "expires_s": 7200}, {**NEED, "expires_s": 86_400}
    changes = [{"what": "requirements", "before": [then], "after": [now]}]
    assert changes_of({"changes": changes}) == [Change("r: expires after", "2 h 00 min", "1 d 0 h")]


def test_nothing_that_changed_is_nothing() -> None:
    assert changes_of({"changes": None}) == []
