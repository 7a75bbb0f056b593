"""Jobs like a held one."""

from __future__ import annotations

from holdgate.scheduler.api.schemas.shapes import (
    BOOLEAN,
    ID_OUT,
    STATE,
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
from holdgate.scheduler.state.approvals import ApprovalStatus

SIMILAR_COMPONENTS: dict[str, Schema] = {
    "PastJob": record(
        {
            "job_id": ID_OUT,
            "actor": text(),
            "state": STATE,
            "status": text(enum=[str(item) for item in ApprovalStatus]),
            "held_at": TIME,
            "decided_at": nullable(TIME),
            "decided_by": TEXTS,
            "votes": listed(
                record(
                    {
                        "approver": text(),
                        "on_behalf_of": nullable(text()),
                        "approve": BOOLEAN,
                        "reason": text(),
                        "grant": nullable(text()),
                        "cast_at": TIME,
                    }
                )
            ),
        }
    ),
    "SimilarPage": page(ref("PastJob")),
}
