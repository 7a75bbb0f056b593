"""What changed about a held job, in words."""

from __future__ import annotations

from typing import Any

from holdgate.scheduler.console.changes import Change, changes_of

NEED: dict[str, Any] = {"rule": "r", "roles": ["ops"], "names": [], "quorum": 1, "definition": "sha256:a"}


def test_a_fact_is_told_as_it_was_and_as_it_is() -> None:
    changes = [{"what": "reason", "before": "then", "after": "now"}, {"what": "rules", "before": ["a"], "after": []}]
    assert changes_of({"changes": changes}) == [Change("reason", "then", "now"), Change("rules", "a", "nothing")]


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


def test_nothing_that_changed_is_nothing() -> None:
    assert changes_of({"changes": None}) == []
