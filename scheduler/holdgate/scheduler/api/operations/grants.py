"""Standing grants: jobs of a kind that people released before they came."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation
from holdgate.scheduler.api.operations.terms import API, APPROVER, PAGE, SEES_APPROVALS, STATE_ERRORS, VOTE_ERRORS
from holdgate.scheduler.api.routes import grants
from holdgate.scheduler.identity.keys import Role

_PART_ERRORS = (
    "approval_self",
    "approval_forbidden",
    "approval_duplicate_vote",
    "approval_reason_required",
    "approval_confirmation_required",
    "approval_too_soon",
    "approval_stale_policy",
)

# One row a call; read across, not down.
# fmt: off
GRANTS: tuple[Operation, ...] = (
    Operation(
        "GET", f"{API}/grants", "listGrants", "Standing grants, newest first", grants.list_grants, "approvals",
        SEES_APPROVALS, reply="GrantPage", query=PAGE, errors=("bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "POST", f"{API}/grants", "requestGrant", "Ask for a standing grant over a held job", grants.request_grant,
        "approvals", APPROVER, reply="Grant", status=201, request="GrantForm",
        errors=tuple(dict.fromkeys((
            *VOTE_ERRORS, *_PART_ERRORS, "job_not_found", "grant_forbidden", "grant_limit", "no_policy", "unavailable",
        ))),
    ),
    Operation(
        "GET", f"{API}/grants/{{grant_id}}", "getGrant", "One standing grant, and the jobs that it released",
        grants.get_grant, "approvals", SEES_APPROVALS, reply="GrantShown", errors=("grant_not_found", *STATE_ERRORS),
    ),
    Operation(
        "POST", f"{API}/grants/{{grant_id}}/approve", "approveGrant", "Give one's part of a grant, as it was shown",
        grants.approve_grant, "approvals", APPROVER, reply="Grant", request="GrantApprovalForm",
        errors=(
            "grant_not_found", "grant_ended", "grant_stale", *_PART_ERRORS, "kernel_unavailable", "nats_unavailable",
            "no_policy", *STATE_ERRORS,
        ),
    ),
    Operation(
        "POST", f"{API}/grants/{{grant_id}}/revoke", "revokeGrant", "End a grant, or refuse one that is pending",
        grants.revoke_grant, "approvals", frozenset({Role.APPROVER, Role.OPERATOR}), reply="Grant",
        request="GrantEndForm",
        errors=(
            "grant_not_found", "grant_ended", "approval_forbidden", "approval_reason_required", *STATE_ERRORS,
        ),
    ),
)
# fmt: on
