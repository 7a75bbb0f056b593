"""The approval gate: a person releases or rejects exactly the job and the policy that they were shown."""

from __future__ import annotations

from holdgate.scheduler.gates.approval.checks import (
    Approver,
    Shown,
    reading_left_ms,
    verify_may_vote,
    verify_pending,
    verify_reason,
    verify_shown,
)
from holdgate.scheduler.gates.approval.forms import Delegations, Stead, VoteForm
from holdgate.scheduler.gates.approval.fresh import StillHeld
from holdgate.scheduler.gates.approval.gate import ApprovalGate
from holdgate.scheduler.gates.approval.look import Look
from holdgate.scheduler.gates.hints import Hints

__all__ = [
    "ApprovalGate",
    "Approver",
    "Delegations",
    "Hints",
    "Look",
    "Shown",
    "Stead",
    "StillHeld",
    "VoteForm",
    "reading_left_ms",
    "verify_may_vote",
    "verify_pending",
    "verify_reason",
    "verify_shown",
]
