"""Approvals: what waits for a person, and the votes on it."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation
from holdgate.scheduler.api.operations.terms import (
    API,
    APPROVER,
    PAGE,
    SEES_APPROVALS,
    STATE_ERRORS,
    VOTE_ERRORS,
)
from holdgate.scheduler.api.routes import approvals

# One row a call; read across, not down.
# fmt: off
APPROVALS: tuple[Operation, ...] = (
    Operation(
        "GET", f"{API}/approvals", "listApprovals", "What waits for a person", approvals.list_approvals, "approvals",
        SEES_APPROVALS, reply="ApprovalPage", query=PAGE, errors=("bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/approvals/{{job_id}}", "getApproval", "One approval, and all that it would release",
        approvals.get_approval, "approvals", SEES_APPROVALS, reply="Approval",
        errors=("approval_not_found", "job_not_found", "log_unavailable", *STATE_ERRORS),
    ),
    Operation(
        "POST", f"{API}/approvals/{{job_id}}/approve", "approve", "Release exactly what was shown", approvals.approve,
        "approvals", APPROVER, reply="Voted", request="VoteForm",
        errors=(*VOTE_ERRORS, "no_policy", "unavailable"),
    ),
    Operation(
        "POST", f"{API}/approvals/{{job_id}}/reject", "reject", "Refuse what was shown", approvals.reject, "approvals",
        APPROVER, reply="Voted", request="VoteForm", errors=VOTE_ERRORS,
    ),
    Operation(
        "POST", f"{API}/approvals/{{job_id}}/defer", "defer", "Look at it again later", approvals.defer, "approvals",
        APPROVER, reply="ApprovalRow", request="DeferForm", errors=VOTE_ERRORS,
    ),
)
# fmt: on
