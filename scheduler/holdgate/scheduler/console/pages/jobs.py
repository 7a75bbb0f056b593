"""Jobs: the list, and finding some of them."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from holdgate.scheduler.api.schemas.shapes import STATE
from holdgate.scheduler.console.jobfilters import JobFilters, filters_of
from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.visit import ApiProblem, Visit
from holdgate.scheduler.identity.keys import Role

SEES = frozenset({Role.AGENT, Role.APPROVER, Role.OPERATOR, Role.AUDITOR})
STATES: tuple[str, ...] = tuple(STATE["enum"])
ROWS_MAX = 50


async def show(visit: Visit) -> Response:
    """`GET /jobs`"""
    filters = filters_of(visit.query)
    try:
        told = await _told(visit, filters)
    except ApiProblem as problem:
        if problem.status not in {400, 422}:
            raise
        told = {"jobs": [], "next_cursor": None, "problem": _said(problem)}
    # What comes new stands on the first page: later ones are not fetched again and again.
    fresh = not filters.cursor and told["problem"] is None
    return visit.page(
        "jobs/list.html", filters=filters, states=STATES, fresh=fresh, rows_path=filters.path("/jobs/rows"), **told
    )


async def rows(visit: Visit) -> Response:
    """`GET /jobs/rows`: the rows alone"""
    filters = filters_of(visit.query)
    return visit.part("jobs/rows.html", filters=filters, **await _told(visit, filters))


async def _told(visit: Visit, filters: JobFilters) -> dict[str, Any]:
    page = await visit.get("/jobs", limit=str(ROWS_MAX), cursor=filters.cursor, **filters.query)
    return {"jobs": page["items"], "next_cursor": page["next_cursor"], "problem": None}


def _said(problem: ApiProblem) -> str:
    errors = problem.extra.get("errors") or []
    return "; ".join(f"{error['field']}: {error['detail']}" for error in errors) or problem.detail


PAGES = (Page("GET", "/jobs", show, nav="Jobs", key="j", roles=SEES), Page("GET", "/jobs/rows", rows, roles=SEES))
