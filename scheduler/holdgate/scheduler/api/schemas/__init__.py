"""JSON schemas of what goes in and out, as OpenAPI components."""

from __future__ import annotations

from holdgate.scheduler.api.schemas.approval_facts import APPROVAL_FACTS_COMPONENTS
from holdgate.scheduler.api.schemas.approvals import APPROVALS_COMPONENTS
from holdgate.scheduler.api.schemas.artifacts import ARTIFACTS_COMPONENTS
from holdgate.scheduler.api.schemas.bulk import BULK_COMPONENTS
from holdgate.scheduler.api.schemas.decisions import DECISIONS_COMPONENTS
from holdgate.scheduler.api.schemas.delegations import DELEGATIONS_COMPONENTS
from holdgate.scheduler.api.schemas.grants import GRANTS_COMPONENTS
from holdgate.scheduler.api.schemas.jobs import JOBS_COMPONENTS
from holdgate.scheduler.api.schemas.overview import OVERVIEW_COMPONENTS
from holdgate.scheduler.api.schemas.policy import POLICY_COMPONENTS
from holdgate.scheduler.api.schemas.quarantine import QUARANTINE_COMPONENTS
from holdgate.scheduler.api.schemas.sessions import SESSIONS_COMPONENTS
from holdgate.scheduler.api.schemas.shapes import Schema, ref
from holdgate.scheduler.api.schemas.similar import SIMILAR_COMPONENTS
from holdgate.scheduler.api.schemas.system import SYSTEM_COMPONENTS

__all__ = ["COMPONENTS", "ref"]

COMPONENTS: dict[str, Schema] = {
    **DECISIONS_COMPONENTS,
    **JOBS_COMPONENTS,
    **ARTIFACTS_COMPONENTS,
    **APPROVALS_COMPONENTS,
    **APPROVAL_FACTS_COMPONENTS,
    **BULK_COMPONENTS,
    **SIMILAR_COMPONENTS,
    **DELEGATIONS_COMPONENTS,
    **GRANTS_COMPONENTS,
    **OVERVIEW_COMPONENTS,
    **POLICY_COMPONENTS,
    **QUARANTINE_COMPONENTS,
    **SESSIONS_COMPONENTS,
    **SYSTEM_COMPONENTS,
}
