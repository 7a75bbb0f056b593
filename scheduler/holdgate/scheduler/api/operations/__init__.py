"""The table of calls: path, who may, what goes in, what comes out. Routes and OpenAPI are both made from it.

Roles: an empty set is any key; None is no key. An admin may call everything. Which jobs a caller sees is decided in
`routes.jobs`: an agent its own, the others those of their tenant; another tenant's do not exist.
"""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation
from holdgate.scheduler.api.operations.approval_facts import APPROVAL_FACTS
from holdgate.scheduler.api.operations.approvals import APPROVALS
from holdgate.scheduler.api.operations.artifacts import ARTIFACTS
from holdgate.scheduler.api.operations.bulk import BULK
from holdgate.scheduler.api.operations.delegations import DELEGATIONS
from holdgate.scheduler.api.operations.grants import GRANTS
from holdgate.scheduler.api.operations.jobs import JOBS
from holdgate.scheduler.api.operations.lists import LISTS
from holdgate.scheduler.api.operations.overview import OVERVIEW
from holdgate.scheduler.api.operations.policy import POLICY
from holdgate.scheduler.api.operations.quarantine import QUARANTINE
from holdgate.scheduler.api.operations.sessions import SESSIONS
from holdgate.scheduler.api.operations.similar import SIMILAR
from holdgate.scheduler.api.operations.system import SYSTEM

__all__ = ["OPERATIONS"]

OPERATIONS: tuple[Operation, ...] = (
    *JOBS,
    *ARTIFACTS,
    *APPROVALS,
    *APPROVAL_FACTS,
    *BULK,
    *SIMILAR,
    *DELEGATIONS,
    *GRANTS,
    *POLICY,
    *LISTS,
    *QUARANTINE,
    *OVERVIEW,
    *SESSIONS,
    *SYSTEM,
)
