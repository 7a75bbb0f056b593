"""Held jobs, and jobs that were held, as text: what is said once they are decided, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.client.models import Approval, JobInfo
from holdgate.kernel.errors import InvalidInput
from holdgate.scheduler.cli.people import held, jobs
from holdgate.scheduler.cli.people.look import Look
from holdgate.scheduler.cli.people.queue import votes_text
from holdgate.scheduler.cli.people.vote import require_glass

NEED: dict[str, Any] = {
    "rule": "prod",
    "reason": "people look at prod",
    "roles": ["release-manager"],
    "names": [],
    "quorum": 2,
    "expires_s": 14_400,
    "escalate_after_s": 7200,
    "escalate_roles": [],
    "escalate_names": [],
    "excluded": [],
    "signed": False,
    "severity": "high",
    "bulk": False,
    "grants": False,
    "break_glass": True,
    "reading_s": 600,
    "confirm": "",
    "definition": "sha256:a",
}
PENDING: dict[str, Any] = {
    "job_id": "job_1",
    "status": "pending",
    "job_hash": "sha256:h",
    "snapshot": "sha256:s",
    "topic": "job.deploy.apply",
    "actor": "bot",
    "created_at": "2026-01-02T03:00:00Z",
    "expires_at": "2026-01-02T07:00:00Z",
    "remaining_s": 7300,
    "requirements": [NEED],
    "votes": [],
    "may_vote": False,
    "refused_for": "approval_forbidden",
    "deferred_until": "2026-01-02T04:00:00Z",
    "reading_left_s": 90,
}


def told(masked: int = 0, **changes: Any) -> dict[str, Any]:
    """The facts by name."""
    look = Look(Approval.model_validate({**PENDING, **changes}), {}, masked=masked)
    return dict(held.facts(look, 0))


def vote(approver: str, *, glass: bool = False, approve: bool = True) -> dict[str, Any]:
    return {
        "approver": approver,
        "roles": ["release-manager", "break_glass"],
        "approve": approve,
        "reason": "r",
        "cast_at": "2026-01-02T03:01:00Z",
        "own_key": False,
        "on_behalf_of": None,
        "grant": None,
        "break_glass": glass,
    }


def test_what_concerns_a_vote_is_told_while_one_can_be_cast() -> None:
    pending = told()
    assert pending["your vote"] == "would be refused: approval_forbidden"
    assert pending["deferred"] == "until 2026-01-02 04:00:00 UTC"
    assert pending["time left"] == "2 h 1 min, until 2026-01-02 07:00:00 UTC"
    assert pending["needs"] == "2 of role release-manager; after 2 h also role escalation; after reading for 10 min"


@pytest.mark.parametrize("status", ["rejected", "released", "expired", "consumed"])
def test_what_concerns_a_vote_is_not_told_of_a_job_that_is_decided(status: str) -> None:
    decided = told(status=status, escalated=True)
    assert not {"your vote", "deferred", "time left", "read for", "escalated"} & set(decided)
    assert decided["status"] == {"consumed": "released and used"}.get(status, status)
    shown = Approval.model_validate({**PENDING, "status": status})
    assert held.summary(shown) == "bot wanted to run job.deploy.apply, held because: people look at prod"


def test_secrets_are_counted() -> None:
    assert "masked" not in told()
    assert told(masked=1)["masked"] == "1 secret; `--reveal` shows it, and that is recorded"
    assert told(masked=2)["masked"] == "2 secrets; `--reveal` shows them, and that is recorded"


def test_what_changed_is_told_in_words_one_line_a_change() -> None:
    after = {**NEED, "reading_s": 0, "expires_s": 5400, "definition": "sha256:b"}
    changes = [
        {"what": "requirements", "before": [NEED], "after": [after]},
        {"what": "constraints", "before": {}, "after": {"max_runtime_s": 7200}},
    ]
    previous = {"status": "pending", "snapshot": "sha256:old", "ended_at": "2026-01-02T03:30:00Z", "votes": []}
    found = told(changes=changes, previous=previous)
    assert found["what changed"].splitlines() == [
        "prod: expires after: 4 h → 1 h 30 min",
        "prod: time to read: 10 min → not asked",
        "text of prod: as it was → rewritten, see below",
        "what it will be held to: nothing → runs at most 2 h",
    ]
    assert found["held before"] == "until 2026-01-02 03:30:00 UTC, under another policy"
    same = told(previous={**previous, "snapshot": "sha256:s"})
    assert same["held before"] == "until 2026-01-02 03:30:00 UTC"


@pytest.mark.parametrize(
    ("votes", "text"),
    [
        ([], "0/2"),
        ([vote("ann")], "1/2"),
        ([vote("ann", glass=True)], "0/2 glass 1/2"),
        ([vote("ann", glass=True), vote("bo")], "1/2 glass 1/2"),
        ([{**vote("ann"), "roles": ["other"]}], "0/2"),
        ([{**vote("ann"), "counts": False}, vote("bo")], "1/2"),
        ([{**vote("ann", glass=True), "counts": False}], "0/2"),
    ],
)
def test_the_queue_counts_votes_as_the_rules_do(votes: list[dict[str, Any]], text: str) -> None:
    assert votes_text(Approval.model_validate({**PENDING, "votes": votes})) == text
    bare = Approval(job_id="job_1", status="pending", job_hash="h", snapshot="s")
    assert votes_text(bare) == ""


def job(verdict: str, **more: Any) -> JobInfo:
    decision = {"verdict": verdict, "reason": "people look at prod", "snapshot": "sha256:s", "job_hash": "sha256:h"}
    return JobInfo.model_validate(
        {"job_id": "job_1", "topic": "job.x", "state": "denied", "actor": "bot", "decision": decision, **more}
    )


def test_a_rejected_job_says_who_said_no_beside_why_it_was_held() -> None:
    timeline = [
        {"type": "approval.vote", "approve": True, "approver": "ann", "reason": "fine"},
        {"type": "approval.vote", "approve": False, "approver": "bo", "reason": "no backup"},
    ]
    found = dict(jobs._facts(job("require_approval", broke_glass=False), timeline))
    assert found["held because"] == "people look at prod"
    assert found["rejected by"] == "bo: no backup"
    assert "released" not in found
    plain = dict(jobs._facts(job("deny"), timeline[:1]))
    assert plain["because"] == "people look at prod"
    assert "rejected by" not in plain


def test_a_job_that_broken_glass_released_is_marked() -> None:
    found = dict(jobs._facts(job("require_approval", broke_glass=True), []))
    assert found["released"] == "past its rules: two people broke the glass"


def test_of_votes_that_count_no_more_and_of_either_kind_it_is_told_what_is_missing() -> None:
    votes = [vote("ann", glass=True), {**vote("bo"), "counts": False}]
    found = told(votes=votes, votes_missing=2, glass_votes=1, glass_votes_needed=2)
    assert found["missing"] == "2 more needed, or 1 more to break the glass (1 of 2 did)"
    assert "(counts no more: may not approve now)" in found["votes"].splitlines()[1]
    assert told(votes=votes, votes_missing=1, glass_votes=0, glass_votes_needed=2)["missing"] == "1 more needed"
    assert "missing" not in told(votes_missing=2)


@pytest.mark.parametrize(
    ("may", "signed", "expected"),
    [
        (True, False, "break the glass: holdgate approvals approve job_1 --break-glass"),
        (True, True, "break the glass: holdgate approvals approve job_1 --break-glass --sign KEYFILE"),
        (False, True, None),
        (None, False, None),
    ],
)
def test_breaking_the_glass_is_offered_to_whom_the_api_says_may(
    may: bool | None, signed: bool, expected: str | None
) -> None:
    assert told(may_break_glass=may, requirements=[{**NEED, "signed": signed}]).get("you may") == expected


def test_of_several_rules_each_says_what_it_needs_by_its_name() -> None:
    found = told(requirements=[NEED, {**NEED, "rule": "canary", "quorum": 1}])
    assert [line.partition(":")[0] for line in found["needs"].splitlines()] == ["prod", "canary"]


def test_who_cannot_break_the_glass_is_told_why_before_anything_is_asked() -> None:
    shown = Approval.model_validate({**PENDING, "may_break_glass": False, "break_glass_refused_for": "approval_self"})
    with pytest.raises(InvalidInput, match="approval_self"):
        require_glass(shown)
    unsigned = shown.model_copy(update={"break_glass_refused_for": "approval_signature_required"})
    with pytest.raises(InvalidInput, match="no key of yours"):
        require_glass(unsigned)
    require_glass(shown.model_copy(update={"may_break_glass": True}))
