"""Held jobs that come up again because time passed: nobody released them, or somebody put them off until now.

What always holds: who may vote follows from the time alone, whether this runs or not; that others may from now on is
told once a round; one tenant's flood, or one record that cannot be read, keeps nobody else waiting.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import Tenant
from holdgate.kernel.standing import escalation_roles, has_escalated
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.state.approvals import Approvals, ApprovalView
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)

BATCH = 256
TENANTS_AT_ONCE = 16


class Escalator:
    """`run_once` looks at every tenant once."""

    def __init__(self, *, jobs: Jobs, approvals: Approvals, hints: Hints, clock: Clock) -> None:
        self._jobs = jobs
        self._approvals = approvals
        self._hints = hints
        self._clock = clock

    async def run_once(self) -> int:
        """How many escalated."""
        tenants = await self._jobs.tenants()
        escalated = 0
        for start in range(0, len(tenants), TENANTS_AT_ONCE):
            counts = await asyncio.gather(*map(self._of, tenants[start : start + TENANTS_AT_ONCE]))
            escalated += sum(counts)
        return escalated

    async def _of(self, tenant: Tenant) -> int:
        try:
            await self._resume(tenant)
            due = await self._approvals.escalations_due(tenant, self._clock.now_ms(), BATCH)
            return sum([await self._escalate(tenant, approval) for approval in due])
        except StateBroken as error:
            metrics.DUTY_FAILURES.labels("escalate").inc()
            log.critical("held jobs cannot be read", action="state_broken", tenant=tenant, error=str(error))
            return 0

    async def _resume(self, tenant: Tenant) -> None:
        back = await self._approvals.resume(tenant, self._clock.now_ms(), BATCH)
        await self._hints.changed(tenant, back, State.HELD)

    async def _escalate(self, tenant: Tenant, approval: ApprovalView) -> int:
        now_ms = self._clock.now_ms()
        if not await self._approvals.escalate(tenant, approval, _to(approval, now_ms), now_ms):
            return 0
        metrics.ESCALATED.inc()
        log.warning("a held job escalated", action="approval_escalated", tenant=tenant, job_id=approval.job_id)
        await self._hints.changed(tenant, [approval.job_id], State.HELD)
        return 1


def _to(approval: ApprovalView, now_ms: int) -> dict[str, Any]:
    """Whom it escalates to, for the record."""
    grown = [item for item in approval.requirements if has_escalated(item, approval.created_ms, now_ms)]
    return {
        "rules": [item.rule for item in grown],
        "roles": sorted({role for item in grown for role in escalation_roles(item)}),
        "names": sorted({name for item in grown for name in item.escalate_names}),
        "severity": str(approval.severity),
    }
