"""What is known of an approval, and what may be asked of it. Plain records, no IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from holdgate.kernel.ids import ActorId, Digest, JobId
from holdgate.kernel.links import Signed
from holdgate.kernel.records import ApprovalRequirement, Decision, Outcome, Severity
from holdgate.kernel.standing import Ballot, Tally, all_missing, has_escalated, tally
from holdgate.scheduler.state.approvals import demands
from holdgate.scheduler.state.approvals.shape import shape_of
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
    """A vote on record: who, in which roles, yes or no, why, when, and the signed link.

    `keyed`: the roles that the approver's API keys gave them, which count as long as these do. `is_void`: it counts no
    more, for the keys let them approve no more.
    """

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
    keyed: tuple[str, ...] = ()
    is_void: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """An approval as it stands. `round` counts how often approvers were asked (policy changes void votes).

    `job_shape` is what `shape` is made of beside the rules; '' where it is not known.
    """

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
    escalated_ms: int | None = None
    job_shape: str = ""

    @property
    def severity(self) -> Severity:
        """The gravest of its rules."""
        return demands.severity_of(self.requirements)

    @property
    def rules(self) -> tuple[str, ...]:
        """Ids of the rules that hold the job."""
        return demands.rules_of(self.requirements)

    @property
    def reason(self) -> str:
        """Why the gravest of them holds it, and how many more there are."""
        return demands.reason_of(self.requirements)

    @property
    def shape(self) -> str:
        """What it has in common with others that one look can decide together (`approvals.shape`)."""
        return shape_of(self.job_shape, self.rules)

    @property
    def reading_s(self) -> int:
        """How long an approver must have had it before them."""
        return demands.reading_s_of(self.requirements)

    @property
    def confirm(self) -> str:
        """The text to type; '' for none."""
        return demands.confirm_of(self.requirements)

    def has_escalated(self, now_ms: int) -> bool:
        """Whether others than those first named may vote by now."""
        return any(has_escalated(item, self.created_ms, now_ms) for item in self.requirements)


@dataclass(frozen=True, slots=True)
class PastRound:
    """What approvers were asked, and said, before the present round: the last one in which anybody voted, or the one
    before. `decision` is what the kernel had said of the job; `status` how the round stood when it ended."""

    status: ApprovalStatus
    job_hash: Digest
    snapshot: Digest
    requirements: tuple[ApprovalRequirement, ...]
    round: int
    created_ms: int
    ended_ms: int
    decision: Decision
    votes: tuple[CastVote, ...]


@dataclass(frozen=True, slots=True)
class HeldChange:
    """Something of a held job changed. `seq` is that of the audit event."""

    seq: int
    job_id: JobId
    state: State


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """A vote to cast. `job_hash` and `snapshot` are as the approver was shown; `fresh` is the snapshot under which the
    kernel holds the job at this moment; `signed` is the sealed `Vote`, by the approver's `own_key` or by the api.

    `confirm` is what the approver typed. `has_read`: in an earlier round, under rules of the same definition.
    `details` go on the record with the vote.
    """

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
    keyed: tuple[str, ...] = ()
    confirm: str = ""
    has_read: bool = False
    details: tuple[tuple[str, str | tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class VoteResult:
    """`status` after the vote: PENDING (more votes needed), RELEASED (wake `pool`) or REJECTED.

    `votes_missing`: of the ordinary ones; `glass_votes`: people who broke the glass, None where a rule forbids it.
    `broke_glass`: released by two who broke the glass, without whom the quorum was not met.
    """

    status: ApprovalStatus
    state: State
    pool: str | None = None
    votes_missing: int = 0
    glass_votes: int | None = None
    broke_glass: bool = False


@dataclass(frozen=True, slots=True)
class Redecision:
    """The kernel decided again on a job that is held, or queued and picked (`reservation`).

    deny → DENIED, with `code`; somebody must release it (`custody.required_approvals(decision, outcome)`) → HELD under
    a new approval of `decision.snapshot`; otherwise → QUEUED. `outcome` is the one of the job's admission. `job_shape`
    is needed where the job may become held for the first time.
    """

    job_id: JobId
    decision: Decision
    reservation: str | None = None
    outcome: Outcome | None = None
    code: str = "denied"
    job_shape: str = ""


def ballot_of(vote: CastVote) -> Ballot:
    """The vote as it counts."""
    return Ballot(
        approver=vote.approver,
        person=vote.on_behalf_of or vote.approver,
        roles=frozenset(vote.roles),
        cast_ms=vote.cast_ms,
        own_key=vote.own_key,
        break_glass=vote.break_glass,
        by_grant=vote.grant is not None,
    )


def votes_missing(view: ApprovalView, votes: Sequence[CastVote]) -> int:
    """How many more approvals are needed until every requirement has its quorum; 0 means released."""
    return all_missing(view.requirements, _ballots(votes), view.created_ms)


def tally_of(view: ApprovalView, votes: Sequence[CastVote]) -> Tally:
    """What is missing of either kind, ordinary votes and those that break the glass."""
    return tally(view.requirements, _ballots(votes), view.created_ms)


def _ballots(votes: Sequence[CastVote]) -> list[Ballot]:
    return [ballot_of(vote) for vote in votes if vote.approve and not vote.is_void]
