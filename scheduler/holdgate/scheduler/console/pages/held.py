"""One held job: all that a decision needs, and the decision.

What always holds: a vote sends back the job's hash and the snapshot that the page showed, never fresher ones; a refused
vote shows the page anew, as things are now, with what was typed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from starlette.responses import Response

from holdgate.kernel.clock import parse_rfc3339, rfc3339
from holdgate.kernel.ids import is_same
from holdgate.scheduler.api.operations.terms import APPROVER, SEES_APPROVALS
from holdgate.scheduler.console.advice import advice_of, more_needed, words_of
from holdgate.scheduler.console.content import PAYLOAD_BYTES_MAX, facts_of, masked_of
from holdgate.scheduler.console.held import (
    ENDED,
    asked_of,
    job_context,
    masked_item,
    revealed_of,
    rules_context,
    time_context,
)
from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.visit import ApiProblem, Visit
from holdgate.scheduler.words.bounds import bounds_of
from holdgate.scheduler.words.changes import changes_of
from holdgate.scheduler.words.durations import duration
from holdgate.scheduler.words.needs import STATUS_WORDS, needs_of
from holdgate.scheduler.words.votes import or_glass

NO_DRAFT: Mapping[str, str] = {"reason": "", "confirm": "", "on_behalf_of": ""}
LINES_ASKED_MAX = 2000
HOURS = {"1", "4", "24", "72"}


async def show(visit: Visit) -> Response:
    """`GET /approvals/{job_id}`"""
    return await _held_page(visit)


async def reveal(visit: Visit) -> Response:
    """`POST /approvals/{job_id}/reveal`: the page with the secrets in it"""
    path, bound = f"/approvals/{visit.path['job_id']}/reveal", {"payload_bytes_max": str(PAYLOAD_BYTES_MAX)}
    revealed = await visit.send("POST", path, {}, bound)
    return await _held_page(visit, revealed=revealed)


async def decide(visit: Visit) -> Response:
    """`POST /approvals/{job_id}/decide`: yes or no, as the button says"""
    form = await visit.form()
    if form.get("verdict") == "approve":
        return await _vote(visit, form, "approve", ("reason", "confirm", "on_behalf_of"))
    if form.get("verdict") == "reject":
        return await _vote(visit, form, "reject", ("reason", "on_behalf_of"))
    return await _held_page(visit)


async def break_glass(visit: Visit) -> Response:
    """`POST /approvals/{job_id}/break`: a vote past the rule's approvers"""
    return await _vote(visit, await visit.form(), "approve", ("reason",), break_glass=True)


async def reconfirm(visit: Visit) -> Response:
    """`POST /approvals/{job_id}/reconfirm`: yes again, with the earlier reason"""
    return await _vote(visit, await visit.form(), "reconfirm", ("confirm",))


async def defer(visit: Visit) -> Response:
    """`POST /approvals/{job_id}/defer`: to be looked at again later"""
    job_id, form = visit.path["job_id"], await visit.form()
    hours = form.get("hours", "")
    try:
        item = await facts_of(visit, job_id)
        until_ms = _now_ms(item) + int(hours if hours in HOURS else "1") * 3_600_000
        body = {"until": rfc3339(until_ms), "reason": form.get("reason", "")}
        await visit.post(f"/approvals/{job_id}/defer", body)
    except ApiProblem as problem:
        return await _held_page(visit, problem=problem, draft={})
    return visit.go(_back(form), f"Deferred until {rfc3339(until_ms)}.")


async def _vote(
    visit: Visit, form: Mapping[str, str], verb: str, taken: tuple[str, ...], *, break_glass: bool = False
) -> Response:
    job_id = visit.path["job_id"]
    body: dict[str, Any] = {name: form.get(name, "") for name in ("job_hash", "snapshot")}
    body |= {name: form.get(name, "") for name in taken if form.get(name) or name == "reason"}
    if break_glass:
        body["break_glass"] = True
    try:
        done = await visit.post(f"/approvals/{job_id}/{verb}", body)
    except ApiProblem as problem:
        return await _held_page(visit, problem=problem, draft=form)
    return visit.go(_back(form), _told(done))


def _told(done: Mapping[str, Any]) -> str:
    match done["status"]:
        case "pending":
            return f"Your vote counts. {more_needed(done['votes_missing'])}{or_glass(done)}."
        case "rejected":
            return "Rejected. It will not run."
        case _:
            return "Released. It runs as soon as a worker is free."


def _back(form: Mapping[str, str]) -> str:
    """The queue, at the held job that came after this one."""
    after = form.get("next", "")
    return (
        f"/approvals?at={after}" if after.startswith("job_") and after[4:].replace("-", "").isalnum() else "/approvals"
    )


async def _held_page(
    visit: Visit,
    *,
    problem: ApiProblem | None = None,
    draft: Mapping[str, str] = NO_DRAFT,
    revealed: Mapping[str, Any] | None = None,
) -> Response:
    job_id = visit.path["job_id"]
    if problem is not None and problem.code == "approval_not_found":
        raise problem
    item, masked, rules, similar, behalf = await asyncio.gather(
        facts_of(visit, job_id),
        masked_of(visit, job_id),
        _or_nothing(visit.get(f"/approvals/{job_id}/rules")),
        _or_nothing(visit.get(f"/approvals/{job_id}/similar")),
        _behalf(visit),
    )
    item = item if revealed else masked_item(item, masked)
    asked = asked_of(item)
    return visit.page(
        "approvals/held.html",
        status=problem.status if problem else 200,
        item=item,
        problem=advice_of(problem) if problem else None,
        draft={**NO_DRAFT, **draft},
        next=draft.get("next") or visit.query.get("next", ""),
        similar=similar["items"] if similar else None,
        needs=needs_of(item),
        asked=asked,
        status_words=STATUS_WORDS.get(item["status"], item["status"]),
        duration=duration,
        changes=changes_of(item["changes"]),
        constraints=bounds_of(item["constraints"]),
        ended=ENDED.get(item["status"], ""),
        wait_s=item["reading_left_s"],
        no_key=asked.signed and item["to_sign"] is None,
        behalf=behalf,
        is_approver=visit.principal.has(*APPROVER),
        refused=_refused(item, behalf),
        may_break=item["may_break_glass"],
        **time_context(item),
        **rules_context(item, rules["items"] if rules else ()),
        **job_context(revealed_of(revealed) if revealed else masked, _lines(visit)),
    )


async def _or_nothing(call: Awaitable[Any]) -> Any:
    """What is shown beside a job is left out when it cannot be had; the job itself is not."""
    try:
        return await call
    except ApiProblem:
        return None


async def _behalf(visit: Visit) -> list[str]:
    """Who delegated to the person who looks."""
    found = await _or_nothing(visit.get("/delegations"))
    if found is None:
        return []
    me = visit.principal.actor
    mine = (item for item in found["items"] if is_same(item["delegate"], me) and item["status"] == "active")
    return sorted({item["delegator"] for item in mine})


def _now_ms(item: Mapping[str, Any]) -> int:
    """The time of the reply, by the clock of who made it."""
    return parse_rfc3339(item["expires_at"]) - int(item["remaining_s"]) * 1000


def _refused(item: Mapping[str, Any], behalf: list[str]) -> tuple[str, str] | None:
    """Why the person who looks cannot vote, in words; None where they can, or may be able to for somebody else."""
    code = item["refused_for"]
    if code is None or (code == "approval_forbidden" and behalf):
        return None
    return words_of(code)


def _lines(visit: Visit) -> int:
    asked = visit.query.get("lines", "")
    return min(int(asked), LINES_ASKED_MAX) if asked.isdecimal() and len(asked) < 6 else 0


PAGES: tuple[Page, ...] = (
    Page("GET", "/approvals/{job_id}", show, roles=SEES_APPROVALS),
    Page("POST", "/approvals/{job_id}/reveal", reveal, roles=APPROVER),
    Page("POST", "/approvals/{job_id}/decide", decide, roles=APPROVER),
    Page("POST", "/approvals/{job_id}/break", break_glass, roles=APPROVER),
    Page("POST", "/approvals/{job_id}/reconfirm", reconfirm, roles=APPROVER),
    Page("POST", "/approvals/{job_id}/defer", defer, roles=APPROVER),
)
