"""Delegations."""

from __future__ import annotations

from holdgate.kernel import limits
from holdgate.scheduler.api.schemas.shapes import (
    ACTOR,
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

DELEGATIONS_COMPONENTS: dict[str, Schema] = {
    "Delegation": record(
        {
            "delegation_id": text(pattern="^delegation_[0-9a-f-]{36}$"),
            "status": text(enum=["active", "revoked", "expired"]),
            "delegator": text(),
            "delegate": text(),
            "roles": TEXTS,
            "reason": text(),
            "given_at": TIME,
            "expires_at": TIME,
            "revoked_at": nullable(TIME),
            "revoked_by": nullable(text()),
        }
    ),
    "DelegationPage": page(ref("Delegation")),
    "DelegationForm": record(
        {
            "delegate": text(pattern=ACTOR),
            "roles": listed(
                text(minLength=1, maxLength=limits.LABEL_KEY_CHARS_MAX),
                minItems=1,
                maxItems=limits.TAGS_MAX,
                uniqueItems=True,
            ),
            "until": TIME,
            "reason": REASON_IN,
        }
    ),
}
