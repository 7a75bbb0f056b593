"""Delegations: who may vote for whom, since when and until when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from holdgate.scheduler.api.operations.terms import APPROVER, SEES_APPROVALS
from holdgate.scheduler.console.advice import advice_of
from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.visit import ApiProblem, Visit
from holdgate.scheduler.identity.keys import Role

ROLE = "role-"
NO_DRAFT: Mapping[str, str] = {"delegate": "", "reason": "", "until": ""}
NOT_PASSED_ON = frozenset({*map(str, Role), "break_glass"}) - {str(Role.APPROVER)}
"""Roles that are offered to nobody; what may be delegated is decided by the call."""


async def listed(visit: Visit) -> Response:
    """`GET /delegations`"""
    return await _list_page(visit)


async def give(visit: Visit) -> Response:
    """`POST /delegations`"""
    form = await visit.form()
    body = {
        "delegate": form.get("delegate", "").strip(),
        "roles": [name.removeprefix(ROLE) for name in form if name.startswith(ROLE)],
        "until": end_of_day(form.get("until", "")),
        "reason": form.get("reason", ""),
    }
    try:
        given = await visit.post("/delegations", body)
    except ApiProblem as problem:
        return await _list_page(visit, problem, form)
    return visit.go("/delegations", f"{given['delegate']} may vote for you.")


async def revoke(visit: Visit) -> Response:
    """`POST /delegations/{delegation_id}/revoke`"""
    try:
        await visit.send("DELETE", f"/delegations/{visit.path['delegation_id']}")
    except ApiProblem as problem:
        return await _list_page(visit, problem)
    return visit.go("/delegations", "Revoked. Votes that were cast by it stand.")


def end_of_day(date: str) -> str:
    """The last second of a day that a form names, in UTC."""
    return f"{date}T23:59:59Z" if date else ""


async def _list_page(visit: Visit, problem: ApiProblem | None = None, draft: Mapping[str, str] = NO_DRAFT) -> Response:
    page = await visit.get("/delegations", limit="100", cursor=visit.query.get("cursor"))
    chosen = {name.removeprefix(ROLE) for name in draft if name.startswith(ROLE)}
    context: dict[str, Any] = {
        "items": page["items"],
        "next_cursor": page["next_cursor"],
        "problem": advice_of(problem, draft) if problem else None,
        "draft": {**NO_DRAFT, **draft},
        "roles": sorted(visit.principal.roles - NOT_PASSED_ON),
        "chosen": chosen,
        "may_give": visit.principal.has(*APPROVER),
        "may_revoke_all": visit.principal.has(Role.OPERATOR),
    }
    return visit.page("delegations/list.html", status=problem.status if problem else 200, **context)


PAGES: tuple[Page, ...] = (
    Page("GET", "/delegations", listed, "Delegations", SEES_APPROVALS),
    Page("POST", "/delegations", give, roles=APPROVER),
    Page("POST", "/delegations/{delegation_id}/revoke", revoke, roles=SEES_APPROVALS),
)
