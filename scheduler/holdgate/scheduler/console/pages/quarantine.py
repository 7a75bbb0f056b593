"""Sealed outputs: what was found in them, never the content, and the votes that release or destroy them."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from holdgate.scheduler.api.operations.terms import APPROVER, SEES_APPROVALS
from holdgate.scheduler.console.advice import advice_of, more_needed
from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.visit import ApiProblem, Visit

ACTS = {"release": "release", "destroy": "destroy"}
FINDINGS_SHOWN_MAX = 200


async def sealed(visit: Visit) -> Response:
    """`GET /quarantine`"""
    page = await visit.get("/quarantine", limit="100", cursor=visit.query.get("cursor"))
    return visit.page("quarantine/list.html", items=page["items"], next_cursor=page["next_cursor"])


async def show(visit: Visit) -> Response:
    """`GET /quarantine/{job_id}`"""
    return await _sealed_page(visit)


async def act(visit: Visit) -> Response:
    """`POST /quarantine/{job_id}/act`: release or destroy, as the button says"""
    form = await visit.form()
    verb = ACTS.get(form.get("act", ""))
    if verb is None:
        return await _sealed_page(visit)
    job_id = visit.path["job_id"]
    try:
        body = {"digest": form.get("digest", ""), "reason": form.get("reason", "")}
        done = await visit.post(f"/quarantine/{job_id}/{verb}", body)
    except ApiProblem as problem:
        return await _sealed_page(visit, problem, form.get("reason", ""))
    return visit.go("/quarantine", _told(done))


def _told(done: dict[str, Any]) -> str:
    match done["status"]:
        case "released":
            return "Released: who submitted the job can read its result now."
        case "destroyed":
            return "Destroyed: nobody can open it any more."
        case _:
            return f"Your vote counts. {more_needed(done['votes_missing'])}."


async def _sealed_page(visit: Visit, problem: ApiProblem | None = None, reason: str = "") -> Response:
    item = await visit.get(f"/quarantine/{visit.path['job_id']}")
    findings = item["verdict"].get("findings") or []
    return visit.page(
        "quarantine/sealed.html",
        status=problem.status if problem else 200,
        item=item,
        findings=findings[:FINDINGS_SHOWN_MAX],
        left_out=max(0, len(findings) - FINDINGS_SHOWN_MAX),
        problem=advice_of(problem) if problem else None,
        reason=reason,
        may_vote=visit.principal.has(*APPROVER),
    )


PAGES: tuple[Page, ...] = (
    Page("GET", "/quarantine", sealed, "Quarantine", SEES_APPROVALS, "q"),
    Page("GET", "/quarantine/{job_id}", show, roles=SEES_APPROVALS),
    Page("POST", "/quarantine/{job_id}/act", act, roles=APPROVER),
)
