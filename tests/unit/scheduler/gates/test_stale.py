"""An earlier yes may be given again only where nothing that matters is other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdgate.kernel.canonical import digest
from holdgate.kernel.ids import ActorId, JobId
from holdgate.kernel.links import Signed
from holdgate.kernel.records import ApprovalRequirement, Constraints, Decision, Verdict
from holdgate.scheduler.gates.approval.stale import changes, earlier_yes
from holdgate.scheduler.state.approvals import ApprovalStatus, ApprovalView, CastVote, PastRound
from support.state import SNAPSHOT, make_decision, make_job

ADA = ActorId("ada")
JOB = make_job(1)
ASKED = ApprovalRequirement(rule="rule", roles=("release-manager",), definition=digest("as written"))
DECISION = make_decision(JOB, Verdict.REQUIRE_APPROVAL, approvals=(ASKED,))
YES = CastVote(ADA, ("release-manager",), True, "fine", 5, Signed(b"", "", b""))
PAST = PastRound(ApprovalStatus.STALE, JOB.job_hash(), SNAPSHOT, (ASKED,), 1, 1, 2, DECISION, (YES,))
NOW = ApprovalView(
    job_id=JobId(JOB.job_id),
    status=ApprovalStatus.PENDING,
    job_hash=JOB.job_hash(),
    snapshot=digest("policy two"),
    requirements=(ASKED,),
    actor=JOB.actor,
    principals=(),
    topic=JOB.topic,
    created_ms=3,
    expires_ms=100,
    round=2,
    version=0,
)
AFTER = replace(DECISION, snapshot=NOW.snapshot)


def test_what_is_the_same_is_offered_to_who_said_yes() -> None:
    assert earlier_yes(PAST, NOW, AFTER, ADA) == YES
    assert earlier_yes(None, NOW, AFTER, ADA) is None
    assert earlier_yes(PAST, NOW, AFTER, ActorId("bob")) is None


def undefined(**more: Any) -> tuple[PastRound, ApprovalView]:
    """Both rounds under a requirement that is other, and alike."""
    asked = (replace(ASKED, **more),)
    return replace(PAST, requirements=asked), replace(NOW, requirements=asked)


@pytest.mark.parametrize(
    ("past", "now", "decision"),
    [
        (replace(PAST, job_hash=digest("another")), NOW, AFTER),
        (PAST, replace(NOW, status=ApprovalStatus.RELEASED), AFTER),
        (PAST, replace(NOW, requirements=(replace(ASKED, definition=digest("other words")),)), AFTER),
        (PAST, replace(NOW, requirements=(replace(ASKED, quorum=2),)), AFTER),
        (PAST, replace(NOW, requirements=(ASKED, replace(ASKED, rule="more"))), AFTER),
        (*undefined(definition=""), AFTER),
        (*undefined(signed=True), AFTER),
        (PAST, NOW, replace(AFTER, deciding=("rule", "more"))),
        (PAST, NOW, replace(AFTER, constraints=Constraints(max_runtime_s=5))),
        (replace(PAST, votes=(replace(YES, approve=False),)), NOW, AFTER),
        (replace(PAST, votes=(replace(YES, on_behalf_of=ActorId("cid")),)), NOW, AFTER),
        (replace(PAST, votes=(replace(YES, grant="grant"),)), NOW, AFTER),
        (replace(PAST, votes=(replace(YES, break_glass=True),)), NOW, AFTER),
        (replace(PAST, votes=(replace(YES, reason=" "),)), NOW, AFTER),
    ],
)
def test_whatever_matters_and_is_other_takes_the_offer_away(
    past: PastRound, now: ApprovalView, decision: Decision
) -> None:
    assert earlier_yes(past, now, decision, ADA) is None


def test_what_differs_is_named_with_both_sides() -> None:
    stricter = replace(AFTER, constraints=Constraints(max_runtime_s=5), reason="for another reason")
    found = {item.what: (item.before, item.after) for item in changes(PAST, NOW, stricter)}
    assert found == {
        "snapshot": (SNAPSHOT, NOW.snapshot),
        "constraints": ({}, {"max_runtime_s": 5}),
        "reason": (DECISION.reason, "for another reason"),
    }
