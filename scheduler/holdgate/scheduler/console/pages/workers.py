"""Workers and the pools that they form."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.visit import Visit
from holdgate.scheduler.identity.keys import Role

SEES = frozenset({Role.OPERATOR, Role.AUDITOR})


async def show(visit: Visit) -> Response:
    """`GET /workers`"""
    return visit.page("workers/page.html", **await _told(visit))


async def lists(visit: Visit) -> Response:
    """`GET /workers/lists`: what changes of the page"""
    return visit.part("workers/lists.html", **await _told(visit))


async def _told(visit: Visit) -> dict[str, Any]:
    pools, workers = await asyncio.gather(visit.get("/pools"), visit.get("/workers"))
    return {"pools": pools["items"], "workers": workers["items"]}


PAGES = (
    Page("GET", "/workers", show, nav="Workers", key="w", roles=SEES),
    Page("GET", "/workers/lists", lists, roles=SEES),
)
