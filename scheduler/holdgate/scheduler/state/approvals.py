"""Approvals: a held job waits for people; their release is bound to the job's hash and the policy's snapshot.

What always holds: one job has at most one pending approval; a vote counts once per approver and only for what it was
shown; a release is used up by the start it allows; a changed policy voids votes. Opened by the scripts that hold a job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from holdgate.kernel.ids import ActorId, Digest, JobId, Tenant
from holdgate.kernel.records import ApprovalRequirement, Decision, Signed
from holdgate.scheduler.state.connection import Scripts
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


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """A vote to cast. `job_hash` and `snapshot` are as the approver was shown; `fresh` is the snapshot under which the
    kernel holds the job at this moment; `signed` is the sealed `Vote`."""

    job_id: JobId
    approver: ActorId
    roles: tuple[str, ...]
    approve: bool
    reason: str
    job_hash: Digest
    snapshot: Digest
    fresh: Digest
    signed: Signed


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

    By verdict: deny → DENIED; require_approval → HELD under a new approval of `decision.snapshot`; others → QUEUED.
    """

    job_id: JobId
    decision: Decision
    reservation: str | None = None


class Approvals:
    """The approvals of a tenant."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def get(self, tenant: Tenant, job_id: JobId) -> ApprovalView | None:
        """The approval with its votes, or None."""
        raise NotImplementedError

    async def require(self, tenant: Tenant, job_id: JobId) -> ApprovalView:
        """The approval; ApprovalNotFound."""
        raise NotImplementedError

    async def list_pending(
        self, tenant: Tenant, limit: int, cursor: str | None = None
    ) -> tuple[list[ApprovalView], str | None]:
        """Pending approvals, newest job first, and the next cursor."""
        raise NotImplementedError

    async def list_other_snapshots(self, tenant: Tenant, snapshot: Digest, limit: int = 256) -> list[ApprovalView]:
        """Pending approvals bound to another snapshot than `snapshot`: to be decided again."""
        raise NotImplementedError

    async def vote(self, tenant: Tenant, request: VoteRequest, now_ms: int) -> VoteResult:
        """Cast a vote. Raises the errors of `errors.APPROVAL_ERRORS`; nothing changed then."""
        raise NotImplementedError

    async def expire(self, tenant: Tenant, now_ms: int, limit: int = 256) -> list[JobId]:
        """Pending approvals past their end: job → `expired` with code `approval_expired`."""
        raise NotImplementedError

    async def redecide(self, tenant: Tenant, requests: Sequence[Redecision], now_ms: int) -> list[State | None]:
        """Apply new decisions, each its own script. The state after each; None when the job was no longer held (or
        the reservation was gone) and nothing changed."""
        raise NotImplementedError


def votes_missing(requirements: Sequence[ApprovalRequirement], votes: Sequence[CastVote]) -> int:
    """How many more approvals are needed until every requirement has its quorum; 0 means released."""
    raise NotImplementedError


def may_vote(requirements: Sequence[ApprovalRequirement], approver: ActorId, roles: Sequence[str]) -> bool:
    """Whether an approver of that name and roles counts towards at least one requirement."""
    raise NotImplementedError
