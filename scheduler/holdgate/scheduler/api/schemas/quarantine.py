"""Sealed outputs and the votes on them."""

from __future__ import annotations

from holdgate.kernel.records import Severity
from holdgate.scheduler.api.schemas.shapes import (
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
from holdgate.scheduler.state.quarantine import Act, SealedStatus

STATUS = text(enum=[str(item) for item in SealedStatus])
QUARANTINE_ROW: dict[str, Schema] = {
    "job_id": ID_OUT,
    "attempt": COUNT,
    "verdict": OBJECT,
    "severity": nullable(text(enum=[str(item) for item in Severity])),
    "status": STATUS,
    "sealed": BOOLEAN,
    "topic": text(),
    "actor": text(),
    "quarantined_at": TIME,
    "expires_at": nullable(TIME),
    "remaining_s": nullable(COUNT),
    "destroyed_at": nullable(TIME),
}
SEALED_VOTE = record(
    {
        "approver": text(),
        "act": text(enum=[str(item) for item in Act]),
        "reason": text(),
        "cast_at": TIME,
        "replacement": nullable(DIGEST),
    }
)
PROPOSED: dict[str, Schema] = {"digest": DIGEST, "proposed_by": text(), "proposed_at": TIME, "votes_missing": COUNT}
DIGEST_IN = text(minLength=1, maxLength=128)
TEXT_LIST: Schema = {"type": "array", "items": {"type": "string"}}
TEXT_MAP: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
REPLACEMENT_IN: Schema = {
    "type": "object",
    "properties": {"value": {}, "logs": TEXT_LIST, "error": nullable(TEXT_MAP)},
    "additionalProperties": False,
    "description": "What is to be read instead of what was sealed; `value` is left out where there is none.",
}
QUARANTINE_COMPONENTS: dict[str, Schema] = {
    "QuarantineRow": record(QUARANTINE_ROW),
    "QuarantinePage": page(ref("QuarantineRow")),
    "Quarantined": record(
        {
            **QUARANTINE_ROW,
            "digest": nullable(DIGEST),
            "principals": TEXTS,
            "quorum": COUNT,
            "votes_missing": COUNT,
            "commitment": nullable(DIGEST),
            "replacement": nullable(ref("QuarantineProposed")),
            "votes": listed(SEALED_VOTE),
            "can_open": BOOLEAN,
            "resolved_at": nullable(TIME),
            "resolved_by": nullable(text()),
        }
    ),
    "QuarantineProposed": record(PROPOSED),
    "QuarantineReplacement": record(
        {"job_id": ID_OUT, **PROPOSED, "value": {}, "logs": TEXT_LIST, "error": nullable(TEXT_MAP)}
    ),
    "QuarantineExport": record(
        {"job_id": ID_OUT, "attempt": COUNT, "digest": DIGEST, "commitment": nullable(DIGEST), "sealed": text()}
    ),
    "QuarantineForm": record({"digest": DIGEST_IN, "reason": REASON_IN}),
    "QuarantineReleaseForm": {
        "type": "object",
        "properties": {
            "digest": DIGEST_IN,
            "reason": REASON_IN,
            "opened": {
                "type": "string",
                "contentEncoding": "base64",
                "description": "What was opened where the key is: the opened file of `holdgate quarantine open`.",
            },
            "replacement": REPLACEMENT_IN,
            "replacement_digest": {**DIGEST_IN, "description": "Of a replacement that was proposed before."},
        },
        "required": ["digest", "reason"],
        "additionalProperties": False,
    },
    "QuarantineActed": record(
        {
            "job_id": ID_OUT,
            "status": STATUS,
            "state": STATE,
            "votes_missing": COUNT,
            "replacement": nullable(DIGEST),
        }
    ),
}
