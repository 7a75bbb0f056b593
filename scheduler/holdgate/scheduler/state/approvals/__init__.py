"""Approvals: a held job waits for people; their release is bound to the job's hash and the policy's snapshot."""

from __future__ import annotations

from holdgate.scheduler.state.approvals.records import (
    ApprovalStatus,
    ApprovalView,
    CastVote,
    Redecision,
    VoteRequest,
    VoteResult,
    ballot_of,
    votes_missing,
)
from holdgate.scheduler.state.approvals.store import Approvals

__all__ = [
    "ApprovalStatus",
    "ApprovalView",
    "Approvals",
    "CastVote",
    "Redecision",
    "VoteRequest",
    "VoteResult",
    "ballot_of",
    "votes_missing",
]
