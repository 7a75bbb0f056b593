"""The table of pages, in the order of the navigation."""

from __future__ import annotations

from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.pages import jobs, overview, sessions, status

__all__ = ["PAGES"]

PAGES: tuple[Page, ...] = (*overview.PAGES, *jobs.PAGES, *status.PAGES, *sessions.PAGES)
