"""The overview: counters of the last hours."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation, Query
from holdgate.scheduler.api.operations.terms import API, SEES_OVERVIEW, STATE_ERRORS
from holdgate.scheduler.api.routes import overview
from holdgate.scheduler.state.stats import WINDOWS

WINDOW = Query(
    "window",
    {"type": "string", "enum": list(WINDOWS), "default": overview.WINDOW_DEFAULT},
    "How far back; steps are of a minute, two or eight.",
)

# fmt: off
OVERVIEW: tuple[Operation, ...] = (
    Operation(
        "GET", f"{API}/overview", "getOverview", "What was decided, ran and waited in the last hours",
        overview.overview, "system", SEES_OVERVIEW, reply="Overview", query=(WINDOW,), errors=STATE_ERRORS,
    ),
)
# fmt: on
