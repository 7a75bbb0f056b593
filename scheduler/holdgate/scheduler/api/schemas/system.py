"""Problems, lists of an operator, and how the system is."""

from __future__ import annotations

from holdgate.scheduler.api.problems import KINDS
from holdgate.scheduler.api.schemas.shapes import (
    CHECKS,
    COUNT,
    ID_OUT,
    OBJECT,
    TEXTS,
    TIME,
    Schema,
    listed,
    nullable,
    page,
    record,
    ref,
    text,
)

PROBLEM = record(
    {
        "type": text(),
        "title": text(),
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": text(enum=sorted(KINDS)),
        "detail": text(),
        "trace_id": text(),
        "retry_after_s": COUNT,
        "errors": listed(record({"field": text(), "detail": text()})),
        "job_id": ID_OUT,
        "rule": nullable(text()),
        "reason": text(),
        "decision": ref("Decision"),
        "remediations": listed(ref("Remediation")),
        "checks": CHECKS,
    },
    optional=frozenset(
        {"trace_id", "retry_after_s", "errors", "job_id", "rule", "reason", "decision", "remediations", "checks"}
    ),
)
SYSTEM_COMPONENTS: dict[str, Schema] = {
    "Problem": PROBLEM,
    "WorkerPage": page(
        record(
            {
                "worker": text(),
                "pool": text(),
                "topics": TEXTS,
                "capabilities": TEXTS,
                "capacity": COUNT,
                "busy": COUNT,
                "seen_at": TIME,
            }
        )
    ),
    "PoolPage": page(
        record(
            {"pool": text(), "workers": COUNT, "capacity": COUNT, "busy": COUNT, "topics": TEXTS, "capabilities": TEXTS}
        )
    ),
    "Health": record({"status": {"const": "ok"}}),
    "Ready": record({"status": text(enum=["ready", "degraded"]), "checks": CHECKS}),
    "Status": record(
        {"version": text(), "tenant": text(), "time": TIME, "checks": CHECKS, "jobs": OBJECT}, closed=False
    ),
    "Description": OBJECT,
    "Stream": text(),
}
