"""How the system is, and its description."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation
from holdgate.scheduler.api.operations.terms import (
    ANY_KEY,
    API,
    STATE_ERRORS,
)
from holdgate.scheduler.api.routes import system

# One row a call; read across, not down.
# fmt: off
SYSTEM: tuple[Operation, ...] = (
    Operation(
        "GET", f"{API}/status", "getStatus", "What an operator looks at first", system.status, "system", ANY_KEY,
        reply="Status", errors=STATE_ERRORS,
    ),
    Operation(
        "GET", f"{API}/healthz", "getHealth", "The process answers", system.healthz, "system", None, reply="Health",
    ),
    Operation(
        "GET", f"{API}/readyz", "getReadiness", "Requests can be served", system.readyz, "system", None, reply="Ready",
        errors=("unavailable", "draining"),
    ),
    Operation(
        "GET", "/healthz", "getHealthAtRoot", "The process answers", system.healthz, "system", None, reply="Health",
    ),
    Operation(
        "GET", "/readyz", "getReadinessAtRoot", "Requests can be served", system.readyz, "system", None, reply="Ready",
        errors=("unavailable", "draining"),
    ),
    Operation(
        "GET", "/openapi.json", "getDescription", "This description", system.description, "system", None,
        reply="Description",
    ),
)
# fmt: on
