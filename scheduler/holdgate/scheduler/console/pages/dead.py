"""Dead letters: jobs whose attempts are used up, in two lists, and taking one back into the queue."""

from __future__ import annotations

from starlette.responses import Response

from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.visit import Visit
from holdgate.scheduler.identity.keys import Role

SEES = frozenset({Role.OPERATOR, Role.AUDITOR})
LISTS = (("failed", "Failed"), ("timed_out", "Timed out"))
ROWS_MAX = 50


async def show(visit: Visit) -> Response:
    """`GET /dead`"""
    state = visit.query.get("state", "")
    state = state if state in dict(LISTS) else LISTS[0][0]
    page = await visit.get("/dlq", state=state, limit=str(ROWS_MAX), cursor=visit.query.get("cursor"))
    return visit.page(
        "dead/list.html",
        lists=LISTS,
        state=state,
        jobs=page["items"],
        next_cursor=page["next_cursor"],
        may_retry=visit.principal.has(Role.OPERATOR),
    )


PAGES = (Page("GET", "/dead", show, nav="Dead letters", key="d", roles=SEES),)
