"""Who releases a held job, at the kernel: escalation, delegation, grants, breaking the glass, authors, roles of a root.

Whose vote counts for what is tested in `test_standing`; here, that the kernel asks about it with what was signed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdgate.bundles.chain import verify_root
from holdgate.bundles.root import ApproverRole, Root, Scope
from holdgate.kernel.custody import PermitReply, PermitRequest, answer_permit
from holdgate.kernel.ids import Digest, WorkerId
from holdgate.kernel.links import Signed
from holdgate.kernel.records import ApprovalRequirement, Decision, Job, Outcome, Phase, Verdict
from holdgate.kernel.trust import Trust
from support.trust import NOW_MS, Ceremony, admission, job, signer, vote

SNAPSHOT = Digest("sha256:" + "1" * 64)
MANAGER = ApprovalRequirement(rule="hold", roles=("release-manager",))
HOUR_MS = 3_600_000
GLASS = ("break_glass",)


@pytest.fixture
def trust() -> Trust:
    ceremony = Ceremony(approvers={"dana": ("release-manager", "break_glass")})
    return verify_root(ceremony.signed_root(), ceremony.pins, NOW_MS).trust()


def held_by(requirement: ApprovalRequirement = MANAGER, **changes: Any) -> tuple[Job, Decision]:
    held = job(**changes)
    decision = Decision(
        verdict=Verdict.REQUIRE_APPROVAL,
        reason="because",
        snapshot=SNAPSHOT,
        job_hash=held.job_hash(),
        phase=Phase.DISPATCH,
        decided_ms=NOW_MS,
        deciding=("hold",),
        approvals=(requirement,),
    )
    return held, decision


def answer(
    trust: Trust, held: Job, decision: Decision, *votes: Signed, admitted_ms: int = NOW_MS, now_ms: int = NOW_MS
) -> PermitReply:
    admitted = admission(held, decision, outcome=Outcome.HELD, issued_ms=admitted_ms)
    request = PermitRequest(held, admitted, 1, "default", WorkerId("w1"), votes)
    return answer_permit(request, decision, trust, signer("kernel"), now_ms)


def approvers(reply: PermitReply) -> tuple[str, ...]:
    assert reply.permit_record is not None, (reply.refusal, reply.message)
    return reply.permit_record.approvers


# Escalation -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cast_ms", "refusal"), [(NOW_MS + HOUR_MS - 1, "votes_quorum"), (NOW_MS + HOUR_MS, None)], ids=["early", "in time"]
)
def test_a_vote_of_whom_it_escalates_to_counts_from_that_time_on_and_not_before(
    trust: Trust, cast_ms: int, refusal: str | None
) -> None:
    """When it was cast counts, not when the permit is asked for."""
    held, decision = held_by(replace(MANAGER, escalate_after_s=3600))
    cast = vote(held, decision, approver="olga", roles=("escalation",), issued_ms=cast_ms, expires_ms=NOW_MS * 2)
    assert answer(trust, held, decision, cast, now_ms=NOW_MS + 2 * HOUR_MS).refusal == refusal


def test_since_when_it_is_held_is_what_the_api_signed_at_its_admission(trust: Trust) -> None:
    held, decision = held_by(replace(MANAGER, escalate_after_s=3600, escalate_roles=("director",)))
    cast = vote(held, decision, approver="olga", roles=("director",))
    assert answer(trust, held, decision, cast, admitted_ms=NOW_MS - HOUR_MS + 1).refusal == "votes_quorum"
    assert approvers(answer(trust, held, decision, cast, admitted_ms=NOW_MS - HOUR_MS)) == ("olga",)


def test_a_vote_cannot_say_that_it_was_cast_later_than_now(trust: Trust) -> None:
    """Who signs with an own key writes the time of it."""
    held, decision = held_by(replace(MANAGER, roles=("director",), escalate_after_s=3600, escalate_names=("dana",)))
    cast = vote(held, decision, by="dana", approver="dana", issued_ms=NOW_MS + HOUR_MS, expires_ms=NOW_MS * 2)
    assert answer(trust, held, decision, cast).refusal == "votes_early"


# Delegation -----------------------------------------------------------------------------------------------------------


def test_a_delegate_votes_as_whom_it_stands_for(trust: Trust) -> None:
    held, decision = held_by(replace(MANAGER, roles=(), names=("alice",)))
    assert answer(trust, held, decision, vote(held, decision)).refusal == "votes_quorum"
    assert approvers(answer(trust, held, decision, vote(held, decision, on_behalf_of="alice"))) == ("erin",)


@pytest.mark.parametrize("changes", [{"approver": "agent"}, {"on_behalf_of": "agent"}, {"approver": "boss"}])
@pytest.mark.parametrize("beside", [{"on_behalf_of": "boss"}, {"on_behalf_of": "alice"}])
def test_neither_who_votes_nor_for_whom_may_be_the_submitter_or_whom_it_acts_for(
    trust: Trust, changes: dict[str, str], beside: dict[str, str]
) -> None:
    held, decision = held_by(principals=("boss",))
    cast = vote(held, decision, **{**beside, **changes})
    assert answer(trust, held, decision, cast).refusal == "votes_self"


def test_a_person_and_their_delegate_are_one_vote(trust: Trust) -> None:
    held, decision = held_by(replace(MANAGER, quorum=2))
    both = [vote(held, decision, approver="alice"), vote(held, decision, approver="bob", on_behalf_of="alice")]
    assert answer(trust, held, decision, *both).refusal == "votes_quorum"
    assert answer(trust, held, decision, *both, vote(held, decision, approver="carol")).permit is not None


def test_who_votes_for_two_stands_on_the_permit_once(trust: Trust) -> None:
    held, decision = held_by(replace(MANAGER, quorum=2))
    cast = [vote(held, decision), vote(held, decision, on_behalf_of="alice"), vote(held, decision, approver="carol")]
    assert approvers(answer(trust, held, decision, *cast)) == ("erin", "carol")


# Grants ---------------------------------------------------------------------------------------------------------------


def test_a_vote_for_a_grant_counts_where_the_rule_takes_grants_now(trust: Trust) -> None:
    held, decision = held_by()
    assert answer(trust, held, decision, vote(held, decision, grant="grant_1")).refusal == "votes_quorum"
    held, decision = held_by(replace(MANAGER, grants=True))
    assert approvers(answer(trust, held, decision, vote(held, decision, grant="grant_1"))) == ("erin",)


# Breaking the glass ---------------------------------------------------------------------------------------------------


def glass(held: Job, decision: Decision, name: str, **changes: Any) -> Signed:
    return vote(held, decision, **{"approver": name, "roles": GLASS, "break_glass": True, **changes})


def test_two_people_of_the_role_break_the_glass_and_one_does_not(trust: Trust) -> None:
    held, decision = held_by(replace(MANAGER, quorum=4))
    one, other = glass(held, decision, "olga"), glass(held, decision, "paul")
    assert answer(trust, held, decision, one).refusal == "votes_quorum"
    assert answer(trust, held, decision, one, glass(held, decision, "olga", reason="again")).refusal == "votes_quorum"
    assert approvers(answer(trust, held, decision, one, other)) == ("olga", "paul")


REFUSED_GLASS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "of another role": ({}, {"roles": ("admin",)}, "votes_quorum"),
    "without saying so": ({}, {"break_glass": False}, "votes_quorum"),
    "where the rule forbids it": ({"break_glass": False}, {}, "votes_quorum"),
    "unsigned where it must be": ({"signed": True}, {}, "votes_quorum"),
    "without a reason": ({}, {"reason": ""}, "votes_no_reason"),
    "an author": ({"not_author": True, "excluded": ("paul",)}, {}, "votes_quorum"),
    "the submitter": ({}, {"approver": "agent"}, "votes_self"),
    "under another policy": ({}, {"snapshot": "sha256:" + "2" * 64}, "votes_stale_policy"),
    "for another job": ({}, {"job_hash": "sha256:" + "2" * 64}, "votes_other_job"),
    "for another attempt": ({}, {"attempt": 2}, "votes_other_attempt"),
    "too late": ({}, {"expires_ms": NOW_MS}, "votes_expired"),
}


@pytest.mark.parametrize(("demand", "changes", "refusal"), REFUSED_GLASS.values(), ids=REFUSED_GLASS)
def test_breaking_the_glass_spares_the_quorum_and_nothing_else(
    trust: Trust, demand: dict[str, Any], changes: dict[str, Any], refusal: str
) -> None:
    held, decision = held_by(replace(MANAGER, quorum=3, **demand))
    cast = [glass(held, decision, "olga"), glass(held, decision, "paul", **changes)]
    assert answer(trust, held, decision, *cast).refusal == refusal


def test_own_keys_break_the_glass_in_the_roles_of_the_root(trust: Trust) -> None:
    held, decision = held_by(replace(MANAGER, quorum=3))
    own = vote(held, decision, by="dana", approver="dana", roles=(), break_glass=True)
    assert approvers(answer(trust, held, decision, own, glass(held, decision, "olga"))) == ("dana", "olga")


# Authors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"approver": "arthur"}, {"on_behalf_of": "arthur"}])
def test_an_author_releases_nothing_where_the_rule_says_so(trust: Trust, changes: dict[str, str]) -> None:
    held, decision = held_by(replace(MANAGER, not_author=True, excluded=("arthur",)))
    assert answer(trust, held, decision, vote(held, decision, **changes)).refusal == "votes_quorum"
    assert answer(trust, held, decision, vote(held, decision)).permit is not None


# Roles of the root ----------------------------------------------------------------------------------------------------


def under(*roles: ApproverRole) -> Trust:
    """What a root with these approver roles has the kernel trust."""
    plain = Ceremony().root.model_dump(mode="json")
    return Root.model_validate({**plain, "approver_roles": [role.model_dump() for role in roles]}).trust()


LISTED = ApproverRole(name="release-manager")
ELSEWHERE = Scope(tenants=["rival"])
OTHER_TOPICS = Scope(topics=["job.pay.>"])
ROOTS: dict[str, tuple[list[ApproverRole], bool]] = {
    "that names no roles": ([], True),
    "that names the role": ([LISTED, ApproverRole(name="break_glass"), ApproverRole(name="escalation")], True),
    "that names others": ([LISTED], False),
    "that names it for another tenant": (
        [LISTED, *(ApproverRole(name=name, scope=ELSEWHERE) for name in ("break_glass", "escalation"))],
        False,
    ),
    "that names it for other topics": (
        [LISTED, *(ApproverRole(name=name, scope=OTHER_TOPICS) for name in ("break_glass", "escalation"))],
        False,
    ),
}


@pytest.mark.parametrize(("roles", "is_released"), ROOTS.values(), ids=ROOTS)
def test_the_glass_is_broken_under_a_root(roles: list[ApproverRole], is_released: bool) -> None:
    held, decision = held_by()
    cast = [glass(held, decision, "olga"), glass(held, decision, "paul")]
    assert (answer(under(*roles), held, decision, *cast).permit is not None) is is_released
    assert answer(under(*roles), held, decision, vote(held, decision)).permit is not None


@pytest.mark.parametrize(("roles", "is_released"), ROOTS.values(), ids=ROOTS)
def test_a_job_escalates_to_the_role_of_that_name_under_a_root(roles: list[ApproverRole], is_released: bool) -> None:
    held, decision = held_by(replace(MANAGER, escalate_after_s=3600))
    cast = vote(held, decision, approver="olga", roles=("escalation",))
    reply = answer(under(*roles), held, decision, cast, admitted_ms=NOW_MS - HOUR_MS)
    assert (reply.permit is not None) is is_released


def test_a_root_that_wants_more_people_of_break_glass_than_two_lets_nobody_break_it() -> None:
    held, decision = held_by()
    cast = [glass(held, decision, "olga"), glass(held, decision, "paul")]
    for quorum_min, is_released in ((2, True), (3, False)):
        trust = under(LISTED, ApproverRole(name="break_glass", quorum_min=quorum_min))
        assert (answer(trust, held, decision, *cast).permit is not None) is is_released


def test_an_own_key_counts_only_for_roles_that_the_root_lists() -> None:
    held, decision = held_by()
    ceremony = Ceremony(approvers={"dana": ("release-manager",)})
    plain = ceremony.root.model_dump(mode="json")
    own = vote(held, decision, by="dana", approver="dana", roles=())
    for listed, is_released in (("release-manager", True), ("dba", False)):
        trust = Root.model_validate({**plain, "approver_roles": [{"name": listed}]}).trust()
        assert (answer(trust, held, decision, own).permit is not None) is is_released
