"""Votes that a worker demands for itself: each case is something that a compromised api or dispatcher could send."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, Digest
from holdgate.kernel.links import Signed, Vote
from holdgate.kernel.permits import Signer, seal
from holdgate.kernel.records import Job
from holdgate.kernel.votes import VOTES_MAX
from holdgate.workers.errors import MalformedDelivery, PermitRefused, Refusal
from holdgate.workers.permits import Delivery, PermitCheck
from holdgate.workers.session import TRY_ELSEWHERE
from holdgate.workers.votes import PinnedApprover, SignedVotes
from support.handover import DISPATCHER, KERNEL, SNAPSHOT, STRANGER, make_delivery, make_job
from support.trust import NOW_MS, SetClock

ME = "worker-1"
API = Signer.from_seed(b"a" * 32)
DANA, DANAS_OTHER, CARL = (Signer.from_seed(seed * 32) for seed in (b"1", b"2", b"3"))
PINNED = [
    PinnedApprover(ActorId("dana"), DANA.public_key),
    PinnedApprover(ActorId("Dana"), DANAS_OTHER.public_key),
    PinnedApprover(ActorId("carl"), CARL.public_key),
]
HELD = make_job("job.write.all", {"n": 1}, principals=("boss",))


def yes(by: Signer = DANA, approver: str = "dana", **changes: Any) -> Signed:
    """A vote for the second attempt of `HELD`, signed by its approver."""
    made = Vote(
        job_id=HELD.job_id,
        job_hash=HELD.job_hash(),
        snapshot=SNAPSHOT,
        tenant=HELD.tenant,
        approver=ActorId(approver),
        roles=(),
        approve=True,
        reason="looked at it",
        attempt=2,
        issued_ms=NOW_MS,
        expires_ms=NOW_MS + 60_000,
    )
    return seal(replace(made, **changes), by)


def check(needed: int) -> PermitCheck:
    return PermitCheck(
        kernel_keys=[KERNEL.public_key],
        dispatcher_keys=[DISPATCHER.public_key],
        worker=ME,
        pool="default",
        clock=SetClock(),
        accept_fail_open=True,
        signed_votes=SignedVotes(needed, PINNED),
    )


def delivery(*votes: Signed, job: Job = HELD, **changes: Any) -> dict[str, Any]:
    permit = {"verdict": "require_approval", "approvers": ("dana",), "now_ms": NOW_MS, **changes}
    return {**make_delivery(job, ME, attempt=2, **permit), "votes": [vote.as_dict() for vote in votes]}


def runs(needed: int, given: dict[str, Any]) -> bool:
    refusal = None
    try:
        check(needed).verify(Delivery.from_dict(given))
    except PermitRefused as error:
        refusal = error.refusal
    assert refusal in (None, Refusal.VOTES_UNSIGNED)
    return refusal is None


REFUSED: dict[str, tuple[int, tuple[Signed, ...]]] = {
    "no votes": (1, ()),
    "too few": (2, (yes(),)),
    "the same person twice": (2, (yes(), yes(reason="again"))),
    "the same person with another key": (2, (yes(), yes(DANAS_OTHER))),
    "the same person in capitals": (2, (yes(), yes(DANAS_OTHER, "Dana"))),
    "for another job": (1, (yes(job_id="job_other"),)),
    "of another content": (1, (yes(job_hash=Digest("sha256:" + "1" * 64)),)),
    "of another tenant": (1, (yes(tenant="rival"),)),
    "under another policy": (1, (yes(snapshot=Digest("sha256:" + "1" * 64)),)),
    "for the attempt before": (1, (yes(attempt=1),)),
    "for the next attempt": (1, (yes(attempt=3),)),
    "expired": (1, (yes(expires_ms=NOW_MS),)),
    "from the future": (1, (yes(issued_ms=NOW_MS + 60_000),)),
    "without a reason": (1, (yes(reason=" "),)),
    "a no": (1, (yes(approve=False),)),
    "a no beside enough": (1, (yes(), yes(CARL, "carl", approve=False))),
    "by a key that is not pinned": (1, (yes(STRANGER),)),
    "by the api for somebody": (1, (yes(API),)),
    "by the kernel": (1, (yes(KERNEL),)),
    "in somebody else's name": (1, (yes(DANA, "carl"),)),
    "for somebody else": (1, (yes(on_behalf_of=ActorId("carl")),)),
    "for a grant": (1, (yes(grant="grant_1"),)),
    "altered": (1, (replace(yes(), body=yes().body.replace(b"looked", b"booked")),)),
    "signed for another purpose": (1, (DANA.sign("permit", yes().body),)),
    "no vote at all": (1, (DANA.sign("vote", b"{}"),)),
    "not even JSON": (1, (DANA.sign("vote", b"{"),)),
}


@pytest.mark.parametrize(("needed", "votes"), REFUSED.values(), ids=REFUSED)
def test_a_held_job_does_not_run(needed: int, votes: tuple[Signed, ...]) -> None:
    assert not runs(needed, delivery(*votes))
    assert runs(0, delivery(*votes)), "nothing else is wrong with it"


@pytest.mark.parametrize("name", ["agent-1", "boss"])
def test_nobody_releases_what_is_done_for_them(name: str) -> None:
    pinned = [PinnedApprover(ActorId(name), DANA.public_key)]
    check_of_one = SignedVotes(1, pinned)
    given = Delivery.from_dict(delivery(yes(DANA, name)))
    permit = check(0).verify(given)
    with pytest.raises(PermitRefused, match="votes_self"):
        check_of_one.verify(permit, given.job, given.votes, NOW_MS)


def test_a_held_job_runs_with_enough_people_whatever_else_there_is() -> None:
    assert runs(1, delivery(yes()))
    assert runs(2, delivery(yes(API), yes(), yes(STRANGER), yes(CARL, "carl")))


@pytest.mark.parametrize("permit", [{"approvers": ()}, {"verdict": "throttle"}])
def test_either_the_verdict_or_the_approvers_tell_that_it_was_held(permit: dict[str, Any]) -> None:
    assert not runs(1, delivery(**permit))


def test_a_job_that_was_not_held_needs_no_vote() -> None:
    assert runs(2, delivery(verdict="allow", approvers=()))


def test_votes_that_do_not_hold_do_not_use_up_the_attempt() -> None:
    once = check(1)
    with pytest.raises(PermitRefused):
        once.verify(Delivery.from_dict(delivery()))
    assert once.verify(Delivery.from_dict(delivery(yes()))).attempt == 2


def test_another_worker_may_demand_less() -> None:
    assert Refusal.VOTES_UNSIGNED in TRY_ELSEWHERE


@pytest.mark.parametrize("votes", [None, "yes", [1], [{}], {"a": 1}, [yes().as_dict()] * (VOTES_MAX + 1)])
def test_votes_of_another_form_are_no_delivery(votes: Any) -> None:
    with pytest.raises(MalformedDelivery):
        Delivery.from_dict({**delivery(), "votes": votes})


def test_a_dispatcher_that_hands_no_votes_over_is_understood() -> None:
    given = delivery(verdict="allow", approvers=())
    del given["votes"]
    assert Delivery.from_dict(given).votes == ()


def test_a_worker_that_demands_more_people_than_it_knows_does_not_start() -> None:
    SignedVotes(2, PINNED)
    with pytest.raises(InvalidInput, match="SIGNED_VOTES` is 3 and 2 approvers are pinned"):
        SignedVotes(3, PINNED)
