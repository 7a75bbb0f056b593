"""Who is signed in where, and how to end it."""

from __future__ import annotations

from starlette.responses import Response

from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.visit import Visit
from holdgate.scheduler.identity.keys import Role


async def show(visit: Visit) -> Response:
    """The page: one's own sessions, and for an admin those of everybody in the tenant."""
    is_admin = visit.principal.has(Role.ADMIN)
    everybodys = is_admin and visit.query.get("all") == "true"
    found = await visit.get("/sessions", all="true" if everybodys else None, cursor=visit.query.get("cursor"))
    return visit.page("sessions/list.html", found=found, everybodys=everybodys, is_admin=is_admin)


async def end(visit: Visit) -> Response:
    """Sign a session out; one's own leads to the sign-in page."""
    await visit.send("DELETE", f"/sessions/{visit.path['session_id']}")
    if visit.path["session_id"] == visit.session.sid:
        return visit.go("/sign-in")
    return visit.go("/sessions", "The session was ended.")


PAGES = (Page("GET", "/sessions", show), Page("POST", "/sessions/{session_id}/end", end))
