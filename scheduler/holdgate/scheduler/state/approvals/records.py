"""What is known of an approval, and what may be asked of it. Plain records, no IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from holdgate.kernel.ids import ActorId, Digest, JobId
from holdgate.kernel.records import ApprovalRequirement, Decision, Outcome, Signed
from holdgate.kernel.standing import Ballot, all_missing
from holdgate.scheduler.state.transitions import State


class ApprovalStatus(StrEnum):
    """Where an approval is."""

    PENDING = "pending"
    RELEASED = "released"
    CONSUMED = "consumed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    STALE = "stale"
    """The policy changed after the release; a new one is pending or the job went on without."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class CastVote:
    """A vote on record: who, in which roles, yes or no, why, when, and the signed link."""

    approver: ActorId
    roles: tuple[str, ...]
    approve: bool
    reason: str
    cast_ms: int
    signed: Signed
    own_key: bool = False
    on_behalf_of: ActorId | None = None
    grant: str | None = None
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """An approval as it stands. `round` counts how often approvers were asked (policy changes void votes)."""

    job_id: JobId
    status: ApprovalStatus
    job_hash: Digest
    snapshot: Digest
    requirements: tuple[ApprovalRequirement, ...]
    actor: ActorId
    principals: tuple[ActorId, ...]
    topic: str
    created_ms: int
    expires_ms: int
    round: int
    version: int
    votes: tuple[CastVote, ...] = ()
    resolved_ms: int | None = None
    previous_snapshot: Digest | None = None
    deferred_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """A vote to cast. `job_hash` and `snapshot` are as the approver was shown; `fresh` is the snapshot under which the
    kernel holds the job at this moment; `signed` is the sealed `Vote`, by the approver's `own_key` or by the api."""

    job_id: JobId
    approver: ActorId
    roles: tuple[str, ...]
    approve: bool
    reason: str
    job_hash: Digest
    snapshot: Digest
    fresh: Digest
    signed: Signed
    own_key: bool = False
    on_behalf_of: ActorId | None = None
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class VoteResult:
    """`status` after the vote: PENDING (more votes needed), RELEASED (wake `pool`) or REJECTED."""

    status: ApprovalStatus
    state: State
    pool: str | None = None
    votes_missing: int = 0


@dataclass(frozen=True, slots=True)
class Redecision:
    """The kernel decided again on a job that is held, or queued and picked (`reservation`).

    deny → DENIED, with `code`; somebody must release it (`custody.required_approvals(decision, outcome)`) → HELD under
    a new approval of `decision.snapshot`; otherwise → QUEUED. `outcome` is the one of the job's admission.
    """

    job_id: JobId
    decision: Decision
    reservation: str | None = None
    outcome: Outcome | None = None
    code: str = "denied"


def ballot_of(vote: CastVote) -> Ballot:
    """The vote as it counts."""
    person = vote.on_behalf_of or vote.approver
    return Ballot(vote.approver, person, frozenset(vote.roles), vote.cast_ms, vote.own_key, vote.break_glass)


def votes_missing(view: ApprovalView, votes: Sequence[CastVote]) -> int:
    """How many more approvals are needed until every requirement has its quorum; 0 means released."""
    return all_missing(view.requirements, [ballot_of(vote) for vote in votes if vote.approve], view.created_ms)
