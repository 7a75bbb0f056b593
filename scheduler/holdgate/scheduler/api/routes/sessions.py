"""Sessions of the console over HTTP: who is signed in, and how to end it."""

from __future__ import annotations

from typing import Any

from holdgate.kernel.clock import rfc3339
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.paging import page_of, page_reply
from holdgate.scheduler.api.problems import Problem, invalid
from holdgate.scheduler.errors import SessionNotFound
from holdgate.scheduler.identity.keys import Role
from holdgate.scheduler.identity.sessions import SESSION_ID
from holdgate.scheduler.state.sessions import SessionView


async def list_sessions(call: Call) -> Reply:
    """`GET /sessions`: one's own; with `all=true` those of the tenant, for an admin"""
    page, principal = page_of(call.query, SESSION_ID), call.principal
    everybodys = call.query.get("all", "false")
    if everybodys not in {"true", "false"}:
        raise invalid("all", "must be `true` or `false`")
    if everybodys == "true" and not principal.has(Role.ADMIN):
        raise Problem("forbidden", "sessions of others are shown to an admin")
    whose = None if everybodys == "true" else principal.actor
    found, after = await call.deps.sessions.list_live(principal.tenant, whose, page.limit, page.after)
    return reply_json(page_reply([_row(view) for view in found], after))


async def end_session(call: Call) -> Reply:
    """`DELETE /sessions/{session_id}`: one's own, or any of the tenant for an admin"""
    sid = call.path["session_id"]
    if SESSION_ID.match(sid) is None:
        raise SessionNotFound
    await call.deps.sessions.revoke(call.principal, sid, anybodys=call.principal.has(Role.ADMIN))
    return reply_json({"session_id": sid, "ended": True})


def _row(view: SessionView) -> dict[str, Any]:
    return {
        "session_id": view.sid,
        "actor": view.actor,
        "kind": str(view.shown.get("kind", "")),
        "key_id": str(view.shown.get("key_id", "")),
        "browser": str(view.shown.get("browser", "")),
        "seen_at": rfc3339(view.seen_ms),
        "expires_at": rfc3339(view.expires_ms),
    }
