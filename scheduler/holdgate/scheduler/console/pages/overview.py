"""What needs somebody, and what happened in the last hours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from holdgate.scheduler.console.overview import charts_of
from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.visit import Visit
from holdgate.scheduler.identity.keys import Role

SEES = (Role.APPROVER, Role.OPERATOR, Role.AUDITOR, Role.AUTHOR)
MINE_MAX = 100
WINDOWS = (("1h", "1 hour"), ("6h", "6 hours"), ("24h", "24 hours"))


@dataclass(frozen=True, slots=True)
class Need:
    """A figure that asks for somebody; `path` leads to where it is dealt with, empty where the visitor may not."""

    id: str
    figure: str
    label: str
    tone: str
    path: str = ""


async def show(visit: Visit) -> Response:
    """The page; who sees only jobs of their own is sent to these."""
    if not visit.principal.has(*SEES):
        return visit.go("/jobs")
    return visit.page("overview/page.html", windows=WINDOWS, **await _told(visit))


async def live(visit: Visit) -> Response:
    """What of the page changes."""
    return visit.part("overview/live.html", **await _told(visit))


async def _told(visit: Visit) -> dict[str, Any]:
    window = visit.query.get("window", "")
    window = window if window in dict(WINDOWS) else WINDOWS[0][0]
    told = await visit.get("/overview", window=window)
    mine = await _mine(visit) if told["now"]["jobs"]["held"] else None
    return {"window": window, "charts": charts_of(told), "needs": needs_of(visit, told["now"], mine)}


async def _mine(visit: Visit) -> Need | None:
    """Held jobs that the visitor may vote on."""
    if not visit.principal.has(Role.APPROVER):
        return None
    page = await visit.get("/approvals", mine="true", limit=str(MINE_MAX))
    count = len(page["items"])
    figure = f"{count}+" if page["next_cursor"] else str(count)
    return Need("mine", figure, "wait for your vote", _tone(count, "warn"), "/approvals?mine=true")


def needs_of(visit: Visit, now: Mapping[str, Any], mine: Need | None = None) -> list[Need]:
    """The figures, those with nothing to do in a plain tone."""
    jobs, has = now["jobs"], visit.principal.has
    approves = has(Role.APPROVER, Role.OPERATOR, Role.AUDITOR)
    runs = has(Role.OPERATOR, Role.AUDITOR)
    dead, quarantined = jobs["failed"] + jobs["timed_out"], jobs["quarantined"]
    found = [
        Need("held", str(jobs["held"]), "held for approval", _tone(jobs["held"], "warn"), "/approvals" * approves),
        Need("dead", str(dead), "dead letters", _tone(dead, "bad"), "/dead" * runs),
        Need("sealed", str(quarantined), "quarantined", _tone(quarantined, "warn"), "/quarantine" * approves),
        Need("waiting", str(jobs["queued"] + jobs["accepted"]), "queued", "plain", "/jobs?state=queued"),
        Need("running", str(jobs["running"]), "running", "plain", "/jobs?state=running"),
    ]
    return [*([mine] if mine else []), *found, _kernel(now["kernel"])]


def _kernel(kernel: Mapping[str, Any]) -> Need:
    if kernel["silent"] or kernel["breaker"] == "open":
        return Need("kernel", "away", "kernel: nothing new is let in or run", "bad", "/policy")
    if not kernel["policy"]:
        return Need("kernel", "no policy", "kernel: every decision is deny", "bad", "/policy")
    if kernel["breaker"] != "closed":
        return Need("kernel", "coming back", "kernel", "warn", "/policy")
    return Need("kernel", "well", "kernel", "good", "/policy")


def _tone(count: int, tone: str) -> str:
    return tone if count else "plain"


PAGES = (
    Page("GET", "/overview", show, nav="Overview", key="o"),
    Page("GET", "/overview/live", live, roles=frozenset(SEES)),
)
