"""Votes that a worker demands for itself: signed by people whose keys it pinned, for the very run it was permitted.

With this, whoever took over the api cannot release a job here: the kernel takes the api's word for who voted, a worker
that wants signed votes takes nobody's. It trusts the kernel for which jobs need a release at all. What always holds:
of one person one vote counts, and only a vote for this job, hash, attempt and policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, people_of, person_of
from holdgate.kernel.links import Permit, Signed
from holdgate.kernel.permits import Keyring, fingerprint
from holdgate.kernel.records import Job, Verdict
from holdgate.kernel.votes import VoteKeys, VotesInvalid, VoteTarget, open_vote
from holdgate.workers.errors import PermitRefused, Refusal


@dataclass(frozen=True, slots=True)
class PinnedApprover:
    """A person and a key of theirs that a worker believes; one person may have several."""

    actor: ActorId
    public_key: bytes


class SignedVotes:
    """Says whether enough people released a run with their own keys. `needed` 0: nobody must."""

    def __init__(self, needed: int, approvers: Iterable[PinnedApprover]) -> None:
        """InvalidInput when fewer people are pinned than are needed: nothing that was held would ever run."""
        known = {fingerprint(item.public_key): item for item in approvers}
        people = people_of(item.actor for item in known.values())
        if needed > len(people):
            raise InvalidInput(
                f"`HOLDGATE_WORKER_SIGNED_VOTES` is {needed} and {len(people)} approvers are pinned; "
                "add `approver_keys` to the file of `HOLDGATE_KERNEL_KEYS_FILE`, or want fewer"
            )
        self._needed = needed
        self._keys = VoteKeys(Keyring(()), Keyring(item.public_key for item in known.values()), known)

    def verify(self, permit: Permit, job: Job, votes: Sequence[Signed], now_ms: int) -> None:
        """PermitRefused when the kernel let a held job through and too few of `votes` hold here."""
        if not self._needed or not (permit.approvers or permit.verdict == Verdict.REQUIRE_APPROVAL):
            return
        target = VoteTarget(job, permit.job_hash, permit.snapshot, permit.attempt)
        people: set[str] = set()
        problem = ""
        for signed in votes:
            try:
                vote = open_vote(signed, target, self._keys, now_ms).vote
            except VotesInvalid as error:
                problem = problem or f"; {error.code}: {error}"
                continue
            if not vote.approve:
                raise PermitRefused(Refusal.VOTES_UNSIGNED, "an approver rejected this job")
            people.add(person_of(vote.approver))
        if len(people) < self._needed:
            raise PermitRefused(
                Refusal.VOTES_UNSIGNED, f"{len(people)} of {self._needed} people signed its release{problem}"
            )


NO_VOTES_NEEDED = SignedVotes(0, ())
