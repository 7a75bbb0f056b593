"""The approvals of a tenant in Redis. Opened by the scripts that hold a job.

What always holds: one job has at most one pending approval; a vote counts once per approver and kind, and only for what
it was shown; a release is used up by the start it allows; a changed policy voids votes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import structlog

from holdgate.kernel.ids import ActorId, JobId, Tenant, person_of
from holdgate.scheduler.errors import (
    APPROVAL_ERRORS,
    ApprovalNotFound,
    ApprovalReasonRequired,
    StateBroken,
    StateUnavailable,
)
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.approvals.listing import ApprovalFilter, HeldList, Order
from holdgate.scheduler.state.approvals.records import (
    ApprovalStatus,
    ApprovalView,
    CastVote,
    HeldChange,
    PastRound,
    Redecision,
    VoteRequest,
    VoteResult,
)
from holdgate.scheduler.state.approvals.rows import FIELDS, held_change, past_round, redecide_args, view_of
from holdgate.scheduler.state.approvals.voting import cast, vote_args, vote_result
from holdgate.scheduler.state.connection import Arg, Scripts, key
from holdgate.scheduler.state.newest import newest
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)

VOTE_TRIES = 64
"""How often a vote is counted anew because another came in between: no permit takes more votes than that."""
VoteNow: TypeAlias = Callable[[Tenant, CastVote], CastVote]


def as_cast(_tenant: Tenant, vote: CastVote) -> CastVote:
    """Nothing that came later changes a vote."""
    return vote


class Approvals:
    """The approvals of a tenant. `vote_now` says how a vote on record counts at this moment."""

    def __init__(self, scripts: Scripts, vote_now: VoteNow = as_cast) -> None:
        self._scripts = scripts
        self._vote_now = vote_now

    async def get(self, tenant: Tenant, job_id: JobId) -> ApprovalView | None:
        """The approval with its votes, or None."""
        return (await self._get_many(tenant, [job_id]))[0]

    async def require(self, tenant: Tenant, job_id: JobId) -> ApprovalView:
        """The approval; ApprovalNotFound."""
        view = await self.get(tenant, job_id)
        if view is None:
            raise ApprovalNotFound
        return view

    async def list_pending(
        self, tenant: Tenant, limit: int, cursor: str | None = None
    ) -> tuple[list[ApprovalView], str | None]:
        """Pending approvals, newest job first, and the next cursor."""
        ids, following = await newest(self._scripts, key(tenant, "state", State.HELD), limit, cursor)
        views = await self._get_many(tenant, [JobId(job_id) for job_id in ids], skip_broken=True)
        return [view for view in views if view is not None and view.status is ApprovalStatus.PENDING], following

    async def list_waiting(
        self,
        tenant: Tenant,
        wanted: ApprovalFilter,
        order: Order,
        *,
        limit: int,
        after: str | None,
        now_ms: int,
    ) -> tuple[list[ApprovalView], str | None]:
        """A page of what waits for people, and the mark of the next one; see `listing`."""
        page = await HeldList(self._scripts, tenant, wanted, now_ms).page(order, limit, after)
        views = await self._get_many(tenant, page.job_ids, skip_broken=True)
        voter = None if wanted.voter is None else person_of(wanted.voter.actor)
        waiting = [view for view in views if view is not None and view.status is ApprovalStatus.PENDING]
        return [view for view in waiting if not _has_voted(view, voter)], page.mark

    async def past(self, tenant: Tenant, job_id: JobId) -> PastRound | None:
        """What approvers were asked and said in an earlier round; None where this is the first."""
        data = await self._scripts.command("HGET", key(tenant, "approval", job_id), "before")
        return past_round(data) if data else None

    async def changes(self, tenant: Tenant, after: int, limit: int = 256) -> list[HeldChange]:
        """What happened to held jobs since the audit event `after`, oldest first, as far as that is kept."""
        held = key(tenant, "held_changes")
        entries = await self._scripts.command("XRANGE", held, f"{after + 1}-0", "+", "COUNT", limit)
        return [held_change(entry_id, fields) for entry_id, fields in entries]

    async def changes_kept(self, tenant: Tenant) -> tuple[int, int]:
        """The seq of the oldest and of the newest change that is kept; 0 for none."""
        held = key(tenant, "held_changes")
        first, last = await self._scripts.commands(
            [("XRANGE", held, "-", "+", "COUNT", 1), ("XREVRANGE", held, "+", "-", "COUNT", 1)]
        )
        oldest, newest = (held_change(*entries[0]).seq if entries else 0 for entries in (first, last))
        return oldest, newest

    async def vote(self, tenant: Tenant, request: VoteRequest, now_ms: int) -> VoteResult:
        """Cast a vote. Raises the errors of `errors.APPROVAL_ERRORS`; nothing changed then."""
        if not request.reason.strip():
            raise ApprovalReasonRequired
        for _ in range(VOTE_TRIES):
            view = await self.require(tenant, request.job_id)
            mine = cast(request, now_ms)
            args = vote_args(request, mine, view, now_ms)
            code, *reply = await self._scripts.run("vote", tenant, args)
            if code != b"retry":
                return vote_result(code, reply, view, mine)
        raise StateUnavailable("too many votes at once; send yours again")

    async def defer(
        self, tenant: Tenant, job_id: JobId, *, by: ActorId, until_ms: int, reason: str, now_ms: int
    ) -> ApprovalView:
        """Mark a pending approval as one to look at again at `until_ms`. ApprovalNotFound, -Resolved, -Expired."""
        details = encoding.pack_details({"approver": by, "until_ms": until_ms, "reason": reason})
        for _ in range(VOTE_TRIES):
            view = await self.require(tenant, job_id)
            (code,) = await self._scripts.run("defer", tenant, (job_id, now_ms, view.version, until_ms, details))
            if code == b"deferred":
                return await self.require(tenant, job_id)
            if code != b"retry":
                raise APPROVAL_ERRORS[code.decode()]
        raise StateUnavailable("too many votes at once; send yours again")

    async def view(self, tenant: Tenant, approval: ApprovalView, viewer: ActorId, now_ms: int) -> int | None:
        """When `viewer` saw this round first, which is now where it is the first time; None when it is over."""
        details = encoding.pack_details({"viewer": viewer, "round": approval.round, "snapshot": approval.snapshot})
        args = (approval.job_id, now_ms, viewer, approval.round, details)
        seen = await self._scripts.run("view", tenant, args)
        return int(seen) if seen else None

    async def escalations_due(self, tenant: Tenant, now_ms: int, limit: int) -> list[ApprovalView]:
        """Held jobs whose rules let others vote from now on, and of which that was not told yet."""
        due = key(tenant, "escalations")
        found = await self._scripts.command("ZRANGEBYSCORE", due, "-inf", now_ms, "LIMIT", 0, limit)
        views = await self._get_many(tenant, [JobId(job_id.decode()) for job_id in found], skip_broken=True)
        return [view for view in views if view is not None]

    async def escalate(self, tenant: Tenant, approval: ApprovalView, to: Mapping[str, Any], now_ms: int) -> bool:
        """Tell once that others may vote from now on; False where it was told, or is not so any more."""
        details = encoding.pack_details({**to, "round": approval.round, "snapshot": approval.snapshot})
        return bool(await self._scripts.run("escalate", tenant, (approval.job_id, now_ms, approval.round, details)))

    async def resume(self, tenant: Tenant, now_ms: int, limit: int) -> list[JobId]:
        """Bring back held jobs that were put off until now."""
        found = await self._scripts.run("resume", tenant, (now_ms, limit))
        return [JobId(job_id.decode()) for job_id in found]

    async def expire(self, tenant: Tenant, now_ms: int, limit: int = 256) -> list[JobId]:
        """Pending approvals past their end: job → `expired` with code `approval_expired`."""
        details = encoding.pack_details({"code": "approval_expired"})
        found = await self._scripts.run("expire_approvals", tenant, (now_ms, limit, details))
        return [JobId(job_id.decode()) for job_id in found]

    async def redecide(self, tenant: Tenant, requests: Sequence[Redecision], now_ms: int) -> list[State | None]:
        """Apply new decisions, each its own script. The state after each; None when the job was no longer held (or
        the reservation was gone) and nothing changed."""
        replies = await asyncio.gather(
            *(self._scripts.run("redecide", tenant, redecide_args(request, now_ms)) for request in requests)
        )
        return [State(reply[0].decode()) if reply[0] else None for reply in replies]

    async def _get_many(
        self, tenant: Tenant, job_ids: Sequence[JobId], *, skip_broken: bool = False
    ) -> list[ApprovalView | None]:
        """In order. A record that cannot be read is told in the log, and with `skip_broken` as good as none: in a list
        it must not hide the others."""
        calls: list[tuple[Arg, ...]] = []
        for job_id in job_ids:
            calls.append(("HMGET", key(tenant, "approval", job_id), *FIELDS))
            calls.append(("LRANGE", key(tenant, "votes", job_id), 0, -1))
            calls.append(("HGET", key(tenant, "job", job_id), "who"))
        replies = await self._scripts.commands(calls)
        views: list[ApprovalView | None] = []
        for job_id, fields, votes, who in zip(job_ids, replies[::3], replies[1::3], replies[2::3], strict=True):
            try:
                found = fields[0] is not None and who is not None
                views.append(self._now(tenant, view_of(job_id, fields, votes, who)) if found else None)
            except StateBroken:
                log.critical("an approval cannot be read", action="state_broken", tenant=tenant, job_id=job_id)
                if not skip_broken:
                    raise
                views.append(None)
        return views

    def _now(self, tenant: Tenant, view: ApprovalView) -> ApprovalView:
        """With its votes as they count now; what is decided stays as it was decided."""
        if view.status is not ApprovalStatus.PENDING:
            return view
        return replace(view, votes=tuple(self._vote_now(tenant, vote) for vote in view.votes))


def _has_voted(view: ApprovalView, voter: str | None) -> bool:
    """Whether they cast their ordinary vote; who only broke the glass may still give it."""
    return any(person_of(vote.approver) == voter and not vote.break_glass for vote in view.votes)
