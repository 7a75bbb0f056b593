"""Sealed outputs: what was found in them, never the content, and the votes that release or destroy them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from holdgate.kernel.canonical import parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.scheduler.api.operations.terms import APPROVER, SEES_APPROVALS
from holdgate.scheduler.console.advice import advice_of, more_needed
from holdgate.scheduler.console.content import log_lines
from holdgate.scheduler.console.found import found_in
from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.tree import tree_of
from holdgate.scheduler.console.visit import ApiProblem, Visit
from holdgate.scheduler.words.durations import time_left

ACTS = {
    "release": "release",
    "release_opened": "release",
    "propose": "release",
    "release_proposed": "release",
    "destroy": "destroy",
}
SOON_S = 3 * 24 * 3600
"""So long before an output is destroyed, its time stands out."""


async def sealed(visit: Visit) -> Response:
    """`GET /quarantine`"""
    page = await visit.get("/quarantine", limit="100", cursor=visit.query.get("cursor"))
    left = {item["job_id"]: _left(item) for item in page["items"]}
    return visit.page("quarantine/list.html", items=page["items"], left=left, next_cursor=page["next_cursor"])


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
        body = {"digest": form.get("digest", ""), "reason": form.get("reason", ""), **_brought(form)}
        done = await visit.post(f"/quarantine/{job_id}/{verb}", body)
    except ApiProblem as problem:
        return await _sealed_page(visit, problem, form)
    return visit.go("/quarantine", _told(done))


def _brought(form: Mapping[str, str]) -> dict[str, Any]:
    """What is to be read, where it is not what was sealed as the API opens it. ApiProblem where it is no JSON."""
    match form["act"]:
        case "release_opened":
            return {"opened": _opened(form.get("opened", "").strip())}
        case "propose":
            return {"replacement": _json(form.get("replacement", ""), "replacement")}
        case "release_proposed":
            return {"replacement_digest": form.get("replacement_digest", "")}
        case _:
            return {}


def _opened(text: str) -> Any:
    """The base64 in an opened file, or that alone."""
    if not text.startswith("{"):
        return text
    document = _json(text, "opened")
    return document.get("opened", "") if isinstance(document, dict) else ""


def _json(text: str, field: str) -> Any:
    try:
        return parse_json(text)
    except MalformedJson as error:
        errors = {"errors": [{"field": field, "detail": str(error)}]}
        raise ApiProblem(422, "invalid_input", f"`{field}` is not JSON", errors) from error


def _told(done: dict[str, Any]) -> str:
    match done["status"]:
        case "released":
            return "Released: who submitted the job can read its result now."
        case "destroyed":
            return "Destroyed: nobody can open it any more."
        case _:
            return f"Your vote counts. {more_needed(done['votes_missing'])}."


def _left(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """How long it still waits, and whether that is short."""
    left = item["remaining_s"]
    return None if left is None else {"text": time_left(left), "is_soon": left < SOON_S}


async def _sealed_page(
    visit: Visit, problem: ApiProblem | None = None, form: Mapping[str, str] | None = None
) -> Response:
    path = f"/quarantine/{visit.path['job_id']}"
    item = await visit.get(path)
    may_vote = visit.principal.has(*APPROVER)
    form = form or {}
    return visit.page(
        "quarantine/sealed.html",
        status=problem.status if problem else 200,
        item=item,
        left=_left(item),
        findings=found_in(item["verdict"]),
        proposed=await _proposed(visit, item) if may_vote else None,
        problem=advice_of(problem) if problem else None,
        reason=form.get("reason", ""),
        replacement=form.get("replacement", ""),
        did=form.get("act", ""),
        may_vote=may_vote,
    )


async def _proposed(visit: Visit, item: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is to be read instead, for whom may vote on it, as far as a page carries it; None for others, and where
    there is nothing."""
    if item["status"] != "sealed" or item["replacement"] is None:
        return None
    try:
        found = await visit.get(f"/quarantine/{item['job_id']}/replacement")
    except ApiProblem as problem:
        if problem.status in {403, 404, 409}:
            return None
        raise
    content = {name: found[name] for name in ("value", "error") if found.get(name) is not None}
    logs = log_lines(found["logs"])
    return {**found, "tree": tree_of(content), "logs": logs, "left_out": len(found["logs"]) - len(logs)}


PAGES: tuple[Page, ...] = (
    Page("GET", "/quarantine", sealed, "Quarantine", SEES_APPROVALS, "q"),
    Page("GET", "/quarantine/{job_id}", show, roles=SEES_APPROVALS),
    Page("POST", "/quarantine/{job_id}/act", act, roles=APPROVER),
)
