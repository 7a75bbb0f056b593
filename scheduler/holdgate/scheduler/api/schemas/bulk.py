"""Votes in bulk."""

from __future__ import annotations

from holdgate.kernel import limits
from holdgate.scheduler.api.schemas.shapes import (
    COUNT,
    ID_OUT,
    REASON_IN,
    STATE,
    Schema,
    listed,
    nullable,
    record,
    text,
)

_SHOWN = text(maxLength=128)
_JOB_ID = text(pattern="^job_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
BULK_COMPONENTS: dict[str, Schema] = {
    "BulkForm": record(
        {
            "verdict": text(enum=["approve", "reject"]),
            "reason": REASON_IN,
            "confirm": nullable(text(minLength=1, maxLength=limits.REASON_CHARS_MAX)),
            "items": listed(
                record({"job_id": _JOB_ID, "job_hash": _SHOWN, "snapshot": _SHOWN}),
                minItems=1,
                maxItems=limits.BULK_JOBS_MAX,
            ),
        },
        optional=frozenset({"confirm"}),
    ),
    "BulkVoted": record(
        {
            "items": listed(
                record(
                    {
                        "job_id": ID_OUT,
                        "status": nullable(text()),
                        "state": nullable(STATE),
                        "votes_missing": nullable(COUNT),
                        "code": nullable(text()),
                        "detail": nullable(text()),
                    }
                )
            )
        }
    ),
}
