"""Policy: what is in force, who signed it, how fresh it is, whether the kernels agree; bundles and their rules."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from holdgate.kernel.clock import rfc3339
from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.visit import ApiProblem, Visit
from holdgate.scheduler.identity.keys import Role

SEES_BUNDLES = frozenset({Role.AUTHOR, Role.OPERATOR, Role.AUDITOR})
SEES_SHADOWS = (Role.AUTHOR, Role.OPERATOR)
EVENTS_MAX = 20
REPLAY_LAST = 10_000


async def show(visit: Visit) -> Response:
    """`GET /policy`: whoever has not the right to see bundles sees what the kernels say alone"""
    kernels, bundles, shadows = await asyncio.gather(
        _told(visit, "/policy/snapshots"),
        _told(visit, "/policy/bundles", visit.principal.has(*SEES_BUNDLES)),
        _told(visit, "/policy/shadow", visit.principal.has(*SEES_SHADOWS)),
    )
    replicas = kernels["items"]
    return visit.page(
        "policy/page.html",
        kernels=replicas,
        agreed=kernels["agreed"],
        bundles=[{**bundle, "freshness": freshness_of(bundle["name"], replicas)} for bundle in bundles["items"]],
        sees_bundles=visit.principal.has(*SEES_BUNDLES),
        shadows=shadows["items"],
        events=events_of(replicas)[:EVENTS_MAX],
        sees_trail=visit.principal.has(Role.OPERATOR, Role.AUDITOR),
    )


async def bundle(visit: Visit) -> Response:
    """`GET /policy/bundles/{name}`: the newest version or the one of the address, its rules, and all versions"""
    path = f"/policy/bundles/{visit.path['name']}"
    newest, versions = await asyncio.gather(visit.get(path), visit.get(f"{path}/versions", limit="64"))
    shown = next((row for row in versions["items"] if str(row["version"]) == visit.query.get("version")), newest)
    rules = await visit.get(f"{path}/versions/{shown['version']}/rules") if shown["version"] else {"items": []}
    diff = await _diff(visit, path)
    return visit.page(
        "policy/bundle.html",
        bundle=newest,
        shown=shown,
        versions=versions["items"],
        files=rules["items"],
        diff=diff,
        may_replay=visit.principal.has(Role.AUTHOR),
    )


async def replay(visit: Visit) -> Response:
    """`POST /policy/bundles/{name}/replay`: what a version would have decided about what was decided"""
    name, form = visit.path["name"], await visit.form()
    version = form.get("version", "")
    file = await visit.get(f"/policy/bundles/{name}/versions/{version}/file")
    baseline = form.get("baseline", "recorded")
    report = await visit.post("/policy/replay", {"bundle": file, "last": REPLAY_LAST, "baseline": baseline})
    return visit.page("policy/replay.html", report=report, name=name, of=version, last=REPLAY_LAST)


async def _told(visit: Visit, path: str, may: bool = True) -> dict[str, Any]:
    """What a list says; nothing where the visitor may not see it, or who knows is away."""
    nothing: dict[str, Any] = {"items": [], "agreed": False}
    if not may:
        return nothing
    try:
        told: dict[str, Any] = await visit.get(path)
    except ApiProblem as problem:
        if problem.status != 503:
            raise
        return nothing
    return told


async def _diff(visit: Visit, path: str) -> dict[str, Any] | None:
    before, after = visit.query.get("before"), visit.query.get("after")
    if not before or not after:
        return None
    told: dict[str, Any] = await visit.get(f"{path}/diff", before=before, after=after)
    return told


def freshness_of(name: str, replicas: Sequence[Mapping[str, Any]]) -> str:
    """What kernels say of a bundle, in one word; several where they do not agree."""
    said = {str((replica.get("freshness") or {}).get(name, "not in force")) for replica in replicas}
    return ", ".join(sorted(said)) or "not known"


def events_of(replicas: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the kernels that answer made of policy lately, newest first."""
    found = []
    for replica in replicas:
        kept = (replica.get("source") or {}).get("events") or {}
        found += [
            {**event, "replica": replica["replica"], "at": rfc3339(int(event.get("at_ms", 0)))}
            for event in kept.get("ring", ())
        ]
    return sorted(found, key=lambda event: int(event.get("at_ms", 0)), reverse=True)


PAGES = (
    Page("GET", "/policy", show, nav="Policy", key="p"),
    Page("GET", "/policy/bundles/{name}", bundle, roles=SEES_BUNDLES),
    Page("POST", "/policy/bundles/{name}/replay", replay, roles=frozenset({Role.AUTHOR})),
)
