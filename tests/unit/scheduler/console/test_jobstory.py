"""A timeline in words."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.scheduler.console.jobstory import limits_of, story_of


def event(kind: str, before: str | None = None, after: str | None = None, **more: Any) -> dict[str, Any]:
    """One event as the API shows it."""
    return {"type": kind, "from": before, "to": after, "time": "2026-11-21T10:00:00Z", **more}


@pytest.mark.parametrize(
    ("told", "title"),
    [
        (event("job.accepted", None, "accepted"), "Let in"),
        (event("job.held", "queued", "held"), "Held again, under another policy"),
        (event("job.queued", "held", "queued"), "Released into the queue"),
        (event("job.queued", "running", "queued"), "Back in the queue for another attempt"),
        (event("job.queued", "failed", "queued", by="ada"), "Taken out of the dead letters by ada"),
        (event("job.running", "queued", "running", attempt=2), "Handed to a worker, attempt 2"),
        (event("job.cancelled", "held", "cancelled", by="ada"), "Cancelled by ada"),
        (event("approval.vote", "held", "held", approve=False, approver="ada"), "Refused by ada"),
        (event("something.new"), "Something: new"),
    ],
)
def test_what_happened_has_a_title(told: dict[str, Any], title: str) -> None:
    """Also what this version knows nothing of."""
    assert story_of([told])[0].title == title


def test_a_decision_is_explained_by_its_verdict_its_rules_and_their_reason() -> None:
    """The default where no rule matched."""
    (entry,) = story_of(
        [event("job.held", None, "held", verdict="require_approval", rules=["r"], deciding=["r"], reason="why")]
    )
    assert entry.why == ("Policy wants a person to release it first.",)
    assert (entry.rules, entry.told, entry.said) == (("r",), "why", "")
    (entry,) = story_of([event("job.denied", None, "denied", verdict="deny", rules=[], deciding=[])])
    assert "No rule matches, so the default decides." in entry.why


def test_what_somebody_wrote_never_becomes_a_sentence_of_ours() -> None:
    """It stands apart, and once: what a vote led to does not say its reason again."""
    vote = event("approval.vote", "held", "held", approve=True, approver="ada", reason="fine")
    after = event("job.queued", "held", "queued", approve=True, approver="ada", reason="fine")
    first, second = story_of([vote, after])
    assert (first.said, second.said) == ("fine", "")
    assert "fine" not in " ".join((first.title, *first.why))


def titles(*events: dict[str, Any]) -> list[str]:
    """What stands over each entry."""
    return [entry.title for entry in story_of(events)]


def test_broken_glass_is_told_as_such_from_the_first_vote_to_the_release() -> None:
    """The rules were not met; who broke it is named."""
    glass = [
        event(kind, "held", "held", approve=True, approver=who, break_glass=True)
        for who in ("ada", "bea")
        for kind in ("approval.vote", "approval.break_glass")
    ]
    released = event("approval.released", "held", "held", break_glass=True, approvers=["ada", "bea"])
    assert titles(*glass, released) == [
        "ada asked to break the glass (1 of 2)",
        "bea asked to break the glass (2 of 2)",
        "Released past the rules: the glass was broken by ada, bea",
    ]


def test_only_votes_that_were_cast_are_void_when_the_policy_changes() -> None:
    """A round in which nobody voted is decided again; a release that was given is void."""
    held, stale = event("job.held", None, "held"), event("approval.stale", "held", "held")
    vote = event("approval.vote", "held", "held", approve=True, approver="ada")
    released = event("approval.released", "held", "held")
    again = event("approval.requested", "held", "held")
    assert titles(held, stale)[-1] == "The policy changed: decided again"
    assert titles(held, vote, stale)[-1] == "Votes are void: the policy changed"
    assert titles(held, vote, released, stale)[-1] == "The release is void: the policy changed"
    assert titles(held, vote, again, stale)[-1] == "The policy changed: decided again"


def test_limits_are_told_in_words() -> None:
    """One that is not known yet by its name."""
    assert limits_of({"max_runtime_s": 60, "network": []}) == ["runs at most 1 min", "reaches nothing"]
    assert limits_of({"later": 1}) == ["later 1"]
