"""Store and kernel agree on what releases a held job: for all requirements, votes and rates, over what was signed."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdgate.bundles.root import Root
from holdgate.kernel.custody import PermitRequest, answer_permit
from holdgate.kernel.ids import ActorId, Digest, WorkerId
from holdgate.kernel.links import Signed
from holdgate.kernel.records import ApprovalRequirement, Decision, Outcome, Phase, Verdict
from holdgate.kernel.standing import BREAK_GLASS_ROLE, ESCALATION_ROLE
from holdgate.kernel.trust import Trust
from holdgate.scheduler.state.approvals import ApprovalStatus, ApprovalView, CastVote
from holdgate.scheduler.state.approvals.records import votes_missing
from support.trust import NOW_MS, Ceremony, admission, job, signer, vote

SNAPSHOT = Digest("sha256:" + "1" * 64)
HELD = job()
HELD_MS = NOW_MS - 3_600_000
PEOPLE = ["ann", "bob", "cid", "dee"]
ROLES = ["manager", "security", BREAK_GLASS_ROLE, ESCALATION_ROLE]
KEYS = {"ann": ("manager",), "bob": ("security", BREAK_GLASS_ROLE)}
PLAIN_ROOT = Ceremony(approvers=KEYS).root.model_dump(mode="json")
ROOTS = [
    Root.model_validate({**PLAIN_ROOT, "approver_roles": [{"name": name} for name in names]}).trust()
    for names in ([], ROLES, ROLES[:2])
]


def some(values: list[str], most: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=most, unique=True).map(tuple)


REQUIREMENTS = st.lists(
    st.builds(
        ApprovalRequirement,
        rule=st.just("r"),
        roles=some(ROLES[:2], 2),
        names=some(PEOPLE, 2),
        quorum=st.sampled_from([1, 1, 2, 3]),
        escalate_after_s=st.none() | st.just(1800),
        escalate_roles=some(ROLES[:2], 1),
        excluded=st.sampled_from([(), (), ("cid",), ("dee",)]),
        signed=st.sampled_from([False, False, False, True]),
        grants=st.booleans(),
        break_glass=st.booleans(),
    ),
    min_size=1,
    max_size=2,
)
CAST = st.fixed_dictionaries(
    {
        "approver": st.sampled_from(PEOPLE),
        "roles": some(ROLES, 3),
        "issued_ms": st.sampled_from([HELD_MS, HELD_MS + 1_799_999, HELD_MS + 1_800_000]),
        "break_glass": st.sampled_from([False, False, True]),
        "on_behalf_of": st.none() | st.sampled_from([None, *PEOPLE]),
        "grant": st.sampled_from([None, None, "grant_1"]),
        "own": st.sampled_from([False, False, True]),
    }
)


@given(REQUIREMENTS, st.lists(CAST, min_size=1, max_size=4), st.sampled_from(ROOTS))
@settings(max_examples=600, deadline=None)
def test_the_kernel_permits_what_the_store_released_and_nothing_else(
    requirements: list[ApprovalRequirement], casts: list[dict[str, Any]], trust: Trust
) -> None:
    decision = Decision(
        verdict=Verdict.REQUIRE_APPROVAL,
        reason="because",
        snapshot=SNAPSHOT,
        job_hash=HELD.job_hash(),
        phase=Phase.DISPATCH,
        decided_ms=NOW_MS,
        deciding=("r",),
        approvals=tuple(requirements),
    )
    votes = [_voted(decision, cast, trust) for cast in casts]
    request = PermitRequest(
        HELD,
        admission(HELD, decision, outcome=Outcome.HELD, issued_ms=HELD_MS),
        1,
        "default",
        WorkerId("w1"),
        tuple(item.signed for item in votes),
    )
    reply = answer_permit(request, decision, trust, signer("kernel"), NOW_MS)
    assert (reply.permit is not None) is (votes_missing(_view(decision), votes) == 0), reply.refusal


def _voted(decision: Decision, cast: dict[str, Any], trust: Trust) -> CastVote:
    """A vote as gate and store keep it, in those roles that the root lets count."""
    own = cast["own"] and cast["approver"] in KEYS
    said: dict[str, Any] = {name: value for name, value in cast.items() if name != "own"}
    if own:
        # The gate takes none in somebody's stead, nor for a grant.
        said.update(on_behalf_of=None, grant=None, roles=KEYS[cast["approver"]])
    said["roles"] = tuple(sorted(trust.roles_that_count(said["roles"], HELD.tenant, HELD.topic)))
    signed: Signed = vote(HELD, decision, by=cast["approver"] if own else "api", **said)
    return CastVote(
        approver=ActorId(said["approver"]),
        roles=said["roles"],
        approve=True,
        reason="looked at it",
        cast_ms=said["issued_ms"],
        signed=signed,
        own_key=own,
        on_behalf_of=said["on_behalf_of"],
        grant=said["grant"],
        break_glass=said["break_glass"],
    )


def _view(decision: Decision) -> ApprovalView:
    return ApprovalView(
        job_id=HELD.job_id,
        status=ApprovalStatus.PENDING,
        job_hash=decision.job_hash,
        snapshot=decision.snapshot,
        requirements=decision.approvals,
        actor=HELD.actor,
        principals=(),
        topic=HELD.topic,
        created_ms=HELD_MS,
        expires_ms=NOW_MS * 2,
        round=1,
        version=0,
    )
