"""Quarantine: sealed outputs, and the votes on them."""

from __future__ import annotations

from holdgate.kernel.limits import ENVELOPE_BYTES_MAX
from holdgate.scheduler.api.calls import Operation
from holdgate.scheduler.api.operations.terms import API, APPROVER, PAGE, SEES_APPROVALS, STATE_ERRORS
from holdgate.scheduler.api.routes import quarantine

SEALED_ERRORS = (
    "quarantine_not_found",
    "quarantine_resolved",
    "quarantine_stale",
    "quarantine_too_many_votes",
    "approval_self",
    "approval_forbidden",
    "approval_duplicate_vote",
    "approval_reason_required",
    *STATE_ERRORS,
)

OPENED_BODY_BYTES_MAX = 4 * ENVELOPE_BYTES_MAX // 3 + 1024 * 1024
"""All that may be in a box, opened and as base64, and what goes with it."""

# One row a call; read across, not down.
# fmt: off
QUARANTINE: tuple[Operation, ...] = (
    Operation(
        "GET", f"{API}/quarantine", "listQuarantine", "Sealed outputs: findings, never content",
        quarantine.list_quarantine, "quarantine", SEES_APPROVALS, reply="QuarantinePage", query=PAGE,
        errors=("bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/quarantine/{{job_id}}", "getQuarantine", "One sealed output, its findings and votes",
        quarantine.get_quarantine, "quarantine", SEES_APPROVALS, reply="Quarantined",
        errors=("quarantine_not_found", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/quarantine/{{job_id}}/sealed", "exportSealed", "The sealed bytes, to be opened where the key is",
        quarantine.export, "quarantine", APPROVER, reply="QuarantineExport",
        errors=(
            "quarantine_not_found", "quarantine_resolved", "quarantine_unopenable", "approval_self",
            "approval_forbidden", "log_unavailable", *STATE_ERRORS,
        ),
    ),
    Operation(
        "GET", f"{API}/quarantine/{{job_id}}/replacement", "getReplacement",
        "What is proposed to be read instead of what was sealed", quarantine.get_replacement, "quarantine", APPROVER,
        reply="QuarantineReplacement",
        errors=(
            "quarantine_not_found", "quarantine_resolved", "approval_self", "approval_forbidden", *STATE_ERRORS,
        ),
    ),
    Operation(
        "POST", f"{API}/quarantine/{{job_id}}/release", "releaseQuarantined",
        "Make what was sealed readable, or what people wrote instead of it; nothing runs again", quarantine.release,
        "quarantine", APPROVER,
        reply="QuarantineActed", request="QuarantineReleaseForm",
        errors=(
            *SEALED_ERRORS, "quarantine_sealed_elsewhere", "quarantine_unopenable", "quarantine_replacement_refused",
            "kernel_unavailable", "nats_unavailable", "log_unavailable",
        ), body_bytes_max=OPENED_BODY_BYTES_MAX,
    ),
    Operation(
        "POST", f"{API}/quarantine/{{job_id}}/destroy", "destroyQuarantined", "Delete what is sealed; its record stays",
        quarantine.destroy, "quarantine", APPROVER, reply="QuarantineActed", request="QuarantineForm",
        errors=SEALED_ERRORS,
    ),
)
# fmt: on
