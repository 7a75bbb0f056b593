"""Lists for those who run and check the system."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation, Query
from holdgate.scheduler.api.operations.terms import (
    API,
    AUDITOR,
    DEAD_STATE,
    PAGE,
    SEES_SYSTEM,
    STATE_ERRORS,
)
from holdgate.scheduler.api.routes import jobs, records

EVENT_ORDER = Query(
    "order",
    {"type": "string", "enum": list(records.ORDERS), "default": records.OLDEST},
    "What comes first; a cursor goes on in the order that it was given in.",
)

# One row a call; read across, not down.
# fmt: off
LISTS: tuple[Operation, ...] = (
    Operation(
        "GET", f"{API}/dlq", "listDeadLetters", "Jobs whose attempts are used up", jobs.list_dead, "operation",
        SEES_SYSTEM, reply="JobPage", query=(*PAGE, DEAD_STATE), errors=("bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/workers", "listWorkers", "Workers that are alive", records.list_workers, "operation",
        SEES_SYSTEM, reply="WorkerPage", errors=STATE_ERRORS,
    ),
    Operation(
        "GET", f"{API}/pools", "listPools", "Pools with live workers", records.list_pools, "operation", SEES_SYSTEM,
        reply="PoolPage", errors=STATE_ERRORS,
    ),
    Operation(
        "GET", f"{API}/audit/events", "listEvents", "Audit events in order", records.list_events, "audit", AUDITOR,
        reply="EventPage", query=(*PAGE, EVENT_ORDER), errors=("bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/audit/system", "listSystemEvents", "Audit events of the system itself, such as of policy",
        records.list_system_events, "audit", SEES_SYSTEM, reply="EventPage", query=(*PAGE, EVENT_ORDER),
        errors=("bad_cursor", *STATE_ERRORS),
    ),
)
# fmt: on
