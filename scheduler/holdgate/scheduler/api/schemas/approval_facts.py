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

PORTION: dict[str, Schema] = {
    "payload_shown": {**BOOLEAN, "description": "Whether there is one; false where it is gone, or cannot be had."},
    "payload_bytes": {**nullable(COUNT), "description": "Its length."},
    "payload_left_out": {**BOOLEAN, "description": "Longer than `payload_bytes_max`, and so not in the reply."},
}
APPROVAL_FACTS_COMPONENTS: dict[str, Schema] = {
    "Masked": record(
        {
            "job_id": ID_OUT,
            **PORTION,
            "scanned": BOOLEAN,
            "masked": COUNT,
            "shown": nullable(
                record(
                    {
                        "topic": text(),
                        "capability": nullable(text()),
                        "risk_tags": TEXTS,
                        "requires": TEXTS,
                        "secrets": TEXTS,
                        "concurrency_key": nullable(text()),
                        "labels": ANY,
                        "payload": ANY,
                        "prompt": nullable(text()),
                    }
                )
            ),
        }
    ),
    "RevealForm": record({}),
    "Revealed": record({"job_id": ID_OUT, "labels": LABELS_OUT, "prompt": nullable(text()), "payload": ANY, **PORTION}),
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
