"""Every link of the chain of custody forged, field by field: none of it gets a permit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdgate.bundles.chain import verify_root
from holdgate.kernel.canonical import digest
from holdgate.kernel.custody import PermitReply, PermitRequest, answer_permit, required_approvals
from holdgate.kernel.errors import Forged
from holdgate.kernel.ids import Digest, WorkerId
from holdgate.kernel.limits import CLOCK_SKEW_S, PERMIT_LIFETIME_S
from holdgate.kernel.links import Admission, Permit, Signed, Vote
from holdgate.kernel.permits import Keyring, open_signed
from holdgate.kernel.records import (
    ApprovalRequirement,
    Constraints,
    Decision,
    Job,
    Outcome,
    Over,
    Phase,
    Throttle,
    Verdict,
)
from holdgate.kernel.trust import Trust
from support.trust import NOW_MS, Ceremony, admission, job, signer, vote

SNAPSHOT = Digest("sha256:" + "1" * 64)
OTHER = Digest("sha256:" + "2" * 64)
MANAGER = ApprovalRequirement(rule="hold", roles=("release-manager",))
LIMIT_HOLD = Throttle(rule="limit", bucket="limit:x", limit=1, per_s=60, over=Over.HOLD)
LIMIT_REJECT = replace(LIMIT_HOLD, over=Over.REJECT)


@pytest.fixture
def trust() -> Trust:
    ceremony = Ceremony(approvers={"dana": ("release-manager",), "carl": ("clerk",)})
    return verify_root(ceremony.signed_root(), ceremony.pins, NOW_MS).trust()


def decided(about: Job, verdict: Verdict = Verdict.ALLOW, **changes: Any) -> Decision:
    made = Decision(
        verdict=verdict,
        reason="because",
        snapshot=SNAPSHOT,
        job_hash=about.job_hash(),
        phase=Phase.DISPATCH,
        decided_ms=NOW_MS,
        deciding=("hold",),
        approvals=(MANAGER,) if verdict is Verdict.REQUIRE_APPROVAL else (),
    )
    return replace(made, **changes)


def answer(
    trust: Trust,
    about: Job,
    decision: Decision,
    *votes: Signed,
    admitted: Signed | None = None,
    now_ms: int = NOW_MS,
    **changes: Any,
) -> PermitReply:
    request = PermitRequest(about, admitted or admission(about, decision), 1, "default", WorkerId("w1"), votes)
    return answer_permit(replace(request, **changes), decision, trust, signer("kernel"), now_ms)


def test_a_permit_names_exactly_what_was_asked_for_and_decided(trust: Trust) -> None:
    wanted = job()
    decision = decided(wanted, Verdict.ALLOW_WITH_CONSTRAINTS, constraints=Constraints(max_runtime_s=5))
    reply = answer(trust, wanted, decision)
    assert reply.permit is not None
    permit = open_signed(reply.permit, Permit, Keyring([signer("kernel").public_key]))
    assert permit == reply.permit_record
    assert permit.permit_id.startswith("permit_")
    assert replace(permit, permit_id="") == Permit(  # type: ignore[arg-type]
        permit_id="",  # type: ignore[arg-type]
        job_id=wanted.job_id,
        job_hash=wanted.job_hash(),
        tenant=wanted.tenant,
        snapshot=SNAPSHOT,
        verdict="allow_with_constraints",
        rules=("hold",),
        constraints=Constraints(max_runtime_s=5),
        attempt=1,
        pool="default",
        worker=WorkerId("w1"),
        issued_ms=NOW_MS,
        expires_ms=NOW_MS + PERMIT_LIFETIME_S * 1000,
    )


FORGED_ADMISSIONS: dict[str, tuple[dict[str, Any], str]] = {
    "another job id": ({"job_id": "job_other"}, "forged_admission_other_job"),
    "another job hash": ({"job_hash": OTHER}, "forged_admission_other_job"),
    "another tenant": ({"tenant": "rival"}, "forged_admission_other_actor"),
    "another actor": ({"actor": "mallory"}, "forged_admission_other_actor"),
    "a principal more": ({"principals": ("boss",)}, "forged_admission_other_actor"),
    "signed by a stranger": ({"by": "mallory"}, "forged_unknown_key"),
    "signed by the kernel": ({"by": "kernel"}, "forged_unknown_key"),
    "signed by the dispatcher": ({"by": "dispatcher"}, "forged_unknown_key"),
    "signed by an author": ({"by": "author"}, "forged_unknown_key"),
}


@pytest.mark.parametrize(("changes", "refusal"), FORGED_ADMISSIONS.values(), ids=FORGED_ADMISSIONS)
def test_a_forged_admission_gets_no_permit(trust: Trust, changes: dict[str, Any], refusal: str) -> None:
    wanted = job()
    decision = decided(wanted)
    reply = answer(trust, wanted, decision, admitted=admission(wanted, decision, **changes))
    assert (reply.permit, reply.refusal) == (None, refusal)


JOB_CHANGES: dict[str, Any] = {
    "tenant": "rival",
    "topic": "job.other",
    "payload_digest": digest("other"),
    "actor": "mallory",
    "actor_type": "human",
    "pool": "default2",
    "max_attempts": 99,
    "prompt": "do something else",
    "labels": {"env": "dev"},
    "capability": "infra.write",
    "risk_tags": ("x",),
    "requires": ("x",),
    "principals": ("x",),
    "concurrency_key": "x",
    "run_at_ms": 1,
    "deadline_ms": 2 * NOW_MS,
    "secrets_present": True,
    "remediation_of": "job_x",
    "job_id": "job_other",
}


@pytest.mark.parametrize("name", JOB_CHANGES)
def test_a_job_altered_after_its_admission_gets_no_permit(trust: Trust, name: str) -> None:
    wanted = job()
    altered = replace(wanted, **{name: JOB_CHANGES[name]})
    reply = answer(trust, altered, decided(altered), admitted=admission(wanted, decided(wanted)), pool=altered.pool)
    assert reply.permit is None
    assert str(reply.refusal).startswith("forged_")


def test_a_byte_of_the_admission_or_its_signature_changed_gets_no_permit(trust: Trust) -> None:
    wanted = job()
    decision = decided(wanted)
    good = admission(wanted, decision)
    for part in ("body", "signature"):
        for position in range(0, len(getattr(good, part)), 7):
            data = bytearray(getattr(good, part))
            data[position] ^= 1
            reply = answer(trust, wanted, decision, admitted=replace(good, **{part: bytes(data)}))
            assert (reply.permit, reply.refusal) == (None, "forged_bad_signature")


def test_a_vote_is_no_admission(trust: Trust) -> None:
    wanted = job()
    decision = decided(wanted)
    reply = answer(trust, wanted, decision, admitted=vote(wanted, decision))
    assert (reply.permit, reply.refusal) == (None, "forged_bad_signature")


@pytest.mark.parametrize("verdict", [Verdict.DENY, Verdict.THROTTLE])
def test_a_denial_gets_no_permit_whatever_votes_there_are(trust: Trust, verdict: Verdict) -> None:
    wanted = job()
    decision = decided(wanted, verdict, within=Verdict.DENY if verdict is Verdict.THROTTLE else None)
    reply = answer(trust, wanted, decision, vote(wanted, decision))
    assert (reply.permit, reply.refusal) == (None, "denied")


@pytest.mark.parametrize("attempt", [0, -1, True, 1.0, 10**9])
def test_an_attempt_is_a_number_from_one(trust: Trust, attempt: Any) -> None:
    wanted = job()
    reply = answer(trust, wanted, decided(wanted), attempt=attempt)
    assert (reply.permit, reply.refusal) == (None, "invalid_request")


@pytest.mark.parametrize("changes", [{"pool": "a.b"}, {"worker": "w 1"}, {"worker": ">"}, {"worker": ""}])
def test_pool_and_worker_are_names(trust: Trust, changes: dict[str, str]) -> None:
    wanted = job()
    reply = answer(trust, wanted, decided(wanted), **changes)
    assert (reply.permit, reply.refusal) == (None, "invalid_request")


def test_a_job_of_another_pool_gets_no_permit(trust: Trust) -> None:
    wanted = job()
    reply = answer(trust, wanted, decided(wanted), pool="gpu")
    assert (reply.permit, reply.refusal) == (None, "forged_other_pool")


def test_a_job_admitted_while_the_kernel_was_away_is_simply_decided(trust: Trust) -> None:
    wanted = job()
    for verdict, refusal in (
        (Verdict.ALLOW, None),
        (Verdict.DENY, "denied"),
        (Verdict.REQUIRE_APPROVAL, "needs_approval"),
    ):
        decision = decided(wanted, verdict)
        admitted = admission(wanted, decision, outcome=Outcome.FAIL_OPEN)
        assert answer(trust, wanted, decision, admitted=admitted).refusal == refusal


# Votes ----------------------------------------------------------------------------------------------------------------


def test_a_held_job_waits_for_votes_and_runs_with_them(trust: Trust) -> None:
    held = job()
    decision = decided(held, Verdict.REQUIRE_APPROVAL)
    assert answer(trust, held, decision).refusal == "needs_approval"
    assert answer(trust, held, decision, vote(held, decision)).permit is not None


FORGED_VOTES: dict[str, tuple[dict[str, Any], str]] = {
    "another job id": ({"job_id": "job_other"}, "votes_other_job"),
    "another job hash": ({"job_hash": OTHER}, "votes_other_job"),
    "another tenant": ({"tenant": "rival"}, "votes_other_job"),
    "another snapshot": ({"snapshot": OTHER}, "votes_stale_policy"),
    "by the submitter": ({"approver": "agent"}, "votes_self"),
    "by the submitter, in capitals": ({"approver": "AGENT"}, "votes_self"),
    "by nobody": ({"approver": ""}, "votes_self"),
    "without a role": ({"roles": ()}, "votes_quorum"),
    "with another role": ({"roles": ("clerk",)}, "votes_quorum"),
    "a no": ({"approve": False}, "votes_rejected"),
    "without a reason": ({"reason": " "}, "votes_no_reason"),
    "for the attempt before": ({"attempt": 0}, "votes_other_attempt"),
    "for a later attempt": ({"attempt": 2}, "votes_other_attempt"),
    "an attempt of another type": ({"attempt": True}, "votes_malformed"),
    "expired": ({"expires_ms": NOW_MS}, "votes_expired"),
    "expiry of another type": ({"expires_ms": "never"}, "votes_malformed"),
    "from the future": ({"issued_ms": NOW_MS + 60_000}, "votes_early"),
    "signed by a stranger": ({"by": "mallory"}, "votes_unknown_key"),
    "signed by the kernel": ({"by": "kernel"}, "votes_unknown_key"),
    "signed by the dispatcher": ({"by": "dispatcher"}, "votes_unknown_key"),
    "own key, another's name": ({"by": "dana", "approver": "erin"}, "votes_other_approver"),
    "own key, a role it does not hold": ({"by": "carl", "approver": "carl"}, "votes_quorum"),
    "own key, for somebody else": ({"by": "dana", "approver": "dana", "on_behalf_of": "erin"}, "votes_other_approver"),
    "own key, for a grant": ({"by": "dana", "approver": "dana", "grant": "grant_1"}, "votes_other_approver"),
    "for the submitter": ({"on_behalf_of": "agent"}, "votes_self"),
    "for the submitter, in capitals": ({"on_behalf_of": "Agent"}, "votes_self"),
    "by the submitter, for somebody else": ({"approver": "agent", "on_behalf_of": "erin"}, "votes_self"),
    "for a grant that the rule does not take": ({"grant": "grant_1"}, "votes_quorum"),
    "breaking the glass alone": ({"break_glass": True, "roles": ("release-manager", "break_glass")}, "votes_quorum"),
    "breaking the glass with a word": ({"break_glass": "yes"}, "votes_malformed"),
    "a yes of another type": ({"approve": 1}, "votes_malformed"),
    "a role that is no text": ({"roles": (1,)}, "votes_malformed"),
    "roles that are no list": ({"roles": "release-manager"}, "votes_malformed"),
    "for a list of people": ({"on_behalf_of": ("erin",)}, "votes_malformed"),
    "by a list of people": ({"approver": ("erin",)}, "votes_malformed"),
}


@pytest.mark.parametrize(("changes", "refusal"), FORGED_VOTES.values(), ids=FORGED_VOTES)
def test_a_vote_that_does_not_hold_releases_nothing(trust: Trust, changes: dict[str, Any], refusal: str) -> None:
    held = job()
    decision = decided(held, Verdict.REQUIRE_APPROVAL)
    reply = answer(trust, held, decision, vote(held, decision, **changes))
    assert (reply.permit, reply.refusal) == (None, refusal)


def test_a_vote_by_someone_the_submitter_acts_for_releases_nothing(trust: Trust) -> None:
    for principals in (("erin",), ("Erin",)):
        held = job(principals=principals)
        decision = decided(held, Verdict.REQUIRE_APPROVAL)
        assert answer(trust, held, decision, vote(held, decision)).refusal == "votes_self"


def test_a_byte_of_a_vote_changed_releases_nothing(trust: Trust) -> None:
    held = job()
    decision = decided(held, Verdict.REQUIRE_APPROVAL)
    good = vote(held, decision)
    for position in range(0, len(good.body), 5):
        body = bytearray(good.body)
        body[position] ^= 1
        reply = answer(trust, held, decision, replace(good, body=bytes(body)))
        assert (reply.permit, reply.refusal) == (None, "votes_bad_signature")


def test_an_admission_is_no_vote(trust: Trust) -> None:
    held = job()
    decision = decided(held, Verdict.REQUIRE_APPROVAL)
    assert answer(trust, held, decision, admission(held, decision)).refusal == "votes_bad_signature"


@pytest.mark.parametrize("body", [b"{}", b"[]", b"not JSON", b'{"approve":true}'])
def test_what_is_signed_as_a_vote_and_is_none_holds_the_job_and_does_not_end_it(trust: Trust, body: bytes) -> None:
    """A refusal that begins with `forged` would deny the job."""
    held = job()
    decision = decided(held, Verdict.REQUIRE_APPROVAL)
    for name in ("api", "dana"):
        reply = answer(trust, held, decision, signer(name).sign("vote", body))
        assert (reply.permit, reply.refusal) == (None, "votes_malformed")


def test_a_no_ends_it_whatever_else_there_is(trust: Trust) -> None:
    held = job()
    decision = decided(held, Verdict.REQUIRE_APPROVAL)
    votes = [vote(held, decision), vote(held, decision, approver="frank", approve=False)]
    assert answer(trust, held, decision, *votes).refusal == "votes_rejected"


def test_one_approver_voting_twice_is_one_vote(trust: Trust) -> None:
    held = job()
    decision = decided(held, Verdict.REQUIRE_APPROVAL, approvals=(replace(MANAGER, quorum=2),))
    twice = [vote(held, decision), vote(held, decision, reason="looked again")]
    assert answer(trust, held, decision, *twice).refusal == "votes_quorum"
    two = [vote(held, decision), vote(held, decision, approver="frank")]
    assert answer(trust, held, decision, *two).permit is not None


def test_all_requirements_must_be_met(trust: Trust) -> None:
    held = job()
    security = ApprovalRequirement(rule="other", roles=("security",))
    decision = decided(held, Verdict.REQUIRE_APPROVAL, approvals=(MANAGER, security))
    manager = vote(held, decision)
    officer = vote(held, decision, approver="olga", roles=("security",))
    assert answer(trust, held, decision, manager).refusal == "votes_quorum"
    assert answer(trust, held, decision, manager, officer).permit is not None


def test_an_approver_may_be_named(trust: Trust) -> None:
    held = job()
    decision = decided(
        held, Verdict.REQUIRE_APPROVAL, approvals=(ApprovalRequirement(rule="r", roles=(), names=("erin",)),)
    )
    assert answer(trust, held, decision, vote(held, decision, roles=())).permit is not None
    assert answer(trust, held, decision, vote(held, decision, approver="frank")).refusal == "votes_quorum"


def test_a_requirement_that_names_nobody_is_met_by_nobody(trust: Trust) -> None:
    held = job()
    decision = decided(held, Verdict.REQUIRE_APPROVAL, approvals=(ApprovalRequirement(rule="r", roles=()),))
    assert answer(trust, held, decision, vote(held, decision)).refusal == "votes_quorum"


def test_a_rule_can_demand_votes_signed_with_own_keys(trust: Trust) -> None:
    held = job()
    decision = decided(held, Verdict.REQUIRE_APPROVAL, approvals=(replace(MANAGER, signed=True),))
    assert answer(trust, held, decision, vote(held, decision)).refusal == "votes_quorum"
    own = vote(held, decision, by="dana", approver="dana", roles=())
    assert answer(trust, held, decision, own).permit is not None


def test_too_many_votes_are_not_even_looked_at(trust: Trust) -> None:
    held = job()
    decision = decided(held, Verdict.REQUIRE_APPROVAL)
    assert answer(trust, held, decision, *([vote(held, decision)] * 65)).refusal == "votes_too_many"


def test_a_release_is_for_one_attempt(trust: Trust) -> None:
    """Whoever hands jobs over cannot count attempts up and run what was released once again and again."""
    held = job()
    decision = decided(held, Verdict.REQUIRE_APPROVAL)
    released = vote(held, decision, attempt=2)
    assert [answer(trust, held, decision, released, attempt=attempt).refusal for attempt in (1, 2, 3)] == [
        "votes_other_attempt",
        None,
        "votes_other_attempt",
    ]


# Time -----------------------------------------------------------------------------------------------------------------

SKEW_MS = CLOCK_SKEW_S * 1000


@pytest.mark.parametrize("verdict", [Verdict.ALLOW, Verdict.DENY, Verdict.REQUIRE_APPROVAL])
def test_before_its_time_a_job_gets_no_permit_and_is_neither_ended_nor_held(trust: Trust, verdict: Verdict) -> None:
    wanted = job(run_at_ms=NOW_MS + SKEW_MS + 1)
    reply = answer(trust, wanted, decided(wanted, verdict))
    assert (reply.permit, reply.refusal) == (None, "not_yet")


def test_a_clock_that_is_a_little_behind_does_not_keep_a_job_back(trust: Trust) -> None:
    wanted = job(run_at_ms=NOW_MS + SKEW_MS)
    assert answer(trust, wanted, decided(wanted)).permit is not None


@pytest.mark.parametrize(("attempt", "refusal"), [(1, "deadline_passed"), (2, None)])
def test_after_its_deadline_a_job_does_not_start_and_one_that_started_in_time_goes_on(
    trust: Trust, attempt: int, refusal: str | None
) -> None:
    wanted = job(deadline_ms=NOW_MS)
    assert answer(trust, wanted, decided(wanted), attempt=attempt).refusal == refusal
    assert answer(trust, wanted, decided(wanted), attempt=attempt, now_ms=NOW_MS - 1).permit is not None


def test_a_forged_job_is_told_of_whatever_its_time(trust: Trust) -> None:
    wanted = job(run_at_ms=NOW_MS * 2)
    forged = replace(wanted, topic="job.other")
    admitted = admission(wanted, decided(wanted))
    assert answer(trust, forged, decided(forged), admitted=admitted).refusal == "forged_admission_other_job"


# Over a rate limit ----------------------------------------------------------------------------------------------------


def test_within_a_limit_no_vote_is_needed(trust: Trust) -> None:
    wanted = job()
    decision = decided(wanted, Verdict.THROTTLE, within=Verdict.ALLOW, throttles=(LIMIT_HOLD,))
    assert answer(trust, wanted, decision).permit is not None


def test_held_over_a_limit_needs_its_approvers(trust: Trust) -> None:
    held = job()
    decision = decided(held, Verdict.THROTTLE, within=Verdict.ALLOW, throttles=(LIMIT_HOLD,))
    admitted = admission(held, decision, outcome=Outcome.HELD)
    assert answer(trust, held, decision, admitted=admitted).refusal == "needs_approval"
    manager = vote(held, decision)
    assert answer(trust, held, decision, manager, admitted=admitted).refusal == "votes_quorum"
    approver = vote(held, decision, roles=("approver",))
    assert answer(trust, held, decision, approver, admitted=admitted).permit is not None


def test_who_is_asked_about_a_job_held_over_a_limit() -> None:
    wanted = job()
    named = ApprovalRequirement(rule="limit", roles=("traffic",))
    hold = decided(wanted, Verdict.THROTTLE, within=Verdict.ALLOW, throttles=(LIMIT_HOLD, LIMIT_REJECT))
    assert required_approvals(hold, Outcome.ACCEPTED) == ()
    assert [item.roles for item in required_approvals(hold, Outcome.HELD)] == [("approver",)]
    assert required_approvals(replace(hold, approvals=(named,)), Outcome.HELD) == (named,)
    assert required_approvals(decided(wanted, Verdict.DENY), Outcome.HELD) == ()
    assert required_approvals(decided(wanted, Verdict.REQUIRE_APPROVAL), None) == (MANAGER,)
    nameless = decided(wanted, Verdict.REQUIRE_APPROVAL, approvals=())
    assert [item.roles for item in required_approvals(nameless, None)] == [("approver",)]


def test_the_forged_records_above_are_of_the_fields_there_are() -> None:
    """A new field of a signed record needs a forgery of its own."""
    assert {name for changes, _ in FORGED_ADMISSIONS.values() for name in changes} - {"by"} == set(
        Admission.__dataclass_fields__
    ) - {"outcome", "verdict", "snapshot", "issued_ms"}
    assert {name for changes, _ in FORGED_VOTES.values() for name in changes} - {"by"} == set(Vote.__dataclass_fields__)


def test_forged_is_what_a_gate_may_catch() -> None:
    with pytest.raises(Forged):
        open_signed(Signed(b"{}", "ed25519:x", b""), Vote, Keyring(()))
