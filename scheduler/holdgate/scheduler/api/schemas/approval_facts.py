"""What an approver looks at beside the approval itself."""

from __future__ import annotations

from holdgate.scheduler.api.schemas.shapes import (
    ANY,
    BOOLEAN,
    COUNT,
    ID_OUT,
    LABELS_OUT,
    TEXTS,
    TIME,
    Schema,
    listed,
    nullable,
    record,
    ref,
    text,
)

APPROVAL_FACTS_COMPONENTS: dict[str, Schema] = {
    "Masked": record(
        {
            "job_id": ID_OUT,
            "payload_shown": BOOLEAN,
            "scanned": BOOLEAN,
            "masked": COUNT,
            "shown": nullable(record({"labels": ANY, "payload": ANY, "prompt": nullable(text())})),
        }
    ),
    "RevealForm": record({}),
    "Revealed": record({"job_id": ID_OUT, "labels": LABELS_OUT, "prompt": nullable(text()), "payload": ANY}),
    "ApprovalRule": record(
        {
            "id": text(),
            "deciding": BOOLEAN,
            "bundle": nullable(text()),
            "version": nullable(COUNT),
            "published_at": nullable(TIME),
            "signers": TEXTS,
            "file": nullable(text()),
            "line": nullable(COUNT),
            "text": nullable(text()),
            "as_decided": nullable(BOOLEAN),
        }
    ),
    "ApprovalRules": record({"items": listed(ref("ApprovalRule"))}),
}
