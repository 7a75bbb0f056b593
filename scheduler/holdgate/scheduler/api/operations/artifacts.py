"""Files that runs left."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation
from holdgate.scheduler.api.operations.terms import AGENT_OPERATOR, API, JOB_ERRORS
from holdgate.scheduler.api.routes import artifacts

# One row a call; read across, not down.
# fmt: off
ARTIFACTS: tuple[Operation, ...] = (
    Operation(
        "GET", f"{API}/jobs/{{job_id}}/artifacts/{{artifact}}", "getArtifact", "A file that the gate let through",
        artifacts.get_artifact, "jobs", AGENT_OPERATOR, reply="ArtifactBytes", media="application/octet-stream",
        errors=(
            *JOB_ERRORS, "output_quarantined", "result_not_ready", "result_not_found", "artifact_not_found",
            "log_unavailable",
        ),
    ),
)
# fmt: on
