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
    "destroyed_at": nullable(TIME),
}
SEALED_VOTE = record(
    {"approver": text(), "act": text(enum=[str(item) for item in Act]), "reason": text(), "cast_at": TIME}
)
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
            "votes": listed(SEALED_VOTE),
            "can_open": BOOLEAN,
            "resolved_at": nullable(TIME),
            "resolved_by": nullable(text()),
        }
    ),
    "QuarantineForm": record({"digest": text(minLength=1, maxLength=128), "reason": REASON_IN}),
    "QuarantineActed": record({"job_id": ID_OUT, "status": STATUS, "state": STATE, "votes_missing": COUNT}),
}
