"""Sessions of the console."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation, Query
from holdgate.scheduler.api.operations.terms import ANY_KEY, API, PAGE, STATE_ERRORS
from holdgate.scheduler.api.routes import sessions

ALL = Query(
    "all", {"type": "string", "enum": ["true", "false"], "default": "false"}, "Those of everybody in the tenant."
)

# One row a call; read across, not down.
# fmt: off
SESSIONS: tuple[Operation, ...] = (
    Operation(
        "GET", f"{API}/sessions", "listSessions", "Who is signed in to the console", sessions.list_sessions,
        "sessions", ANY_KEY, reply="SessionPage", query=(*PAGE, ALL), errors=("forbidden", "bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "DELETE", f"{API}/sessions/{{session_id}}", "endSession", "Sign somebody out", sessions.end_session, "sessions",
        ANY_KEY, reply="SessionEnded", errors=("session_not_found", *STATE_ERRORS),
    ),
)
# fmt: on
