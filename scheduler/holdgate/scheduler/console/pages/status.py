"""How the system is, as `GET /api/v1/status` says."""

from __future__ import annotations

from starlette.responses import Response

from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.visit import Visit


async def show(visit: Visit) -> Response:
    """The page."""
    return visit.page("system/status.html", system=await visit.get("/status"))


PAGES = (Page("GET", "/status", show, nav="Status", key="s"),)
