"""What is typed into the playground, and what an explanation says."""

from __future__ import annotations

import pytest

from holdgate.scheduler.console.jobfilters import filters_of
from holdgate.scheduler.console.playground import asked_of
from holdgate.scheduler.console.trace import explained


def test_fields_become_facts() -> None:
    """Empty ones are not asked about."""
    typed = {"topic": " a.b ", "labels": "env=prod\n\nx = y=z", "risk_tags": "one, two", "payload": '{"a": 1}'}
    typed["secrets"] = "db, mail"
    facts, wrong = asked_of(typed, with_payload=True).facts()
    assert wrong == []
    assert facts == {
        "topic": "a.b",
        "labels": {"env": "prod", "x": "y=z"},
        "risk_tags": ["one", "two"],
        "secrets": ["db", "mail"],
        "payload": {"a": 1},
    }


def test_an_address_never_holds_the_payload() -> None:
    """Nor is one that has it believed."""
    asked = asked_of({"topic": "a", "payload": "secret"}, with_payload=True)
    assert asked.address == "/policy/playground?topic=a"
    assert asked_of({"topic": "a", "payload": "secret"}, with_payload=False)["payload"] == ""
    assert asked_of({"topic": "a", "labels": "x=" + "y" * 4000}, with_payload=True).address == ""


@pytest.mark.parametrize(("name", "text"), [("labels", "prod"), ("payload", "{"), ("payload", "[" * 100_000)])
def test_what_cannot_be_read_is_named(name: str, text: str) -> None:
    """By its field, and left out of what is asked."""
    facts, ((field, _),) = asked_of({"topic": "a", name: text}, with_payload=True).facts()
    assert (field, facts) == (name, {"topic": "a"})


def test_all_that_cannot_be_read_is_named_at_once() -> None:
    _, wrong = asked_of({"topic": "a", "labels": "prod", "payload": "{"}, with_payload=True).facts()
    assert [field for field, _ in wrong] == ["labels", "payload"]


def test_an_explanation_says_which_field_does_not_fit() -> None:
    """And counts what it was not told of."""
    told = explained(
        {
            "verdict": "deny",
            "trace": [
                {"id": "a", "bundle": "b", "decision": "deny", "matched": True, "fields": []},
                {
                    "id": "c",
                    "bundle": "b",
                    "decision": "allow",
                    "matched": False,
                    "held": ["topics"],
                    "failed": "labels.env",
                    "wanted": ["dev", "test"],
                    "given": None,
                },
                {"left_out": 7},
            ],
            "combined": {
                "why": "deny is strictest",
                "won": [{"id": "a", "bundle": "b", "decision": "deny"}],
                "default": "deny",
            },
        }
    )
    assert [step.id for step in told.counting] == ["a"]
    (other,) = told.others
    assert other.field is not None
    assert (other.field.field, other.field.wanted, other.field.given) == ("labels.env", "dev, test", "nothing")
    assert told.left_out == 7
    assert "403" in told.next


def test_a_job_id_may_be_given_without_its_beginning() -> None:
    """As it is copied from a log."""
    assert filters_of({"id": " 0192 ", "state": ""}).query == {"id": "job_0192"}
    assert filters_of({"state": "held", "cursor": "c"}).path("/jobs") == "/jobs?state=held&cursor=c"
