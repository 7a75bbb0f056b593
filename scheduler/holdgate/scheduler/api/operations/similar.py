"""Jobs like a held one."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation
from holdgate.scheduler.api.operations.terms import API, SEES_APPROVALS, STATE_ERRORS
from holdgate.scheduler.api.routes import similar

# One row a call; read across, not down.
# fmt: off
SIMILAR: tuple[Operation, ...] = (
    Operation(
        "GET", f"{API}/approvals/{{job_id}}/similar", "listSimilar", "What happened to jobs like this one",
        similar.list_similar, "approvals", SEES_APPROVALS, reply="SimilarPage",
        errors=("approval_not_found", *STATE_ERRORS),
    ),
)
# fmt: on
