"""Standing grants: proposed over a held job, completed by others, looked at, ended.

What always holds: an approver sends back the digest of the terms that the page showed, and who proposes one the job's
hash and the snapshot; what a grant covers is read from what the call answers, never from the form.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from holdgate.kernel.ids import is_same
from holdgate.scheduler.api.operations.terms import APPROVER, SEES_APPROVALS
from holdgate.scheduler.console.advice import advice_of, more_needed
from holdgate.scheduler.console.content import facts_of, masked_of
from holdgate.scheduler.console.held import asked_of
from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.pages.delegations import end_of_day
from holdgate.scheduler.console.visit import ApiProblem, Visit
from holdgate.scheduler.identity.keys import Role

LABEL = "label-"
REVOKES = APPROVER | {Role.OPERATOR}
NO_DRAFT: Mapping[str, str] = {"uses_max": "20", "until": "", "reason": "", "confirm": ""}


async def listed(visit: Visit) -> Response:
    """`GET /grants`"""
    page = await visit.get("/grants", limit="100", cursor=visit.query.get("cursor"))
    return visit.page("grants/list.html", items=page["items"], next_cursor=page["next_cursor"])


async def new(visit: Visit) -> Response:
    """`GET /grants/new`: the form, about the held job of `job_id`"""
    return await _new_page(visit, visit.query.get("job_id", ""))


async def propose(visit: Visit) -> Response:
    """`POST /grants`"""
    form = await visit.form()
    uses = form.get("uses_max", "")
    body: dict[str, Any] = {name: form.get(name, "") for name in ("job_id", "job_hash", "snapshot", "reason")}
    body |= {
        "labels": [name.removeprefix(LABEL) for name in form if name.startswith(LABEL)],
        "uses_max": int(uses) if uses.isdecimal() and len(uses) < 9 else 0,
        "expires_at": end_of_day(form.get("until", "")),
    }
    if form.get("confirm"):
        body["confirm"] = form["confirm"]
    try:
        made = await visit.post("/grants", body)
    except ApiProblem as problem:
        return await _new_page(visit, form.get("job_id", ""), problem, form)
    return visit.go(f"/grants/{made['grant_id']}", _told(made))


async def show(visit: Visit) -> Response:
    """`GET /grants/{grant_id}`"""
    return await _grant_page(visit)


async def approve(visit: Visit) -> Response:
    """`POST /grants/{grant_id}/approve`: one's part of it"""
    form = await visit.form()
    body = {"grant_digest": form.get("grant_digest", ""), "reason": form.get("reason", "")}
    if form.get("confirm"):
        body["confirm"] = form["confirm"]
    return await _done(visit, "approve", body)


async def end(visit: Visit) -> Response:
    """`POST /grants/{grant_id}/revoke`: end it, or refuse one that is pending"""
    return await _done(visit, "revoke", {"reason": (await visit.form()).get("reason", "")})


async def _done(visit: Visit, act: str, body: Mapping[str, Any]) -> Response:
    grant_id = visit.path["grant_id"]
    try:
        made = await visit.post(f"/grants/{grant_id}/{act}", body)
    except ApiProblem as problem:
        return await _grant_page(visit, problem, act, body)
    return visit.go(f"/grants/{grant_id}", _told(made))


def _told(grant: Mapping[str, Any]) -> str:
    match grant["status"]:
        case "pending":
            return f"Your part is in. {more_needed(grant['approvals_missing'])} before it releases anything."
        case "active":
            return f"The grant is active: it releases up to {grant['uses_max']} jobs."
        case _:
            return "The grant is ended. What it released before stays released."


async def _new_page(
    visit: Visit, job_id: str, problem: ApiProblem | None = None, draft: Mapping[str, str] = NO_DRAFT
) -> Response:
    # An id in a path, so that nothing else can be asked for with it.
    job_id = job_id.replace("/", "")
    item, masked = await asyncio.gather(facts_of(visit, job_id), masked_of(visit, job_id, 0))
    shown = masked["shown"]
    return visit.page(
        "grants/new.html",
        status=problem.status if problem else 200,
        item=item,
        labels=shown["labels"] if shown else {},
        chosen={name.removeprefix(LABEL) for name in draft if name.startswith(LABEL)} if problem else None,
        asked=asked_of(item),
        problem=advice_of(problem, draft) if problem else None,
        draft={**NO_DRAFT, **draft},
    )


async def _grant_page(
    visit: Visit, problem: ApiProblem | None = None, act: str = "", draft: Mapping[str, Any] = NO_DRAFT
) -> Response:
    grant = await visit.get(f"/grants/{visit.path['grant_id']}")
    me = visit.principal.actor
    confirm = " ".join(dict.fromkeys(need["confirm"] for need in grant["requirements"] if need["confirm"]))
    return visit.page(
        "grants/grant.html",
        status=problem.status if problem else 200,
        grant=grant,
        confirm=confirm,
        gave=any(is_same(part["approver"], me) for part in grant["approvals"]),
        is_approver=visit.principal.has(*APPROVER),
        may_end=visit.principal.has(*REVOKES),
        problem=advice_of(problem) if problem else None,
        act=act,
        reason=draft.get("reason", ""),
    )


PAGES: tuple[Page, ...] = (
    Page("GET", "/grants", listed, "Grants", SEES_APPROVALS),
    Page("POST", "/grants", propose, roles=APPROVER),
    Page("GET", "/grants/new", new, roles=APPROVER),
    Page("GET", "/grants/{grant_id}", show, roles=SEES_APPROVALS),
    Page("POST", "/grants/{grant_id}/approve", approve, roles=APPROVER),
    Page("POST", "/grants/{grant_id}/revoke", end, roles=REVOKES),
)
