"""Who is signed in where, and how to end it."""

from __future__ import annotations

from starlette.responses import Response

from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.visit import Visit


async def show(visit: Visit) -> Response:
    """The page."""
    return visit.page("sessions/list.html", sessions=[])


PAGES = (Page("GET", "/sessions", show),)
