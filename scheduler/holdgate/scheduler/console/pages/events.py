"""The audit trail, as far as it is not archived yet: of the tenant, and of the system itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.visit import Visit
from holdgate.scheduler.identity.keys import Role

TRAILS = (("events", "Tenant"), ("system", "System"))
SEES = frozenset({Role.AUDITOR, Role.OPERATOR})
ROWS_MAX = 100
SHOWN = ("seq", "time", "type", "tenant", "job_id")
"""Members of an event that have a column of their own."""


async def show(visit: Visit) -> Response:
    """`GET /audit`: an operator reads the system's trail alone"""
    reads_own = visit.principal.has(Role.AUDITOR)
    trails = TRAILS if reads_own else TRAILS[1:]
    trail = visit.query.get("trail", "")
    trail = trail if trail in dict(trails) else trails[0][0]
    order = "oldest" if visit.query.get("order") == "oldest" else "newest"
    page = await visit.get(f"/audit/{trail}", limit=str(ROWS_MAX), order=order, cursor=visit.query.get("cursor"))
    return visit.page(
        "audit/list.html",
        trails=trails,
        trail=trail,
        order=order,
        events=[(event, details_of(event)) for event in page["items"]],
        next_cursor=page["next_cursor"],
    )


def details_of(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What else the event says, as names and texts."""
    return [
        (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in event.items()
        if name not in SHOWN and value not in (None, "", [], {})
    ]


PAGES = (Page("GET", "/audit", show, nav="Audit", roles=SEES),)
