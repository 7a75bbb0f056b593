"""Approvals: what waits for a person, and the votes on it."""

from __future__ import annotations

from holdgate.kernel import limits
from holdgate.kernel.records import Severity
from holdgate.scheduler.api.calls import Operation, Query
from holdgate.scheduler.api.operations.terms import (
    API,
    APPROVER,
    PAGE,
    PAYLOAD_MAX,
    SEES_APPROVALS,
    STATE_ERRORS,
    VOTE_ERRORS,
)
from holdgate.scheduler.api.routes import approvals, held_changes, votes
from holdgate.scheduler.api.schemas.shapes import Schema
from holdgate.scheduler.state.approvals import Order

_TEXT: Schema = {"type": "string", "maxLength": limits.TOPIC_CHARS_MAX}
FILTERS = (
    Query(
        "order",
        {"type": "string", "enum": [str(item) for item in Order], "default": str(Order.NEWEST)},
        "Newest first, what expires first, or the gravest first; those that were put off come last.",
    ),
    Query("rule", _TEXT, "Only what this rule holds."),
    Query("topic", _TEXT, "Only jobs of exactly this topic."),
    Query("severity", {"type": "string", "enum": [str(item) for item in Severity]}, "Only of this severity."),
    Query(
        "mine", {"type": "string", "enum": ["true", "false"], "default": "false"}, "Only what the caller may vote on."
    ),
)
APPROVE_ERRORS = (
    *VOTE_ERRORS,
    "approval_confirmation_required",
    "approval_signature_required",
    "approval_signature_invalid",
    "approval_too_soon",
    "delegation_forbidden",
    "no_policy",
    "unavailable",
)

# One row a call; read across, not down.
# fmt: off
APPROVALS: tuple[Operation, ...] = (
    Operation(
        "GET", f"{API}/approvals", "listApprovals", "What waits for a person", approvals.list_approvals, "approvals",
        SEES_APPROVALS, reply="ApprovalPage", query=(*PAGE, *FILTERS), errors=("bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/approvals/{{job_id}}", "getApproval", "One approval, and all that it would release",
        approvals.get_approval, "approvals", SEES_APPROVALS, reply="Approval",
        query=(PAYLOAD_MAX,),
        errors=("approval_not_found", "approval_altered", "job_not_found", "log_unavailable", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/approvals/events", "streamApprovals", "What changes among held jobs, as it changes",
        held_changes.stream_changes, "approvals", SEES_APPROVALS, reply=None, media="text/event-stream",
        errors=("too_many_waiters", *STATE_ERRORS),
    ),
    Operation(
        "POST", f"{API}/approvals/{{job_id}}/approve", "approve", "Release exactly what was shown", votes.approve,
        "approvals", APPROVER, reply="Voted", request="VoteForm", errors=APPROVE_ERRORS,
    ),
    Operation(
        "POST", f"{API}/approvals/{{job_id}}/reconfirm", "reconfirm", "Release again what was released before",
        votes.reconfirm, "approvals", APPROVER, reply="Voted", request="ReconfirmForm",
        errors=("approval_not_reconfirmable", *APPROVE_ERRORS),
    ),
    Operation(
        "POST", f"{API}/approvals/{{job_id}}/reject", "reject", "Refuse what was shown", votes.reject, "approvals",
        APPROVER, reply="Voted", request="RejectForm",
        errors=(*VOTE_ERRORS, "approval_signature_invalid", "delegation_forbidden"),
    ),
    Operation(
        "POST", f"{API}/approvals/{{job_id}}/defer", "defer", "Look at it again later", votes.defer, "approvals",
        APPROVER, reply="ApprovalRow", request="DeferForm", errors=VOTE_ERRORS,
    ),
)
# fmt: on
