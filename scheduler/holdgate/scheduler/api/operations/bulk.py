"""One answer to many held jobs."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation
from holdgate.scheduler.api.operations.terms import API, APPROVER, STATE_ERRORS
from holdgate.scheduler.api.routes import bulk

# One row a call; read across, not down.
# fmt: off
BULK: tuple[Operation, ...] = (
    Operation(
        "POST", f"{API}/approvals/bulk", "voteInBulk", "One answer to many held jobs of a kind, each as it was shown",
        bulk.vote_in_bulk, "approvals", APPROVER, reply="BulkVoted", request="BulkForm",
        errors=("bulk_mixed", "bulk_forbidden", "approval_reason_required", *STATE_ERRORS),
    ),
)
# fmt: on
