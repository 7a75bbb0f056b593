"""One job: what it is, what happened to it and why, what came of it, and what may be done with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from holdgate.scheduler.api.operations.terms import REVEALS
from holdgate.scheduler.console.content import PAYLOAD_BYTES_MAX, log_lines
from holdgate.scheduler.console.found import found_in
from holdgate.scheduler.console.jobstory import limits_of, story_of
from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.pages.jobs import SEES
from holdgate.scheduler.console.tree import tree_of
from holdgate.scheduler.console.visit import ApiProblem, Visit
from holdgate.scheduler.identity.keys import Role

ENDED = frozenset({"denied", "succeeded", "quarantined", "failed", "timed_out", "cancelled", "expired"})
CANCELLABLE = frozenset({"accepted", "held", "scheduled", "queued", "running"})
DEAD = frozenset({"failed", "timed_out"})
NOTHING_READABLE = frozenset(
    {"result_not_found", "result_not_ready", "output_quarantined", "forbidden", "job_not_found"}
)
SEES_RULES = (Role.APPROVER, Role.OPERATOR, Role.AUDITOR)


async def show(visit: Visit) -> Response:
    """`GET /jobs/{job_id}`"""
    told = await _told(visit)
    rules = await _rules(visit) if visit.query.get("rules") else None
    return visit.page("jobs/job.html", rules=rules, **told)


async def reveal(visit: Visit) -> Response:
    """`POST /jobs/{job_id}/reveal`: the page with the secrets in it"""
    whole = await visit.post(f"/jobs/{visit.path['job_id']}/reveal", {})
    told = await _told(visit)
    job = {**told["job"], "labels": whole["labels"], "prompt": whole["prompt"]}
    return visit.page("jobs/job.html", rules=None, **{**told, "job": job, "revealed": True})


async def live(visit: Visit) -> Response:
    """`GET /jobs/{job_id}/live`: what changes of the page. `shown` is what could be done when it was drawn."""
    told = await _told(visit)
    return visit.part("jobs/live.html", again=visit.query.get("shown", "") != told["can"], **told)


async def events(visit: Visit) -> Response:
    """`GET /jobs/{job_id}/events`"""
    return await visit.stream(f"/jobs/{visit.path['job_id']}/events")


async def rules_as_written(visit: Visit) -> Response:
    """`GET /jobs/{job_id}/rules`: the rules alone"""
    return visit.part("jobs/rules.html", rules=await _rules(visit), job_id=visit.path["job_id"])


async def cancel(visit: Visit) -> Response:
    """`POST /jobs/{job_id}/cancel`"""
    job_id, form = visit.path["job_id"], await visit.form()
    done = await visit.post(f"/jobs/{job_id}/cancel", {"reason": form.get("reason", "")})
    asked = "The worker is asked to stop." if done["cancel_requested"] else "The job is cancelled."
    return visit.go(f"/jobs/{job_id}", asked)


async def retry(visit: Visit) -> Response:
    """`POST /jobs/{job_id}/retry`"""
    job_id, form = visit.path["job_id"], await visit.form()
    await visit.post(f"/jobs/{job_id}/retry", {"reason": form.get("reason", "")})
    back = "/dead" if form.get("back") == "dead" else f"/jobs/{job_id}"
    return visit.go(back, "The job is in the queue again; the kernel decides once more at hand-off.")


async def remediate(visit: Visit) -> Response:
    """`POST /jobs/{job_id}/remediate`"""
    form = await visit.form()
    made = await visit.post(
        f"/jobs/{visit.path['job_id']}/remediate", {"remediation_id": form.get("remediation_id", "")}
    )
    return visit.go(f"/jobs/{made['job_id']}", "The safer version was submitted as a new job.")


async def _told(visit: Visit) -> dict[str, Any]:
    path = f"/jobs/{visit.path['job_id']}"
    job, timeline = await asyncio.gather(visit.get(path, masked="true"), visit.get(f"{path}/timeline"))
    story = story_of(timeline["items"])
    can = _can(visit, job)
    return {
        "job": job,
        "revealed": False,
        "may_reveal": visit.principal.has(*REVEALS),
        "story": story,
        "limits": limits_of(job["decision"]["constraints"]),
        "result": await _result(visit, job) if job["state"] in ENDED else None,
        "ended": job["state"] in ENDED,
        "ends": " ".join(sorted(ENDED)),
        "can": can,
        "has_approval": any(
            event["type"].startswith("approval.") or event["to"] == "held" for event in _moves(timeline)
        ),
        "sees_approvals": visit.principal.has(*SEES_RULES),
        "approvers": [event["approver"] for event in timeline["items"] if event["type"] == "approval.vote"],
    }


def _moves(timeline: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [{"to": None, **event} for event in timeline["items"]]


def _can(visit: Visit, job: Mapping[str, Any]) -> str:
    """What the visitor may do with the job now, as one word: of each state it is one thing at most."""
    own = visit.principal.actor in {job["actor"], *job["principals"]} and visit.principal.has(Role.AGENT)
    runs = visit.principal.has(Role.OPERATOR)
    if job["state"] in CANCELLABLE and (own or runs) and job["cancel_requested_by"] is None:
        return "cancel"
    if job["state"] in DEAD and runs:
        return "retry"
    if job["state"] in {"denied", "held"} and own and job["decision"]["remediations"]:
        return "remediate"
    return ""


async def _result(visit: Visit, job: Mapping[str, Any]) -> dict[str, Any]:
    """What the output gate let through, or why it is not shown."""
    try:
        result = await visit.get(f"/jobs/{job['job_id']}/result", value_bytes_max=str(PAYLOAD_BYTES_MAX))
    except ApiProblem as problem:
        if problem.code not in NOTHING_READABLE:
            raise
        return {"code": problem.code}
    tree = tree_of(result["value"]) if result["value"] is not None else None
    found = found_in(result["verdict"])
    return {**result, "code": "", "tree": tree, "log_lines": log_lines(result["logs"]), "found": found}


async def _rules(visit: Visit) -> list[dict[str, Any]]:
    if not visit.principal.has(*SEES_RULES):
        return []
    items: list[dict[str, Any]] = (await visit.get(f"/jobs/{visit.path['job_id']}/rules"))["items"]
    return items


PAGES = (
    Page("GET", "/jobs/{job_id}", show, roles=SEES),
    Page("GET", "/jobs/{job_id}/live", live, roles=SEES),
    Page("GET", "/jobs/{job_id}/events", events, roles=SEES),
    Page("GET", "/jobs/{job_id}/rules", rules_as_written, roles=frozenset(SEES_RULES)),
    Page("POST", "/jobs/{job_id}/reveal", reveal, roles=REVEALS),
    Page("POST", "/jobs/{job_id}/cancel", cancel, roles=SEES),
    Page("POST", "/jobs/{job_id}/retry", retry, roles=frozenset({Role.OPERATOR})),
    Page("POST", "/jobs/{job_id}/remediate", remediate, roles=frozenset({Role.AGENT})),
)
