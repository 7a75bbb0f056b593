"""One signed vote, opened: whether it holds for exactly this job, attempt and policy, and by whom it was cast. No IO.

The one place that says so: the kernel asks here before it signs a permit, and a worker that demands votes of its own
before it runs one.

What always holds: a vote counts only where its signature holds, for the job, attempt and policy that it was given for,
until it expires, with a reason, and by and for nobody of whom the job is. An approver's own key votes in its holder's
name alone, never for another person and never for a grant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from holdgate.kernel import limits
from holdgate.kernel.errors import Forged, InvalidInput
from holdgate.kernel.ids import ActorId, Digest, people_of, person_of
from holdgate.kernel.links import Signed, Vote
from holdgate.kernel.permits import Keyring, open_signed
from holdgate.kernel.records import Job

VOTES_MAX = 64
"""Signed votes that one permit request, or one handover, may carry; each costs a signature check."""


class VotesInvalid(Forged):
    """the votes do not release this job"""

    code = "votes_invalid"


@dataclass(frozen=True, slots=True)
class VoteTarget:
    """What a vote must be for."""

    job: Job
    job_hash: Digest
    snapshot: Digest
    attempt: int


class KeyHolder(Protocol):
    """A person with a key of their own."""

    @property
    def actor(self) -> ActorId:
        """The person's name."""
        ...


@dataclass(frozen=True, slots=True)
class VoteKeys:
    """Who may sign votes: the api for anybody, people for themselves. `own` says by fingerprint whose key it is."""

    api: Keyring
    approvers: Keyring
    own: Mapping[str, KeyHolder]


@dataclass(frozen=True, slots=True)
class OpenedVote:
    """A vote that holds. `person`: for whom it counts, the approver or who delegated it. `own_key`: not by the api."""

    vote: Vote
    person: ActorId
    own_key: bool


def open_vote(signed: Signed, target: VoteTarget, keys: VoteKeys, now_ms: int) -> OpenedVote:
    """The vote inside; VotesInvalid otherwise, whose `code` begins with `votes_` and says what is wrong with it."""
    own = keys.own.get(signed.key)
    vote = _typed_vote(signed, keys.api if own is None else keys.approvers)
    person = vote.on_behalf_of or vote.approver
    if own is not None and person_of(vote.approver) != person_of(own.actor):
        raise VotesInvalid("a vote signed with somebody else's key", code="votes_other_approver")
    _verify_target(vote, target)
    _verify_time(vote, now_ms)
    of_the_job = people_of((target.job.actor, *target.job.principals))
    if not vote.approver or not of_the_job.isdisjoint(people_of((vote.approver, person))):
        raise VotesInvalid("a vote by the submitter, or by someone it acts for", code="votes_self")
    if own is not None and (person_of(person) != person_of(vote.approver) or vote.grant is not None):
        raise VotesInvalid("only the api votes for others, or for a grant", code="votes_other_approver")
    if not vote.reason.strip():
        raise VotesInvalid("a vote without a reason", code="votes_no_reason")
    return OpenedVote(vote, person, own is not None)


def _typed_vote(signed: Signed, keyring: Keyring) -> Vote:
    """The vote inside, with fields of their types: whoever has a key can sign anything with it."""
    try:
        vote = open_signed(signed, Vote, keyring)
    except Forged as error:
        code = "votes_malformed" if error.code == Forged.code else f"votes_{error.code}"
        raise VotesInvalid(str(error), code=code) from error
    except InvalidInput as error:
        raise VotesInvalid(f"not a vote: {error}", code="votes_malformed") from error
    texts = (vote.approver, vote.reason, vote.on_behalf_of or "", vote.grant or "")
    if not (
        type(vote.roles) is tuple
        and all(type(text) is str for text in (*texts, *vote.roles))
        and all(type(number) is int for number in (vote.attempt, vote.issued_ms, vote.expires_ms))
        and type(vote.approve) is type(vote.break_glass) is bool
    ):
        raise VotesInvalid("a vote with fields of other types", code="votes_malformed")
    return vote


def _verify_target(vote: Vote, target: VoteTarget) -> None:
    job = target.job
    if (vote.job_id, vote.job_hash, vote.tenant) != (job.job_id, target.job_hash, job.tenant):
        raise VotesInvalid("a vote for another job", code="votes_other_job")
    if vote.attempt != target.attempt:
        raise VotesInvalid("a vote for another attempt", code="votes_other_attempt")
    if vote.snapshot != target.snapshot:
        raise VotesInvalid("a vote given under another policy", code="votes_stale_policy")


def _verify_time(vote: Vote, now_ms: int) -> None:
    if now_ms >= vote.expires_ms:
        raise VotesInvalid("a vote that has expired", code="votes_expired")
    if vote.issued_ms > now_ms + limits.CLOCK_SKEW_S * 1000:
        raise VotesInvalid("a vote from the future", code="votes_early")
