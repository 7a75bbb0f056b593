"""The playground: what would be decided about a job that nobody submits."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.playground import Asked, Wrong, asked_of
from holdgate.scheduler.console.trace import explained
from holdgate.scheduler.console.visit import ApiProblem, Visit


async def show(visit: Visit) -> Response:
    """`GET /policy/playground`: the form, and the answer where the address says what is asked"""
    return await _answered(visit, asked_of(visit.query, with_payload=False))


async def ask(visit: Visit) -> Response:
    """`POST /policy/playground`: the same with a payload"""
    return await _answered(visit, asked_of(await visit.form(), with_payload=True))


async def _answered(visit: Visit, asked: Asked) -> Response:
    if asked.is_empty:
        return _page(visit, asked)
    facts, wrong = asked.facts()
    try:
        decision = await visit.post("/policy/explain", facts)
    except ApiProblem as problem:
        if problem.status not in {400, 403, 422}:
            raise
        return _page(visit, asked, status=problem.status, errors=[*_told(problem), *wrong])
    if wrong:
        return _page(visit, asked, status=422, errors=wrong)
    return _page(visit, asked, decision=decision, told=explained(decision))


def _told(problem: ApiProblem) -> list[Wrong]:
    """What the call says of each field; of a member of a field, by the name of the field."""
    found = [(str(item["field"]), str(item["detail"])) for item in problem.extra.get("errors") or []]
    return [(re.split(r"[/.\[]", field.strip("/"))[0], detail) for field, detail in found] or [("", problem.detail)]


def _page(visit: Visit, asked: Asked, *, status: int = 200, **answer: Any) -> Response:
    known = {"decision": None, "told": None, "errors": [], **answer}
    known["wrong"] = dict(known["errors"])
    return visit.page("policy/playground.html", status=status, asked=asked, **known)


PAGES = (
    Page("GET", "/policy/playground", show),
    Page("POST", "/policy/playground", ask),
)
