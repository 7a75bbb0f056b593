"""Approvals: a held job waits for people; their release is bound to the job's hash and the policy's snapshot."""

from __future__ import annotations

from holdgate.scheduler.state.approvals.listing import MARK, ApprovalFilter, Order, Viewer, is_mark
from holdgate.scheduler.state.approvals.records import (
    ApprovalStatus,
    ApprovalView,
    CastVote,
    HeldChange,
    PastRound,
    Redecision,
    VoteRequest,
    VoteResult,
    ballot_of,
    tally_of,
    votes_missing,
)
from holdgate.scheduler.state.approvals.shape import job_shape
from holdgate.scheduler.state.approvals.store import Approvals, VoteNow

__all__ = [
    "MARK",
    "ApprovalFilter",
    "ApprovalStatus",
    "ApprovalView",
    "Approvals",
    "CastVote",
    "HeldChange",
    "Order",
    "PastRound",
    "Redecision",
    "Viewer",
    "VoteNow",
    "VoteRequest",
    "VoteResult",
    "ballot_of",
    "is_mark",
    "job_shape",
    "tally_of",
    "votes_missing",
]
