"""Many held jobs in one act: each vote is cast, bound and recorded by the approval gate, as if it came alone.

What always holds: all of them are held by the same rules, on one topic and of one shape, and each rule lets that be;
otherwise nothing is voted. What becomes of one vote changes nothing for the others, and is told for each.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from holdgate.kernel import limits
from holdgate.kernel.errors import HoldgateError, InvalidInput
from holdgate.kernel.ids import JobId
from holdgate.scheduler.errors import BulkForbidden, BulkMixed
from holdgate.scheduler.gates.approval import ApprovalGate, Approver, Shown, VoteForm, verify_reason
from holdgate.scheduler.state.approvals import Approvals, ApprovalView, VoteResult

log = structlog.get_logger("holdgate.gates.bulk")

AT_ONCE = 16
"""Votes of one act under way together: one approver's hundred must not keep everybody else's waiting."""


@dataclass(frozen=True, slots=True)
class BulkForm:
    """One answer to many held jobs, each as it was shown."""

    approve: bool
    reason: str
    confirm: str
    items: tuple[tuple[JobId, Shown], ...]


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """What became of one vote: its result, or what it was refused for."""

    job_id: JobId
    result: VoteResult | None = None
    error: HoldgateError | None = None


class BulkGate:
    """Takes votes by the hundred. One per api process."""

    def __init__(self, *, approvals: Approvals, gate: ApprovalGate) -> None:
        self._approvals = approvals
        self._gate = gate

    async def vote(self, approver: Approver, form: BulkForm) -> list[BulkOutcome]:
        """An outcome for each item, in order. BulkMixed, BulkForbidden, InvalidInput: nothing was voted."""
        verify_reason(form.reason)
        job_ids = [job_id for job_id, _ in form.items]
        if not 1 <= len(job_ids) <= limits.BULK_JOBS_MAX:
            raise InvalidInput(f"`items` names from 1 to {limits.BULK_JOBS_MAX} jobs")
        if len(set(job_ids)) != len(job_ids):
            raise InvalidInput("`items` names a job twice")
        found = await asyncio.gather(*(self._approvals.get(approver.tenant, job_id) for job_id in job_ids))
        verify_alike([approval for approval in found if approval is not None])
        turn = asyncio.Semaphore(AT_ONCE)
        return list(await asyncio.gather(*(self._one(approver, form, *item, turn) for item in form.items)))

    async def _one(
        self, approver: Approver, form: BulkForm, job_id: JobId, shown: Shown, turn: asyncio.Semaphore
    ) -> BulkOutcome:
        vote = VoteForm(shown=shown, reason=form.reason, confirm=form.confirm)
        cast = self._gate.approve if form.approve else self._gate.reject
        async with turn:
            try:
                return BulkOutcome(job_id, await cast(approver, job_id, vote))
            except HoldgateError as error:
                return BulkOutcome(job_id, error=error)
            except Exception as error:  # noqa: BLE001  what was voted before it is told all the same
                _log_failure(job_id, error)
                return BulkOutcome(job_id, error=HoldgateError())


def verify_alike(approvals: Sequence[ApprovalView]) -> None:
    """BulkMixed, which names the odd ones, unless all are of one kind; BulkForbidden where a rule wants each by itself.

    One whose shape is not known is like no other.
    """
    kinds = [(item.topic, frozenset(item.rules), item.shape or item.job_id) for item in approvals]
    if len(set(kinds)) > 1:
        ((usual, _),) = Counter(kinds).most_common(1)
        raise BulkMixed([item.job_id for item, kind in zip(approvals, kinds, strict=True) if kind != usual])
    if any(not requirement.bulk for item in approvals for requirement in item.requirements):
        raise BulkForbidden


def _log_failure(job_id: JobId, error: Exception) -> None:
    """Where it happened, and nothing of what the text of an error or a local variable may hold."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error(
        "a vote of many failed",
        action="bulk_failed",
        job_id=job_id,
        error=type(error).__name__,
        frames=frames[-12:],
    )
