"""Standing grants."""

from __future__ import annotations

from holdgate.kernel import limits
from holdgate.scheduler.api.schemas.shapes import (
    COUNT,
    DIGEST,
    ID_OUT,
    LABELS_OUT,
    REASON_IN,
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
from holdgate.scheduler.state.grants import GrantStatus

_CONFIRM = nullable(text(minLength=1, maxLength=limits.REASON_CHARS_MAX))
_PART = record({"approver": text(), "roles": TEXTS, "reason": text(), "given_at": TIME})
GRANT: dict[str, Schema] = {
    "grant_id": text(pattern="^grant_[0-9a-f-]{36}$"),
    "status": text(enum=[str(item) for item in GrantStatus]),
    "grant_digest": DIGEST,
    "actor": text(),
    "principals": TEXTS,
    "topic": text(),
    "labels": LABELS_OUT,
    "capability": nullable(text()),
    "rules": TEXTS,
    "snapshot": DIGEST,
    "uses_max": COUNT,
    "uses": COUNT,
    "uses_left": COUNT,
    "requested_by": text(),
    "requested_at": TIME,
    "expires_at": TIME,
    "ended_at": nullable(TIME),
    "ended_by": nullable(text()),
    "reason": text(),
    "job_id": ID_OUT,
    "requirements": listed(ref("Requirement")),
    "approvals": listed(_PART),
    "approvals_missing": COUNT,
}
GRANTS_COMPONENTS: dict[str, Schema] = {
    "Grant": record(GRANT),
    "GrantPage": page(ref("Grant")),
    "GrantShown": record({**GRANT, "used_by": listed(record({"job_id": ID_OUT, "used_at": TIME}))}),
    "GrantForm": record(
        {
            "job_id": text(minLength=1, maxLength=64),
            "job_hash": text(minLength=1, maxLength=128),
            "snapshot": text(minLength=1, maxLength=128),
            "labels": listed(
                text(minLength=1, maxLength=limits.LABEL_KEY_CHARS_MAX),
                maxItems=limits.GRANT_LABELS_MAX,
                uniqueItems=True,
            ),
            "uses_max": {"type": "integer", "minimum": 1, "maximum": limits.GRANT_USES_MAX},
            "expires_at": TIME,
            "reason": REASON_IN,
            "confirm": _CONFIRM,
        },
        optional=frozenset({"confirm"}),
    ),
    "GrantApprovalForm": record(
        {"grant_digest": text(minLength=1, maxLength=128), "reason": REASON_IN, "confirm": _CONFIRM},
        optional=frozenset({"confirm"}),
    ),
    "GrantEndForm": record({"reason": REASON_IN}),
}
