"""What an approver looks at beside the approval itself."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation
from holdgate.scheduler.api.operations.terms import (
    API,
    APPROVER,
    PAYLOAD_MAX,
    SEES_APPROVALS,
    STATE_ERRORS,
    STORE_ERRORS,
)
from holdgate.scheduler.api.routes import approval_facts

_ERRORS = ("approval_not_found", "approval_altered", "job_not_found", "log_unavailable", *STATE_ERRORS)

# One row a call; read across, not down.
# fmt: off
APPROVAL_FACTS: tuple[Operation, ...] = (
    Operation(
        "GET", f"{API}/approvals/{{job_id}}/masked", "getMasked", "What would be released, with its secrets masked",
        approval_facts.get_masked, "approvals", SEES_APPROVALS, reply="Masked", query=(PAYLOAD_MAX,), errors=_ERRORS,
    ),
    Operation(
        "POST", f"{API}/approvals/{{job_id}}/reveal", "reveal", "The same as it was sent; who asks is recorded",
        approval_facts.reveal, "approvals", APPROVER, reply="Revealed", request="RevealForm",
        request_required=False, query=(PAYLOAD_MAX,), errors=_ERRORS,
    ),
    Operation(
        "GET", f"{API}/approvals/{{job_id}}/rules", "listApprovalRules", "The rules that matched, as they are written",
        approval_facts.list_rules, "approvals", SEES_APPROVALS, reply="ApprovalRules",
        errors=("approval_not_found", "job_not_found", *STORE_ERRORS, *STATE_ERRORS),
    ),
)
# fmt: on
