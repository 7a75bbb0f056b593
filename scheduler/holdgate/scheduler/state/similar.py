"""What happened to jobs like a held one: of the same topic, held by the same rules. Scripts that hold a job list it.

What always holds: a job that is not kept any more, or that nobody has decided yet, is left out; nothing is told that
its own approval would not tell.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from holdgate.kernel.ids import ActorId, JobId, Tenant
from holdgate.scheduler.errors import ApprovalNotFound, StateBroken
from holdgate.scheduler.state.approvals import Approvals, ApprovalStatus, ApprovalView
from holdgate.scheduler.state.connection import Scripts, key
from holdgate.scheduler.state.transitions import State

LOOKED_THROUGH = 50
"""Of the newest: some of them wait themselves, or are forgotten."""
_SAID_YES = frozenset({ApprovalStatus.RELEASED, ApprovalStatus.CONSUMED})


@dataclass(frozen=True, slots=True)
class PastJob:
    """A job that was held, how that ended, and what became of it since."""

    approval: ApprovalView
    state: State

    @property
    def decided_by(self) -> tuple[ActorId, ...]:
        """Whose votes ended it; nobody's where it expired or was cancelled."""
        if self.approval.status in _SAID_YES:
            return tuple(vote.approver for vote in self.approval.votes if vote.approve)
        if self.approval.status is ApprovalStatus.REJECTED:
            return tuple(vote.approver for vote in self.approval.votes if not vote.approve)
        return ()


class SimilarJobs:
    """Looks them up."""

    def __init__(self, scripts: Scripts, approvals: Approvals) -> None:
        self._scripts = scripts
        self._approvals = approvals

    async def of(self, tenant: Tenant, job_id: JobId, limit: int) -> list[PastJob]:
        """Those like the held `job_id`, newest first. ApprovalNotFound."""
        status, name = await self._scripts.command("HMGET", key(tenant, "approval", job_id), "status", "similar")
        if status is None:
            raise ApprovalNotFound
        if name is None:
            return []
        where = key(tenant, "similar", name.decode())
        found = await self._scripts.command("ZREVRANGE", where, 0, LOOKED_THROUGH)
        others = [JobId(item.decode()) for item in found if item.decode() != job_id]
        past = [item for item in await asyncio.gather(*(self._past(tenant, other) for other in others)) if item]
        return past[:limit]

    async def _past(self, tenant: Tenant, job_id: JobId) -> PastJob | None:
        try:
            approval, state = await asyncio.gather(
                self._approvals.get(tenant, job_id),
                self._scripts.command("HGET", key(tenant, "job", job_id), "state"),
            )
        except StateBroken:
            return None  # told where it is looked at for itself
        if approval is None or state is None or approval.status is ApprovalStatus.PENDING:
            return None
        return PastJob(approval, State(state.decode()))
