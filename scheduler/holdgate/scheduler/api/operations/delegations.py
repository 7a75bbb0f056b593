"""Delegations: who votes for whom."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation
from holdgate.scheduler.api.operations.terms import API, APPROVER, PAGE, SEES_APPROVALS, STATE_ERRORS
from holdgate.scheduler.api.routes import delegations
from holdgate.scheduler.identity.keys import Role

# One row a call; read across, not down.
# fmt: off
DELEGATIONS: tuple[Operation, ...] = (
    Operation(
        "GET", f"{API}/delegations", "listDelegations", "Who lets whom vote for them", delegations.list_delegations,
        "approvals", SEES_APPROVALS, reply="DelegationPage", query=PAGE, errors=("bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "POST", f"{API}/delegations", "giveDelegation", "Let somebody vote for you", delegations.give_delegation,
        "approvals", APPROVER, reply="Delegation", status=201, request="DelegationForm",
        errors=("approval_reason_required", "delegation_forbidden", "delegation_limit", *STATE_ERRORS),
    ),
    Operation(
        "DELETE", f"{API}/delegations/{{delegation_id}}", "revokeDelegation", "End a delegation",
        delegations.revoke_delegation, "approvals", frozenset({Role.APPROVER, Role.OPERATOR}), reply="Delegation",
        errors=("delegation_not_found", "delegation_ended", *STATE_ERRORS),
    ),
)
# fmt: on
