"""The table of pages, in the order of the navigation."""

from __future__ import annotations

from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.pages import (
    approvals,
    dead,
    delegations,
    events,
    grants,
    held,
    job,
    jobs,
    overview,
    playground,
    policy,
    quarantine,
    sessions,
    status,
    workers,
)

__all__ = ["PAGES"]

PAGES: tuple[Page, ...] = (
    *overview.PAGES,
    *approvals.PAGES,
    *held.PAGES,
    *grants.PAGES,
    *delegations.PAGES,
    *quarantine.PAGES,
    *jobs.PAGES,
    *job.PAGES,
    *policy.PAGES,
    *playground.PAGES,
    *workers.PAGES,
    *dead.PAGES,
    *events.PAGES,
    *status.PAGES,
    *sessions.PAGES,
)
