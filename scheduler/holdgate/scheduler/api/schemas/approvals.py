"""Approvals and votes."""

from __future__ import annotations

from holdgate.scheduler.api.schemas.jobs import JOB_FACTS
from holdgate.scheduler.api.schemas.shapes import (
    ANY,
    BOOLEAN,
    COUNT,
    DIGEST,
    ID_OUT,
    OBJECT,
    REASON_IN,
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

APPROVAL_ROW: dict[str, Schema] = {
    "job_id": ID_OUT,
    "status": text(enum=[str(item) for item in ApprovalStatus]),
    "job_hash": DIGEST,
    "snapshot": DIGEST,
    "previous_snapshot": nullable(DIGEST),
    "topic": text(),
    "actor": text(),
    "principals": TEXTS,
    "round": COUNT,
    "created_at": TIME,
    "expires_at": TIME,
    "resolved_at": nullable(TIME),
    "deferred_until": nullable(TIME),
    "requirements": listed(ref("Requirement")),
    "votes": listed(
        record({"approver": text(), "roles": TEXTS, "approve": BOOLEAN, "reason": text(), "cast_at": TIME})
    ),
}
VOTED = record({"job_id": ID_OUT, "status": text(), "state": STATE, "votes_missing": COUNT})
APPROVALS_COMPONENTS: dict[str, Schema] = {
    "ApprovalRow": record(APPROVAL_ROW),
    "ApprovalPage": page(ref("ApprovalRow")),
    "Approval": record(
        {
            **APPROVAL_ROW,
            "job": record({**JOB_FACTS, "state": STATE, "prompt": nullable(text())}),
            "payload": ANY,
            "payload_shown": BOOLEAN,
            "decision": ref("Decision"),
            "rules": TEXTS,
            "reason": text(),
            "constraints": OBJECT,
        }
    ),
    "VoteForm": record({"job_hash": text(maxLength=128), "snapshot": text(maxLength=128), "reason": REASON_IN}),
    "Voted": VOTED,
    "DeferForm": record({"until": TIME, "reason": REASON_IN}),
}
