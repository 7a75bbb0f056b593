"""The queue of held jobs: what waits, kept fresh while somebody looks, and decisions on several at once."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from holdgate.kernel.ids import is_same
from holdgate.scheduler.api.operations.terms import SEES_APPROVALS
from holdgate.scheduler.console.advice import advice_of, words_of
from holdgate.scheduler.console.content import picked_of
from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.visit import ApiProblem, Visit
from holdgate.scheduler.console.waiting import ORDERS, SEVERITIES, Filters, filters_of, rows_of
from holdgate.scheduler.words.durations import duration

ROWS_MAX = 100
SELECTED_MAX = 100
PICK = "pick-"


async def queue(visit: Visit) -> Response:
    """`GET /approvals`"""
    return visit.page("approvals/queue.html", **await _queue_context(visit))


async def rows(visit: Visit) -> Response:
    """`GET /approvals/rows`: the list alone, as the page's script asks for it when something changed"""
    return visit.part("approvals/rows.html", **await _queue_context(visit))


async def events(visit: Visit) -> Response:
    """`GET /approvals/events`: told whenever something changed among what is held"""
    return await visit.stream("/approvals/events")


async def selected(visit: Visit) -> Response:
    """`POST /approvals/selected`: those picked in the queue, to be decided in one act"""
    picked = [(name.removeprefix(PICK), value) for name, value in await visit.fields() if name.startswith(PICK)]
    if not picked:
        return visit.go("/approvals", "Nothing was selected.")
    return await _selected_page(visit, picked[:SELECTED_MAX])


async def decide_selected(visit: Visit) -> Response:
    """`POST /approvals/bulk`: the same verdict and reason for each"""
    form = await visit.form()
    picked = [(name.removeprefix(PICK), value) for name, value in await visit.fields() if name.startswith(PICK)]
    body = {
        "verdict": form.get("verdict", ""),
        "reason": form.get("reason", ""),
        "items": [_bound(job_id, shown) for job_id, shown in picked],
        **({"confirm": form["confirm"]} if form.get("confirm") else {}),
    }
    try:
        done = await visit.post("/approvals/bulk", body)
    except ApiProblem as problem:
        return await _selected_page(visit, picked, problem=problem, reason=form.get("reason", ""))
    told = {item["job_id"]: words_of(item["code"])[0] for item in done["items"] if item.get("code")}
    return visit.page("approvals/done.html", items=done["items"], told=told)


async def _queue_context(visit: Visit) -> dict[str, Any]:
    filters = filters_of(visit.query)
    page = await visit.get("/approvals", limit=str(ROWS_MAX), **filters.query())
    me = visit.principal.actor
    return {
        "filters": filters,
        "rows": rows_of(page["items"]),
        "more": _more(filters, page["next_cursor"]),
        "focus": visit.query.get("at", ""),
        "mine_voted": {
            row["job_id"] for row in page["items"] if any(is_same(vote["approver"], me) for vote in row["votes"])
        },
        "severities": SEVERITIES,
        "orders": ORDERS,
        "gravest": filters.link("/approvals", order="gravest", cursor="") if page["next_cursor"] else "",
    }


def _more(filters: Filters, cursor: str | None) -> str:
    return filters.link("/approvals", cursor=cursor) if cursor else ""


async def _selected_page(
    visit: Visit, picked: list[tuple[str, str]], *, problem: ApiProblem | None = None, reason: str = ""
) -> Response:
    items, altered = await picked_of(visit, picked)
    return visit.page(
        "approvals/selected.html",
        status=problem.status if problem else 200,
        items=items,
        altered=altered,
        gone=len(picked) - len(items) - len(altered),
        wait_s=max((one.item["reading_left_s"] for one in items), default=0),
        reading_s=max((one.item["reading_s"] for one in items), default=0),
        duration=duration,
        reason=reason,
        confirm=next((one.item["confirm"] for one in items if one.item["confirm"]), ""),
        problem=advice_of(problem) if problem else None,
    )


def _bound(job_id: str, shown: str) -> dict[str, str]:
    job_hash, _, snapshot = shown.partition(" ")
    return {"job_id": job_id, "job_hash": job_hash, "snapshot": snapshot}


PAGES: tuple[Page, ...] = (
    Page("GET", "/approvals", queue, "Approvals", SEES_APPROVALS, "a"),
    Page("GET", "/approvals/rows", rows, roles=SEES_APPROVALS),
    Page("GET", "/approvals/events", events, roles=SEES_APPROVALS),
    Page("POST", "/approvals/selected", selected, roles=SEES_APPROVALS),
    Page("POST", "/approvals/bulk", decide_selected, roles=SEES_APPROVALS),
)
