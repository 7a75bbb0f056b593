"""Sessions of the console."""

from __future__ import annotations

from holdgate.scheduler.api.schemas.shapes import ACTOR, BOOLEAN, TIME, Schema, page, record, text

SESSION_ID = text(pattern="^ses_[0-9a-f-]{36}$")

SESSIONS_COMPONENTS: dict[str, Schema] = {
    "SessionPage": page(
        record(
            {
                "session_id": SESSION_ID,
                "actor": text(pattern=ACTOR),
                "kind": text(enum=["key", "oidc"]),
                "key_id": text(),
                "browser": text(),
                "seen_at": TIME,
                "expires_at": TIME,
            }
        )
    ),
    "SessionEnded": record({"session_id": SESSION_ID, "ended": BOOLEAN}),
}
