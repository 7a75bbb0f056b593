"""The approvals of a tenant in Redis. Opened by the scripts that hold a job.

What always holds: one job has at most one pending approval; a vote counts once per approver and only for what it was
shown; a release is used up by the start it allows; a changed policy voids votes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from holdgate.kernel.ids import ActorId, Digest, JobId, Tenant
from holdgate.scheduler.errors import (
    APPROVAL_ERRORS,
    ApprovalNotFound,
    ApprovalReasonRequired,
    StateBroken,
    StateUnavailable,
)
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.approvals.records import (
    ApprovalStatus,
    ApprovalView,
    CastVote,
    Redecision,
    VoteRequest,
    VoteResult,
    votes_missing,
)
from holdgate.scheduler.state.approvals.rows import FIELDS, redecide_args, view_of, vote_args, vote_result
from holdgate.scheduler.state.connection import Arg, Scripts, key
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)

VOTE_TRIES = 5
"""How often a vote is counted anew because another came in between."""
SCAN_PAGE = 256


class Approvals:
    """The approvals of a tenant."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

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
        start = "+" if cursor is None else f"({cursor}"
        found = await self._scripts.command(
            "ZREVRANGEBYLEX", key(tenant, "state", State.HELD), start, "-", "LIMIT", 0, limit + 1
        )
        job_ids = [JobId(job_id.decode()) for job_id in found[:limit]]
        views = [view for view in await self._get_many(tenant, job_ids, skip_broken=True) if view is not None]
        pending = [view for view in views if view.status is ApprovalStatus.PENDING]
        return pending, job_ids[-1] if len(found) > limit else None

    async def list_other_snapshots(self, tenant: Tenant, snapshot: Digest, limit: int = 256) -> list[ApprovalView]:
        """Pending approvals bound to another snapshot than `snapshot`: to be decided again."""
        outdated: list[ApprovalView] = []
        cursor: str | None = None
        while len(outdated) < limit:
            views, cursor = await self.list_pending(tenant, SCAN_PAGE, cursor)
            outdated += [view for view in views if view.snapshot != snapshot]
            if cursor is None:
                break
        return outdated[:limit]

    async def vote(self, tenant: Tenant, request: VoteRequest, now_ms: int) -> VoteResult:
        """Cast a vote. Raises the errors of `errors.APPROVAL_ERRORS`; nothing changed then."""
        if not request.reason.strip():
            raise ApprovalReasonRequired
        for _ in range(VOTE_TRIES):
            view = await self.require(tenant, request.job_id)
            mine = CastVote(
                approver=request.approver,
                roles=request.roles,
                approve=request.approve,
                reason=request.reason,
                cast_ms=now_ms,
                signed=request.signed,
                own_key=request.own_key,
                on_behalf_of=request.on_behalf_of,
                break_glass=request.break_glass,
            )
            missing = votes_missing(view, (*view.votes, mine))
            code, *reply = await self._scripts.run(
                "vote", tenant, vote_args(request, mine, view, missing=missing, now_ms=now_ms)
            )
            if code != b"retry":
                return vote_result(code, reply, missing)
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
                views.append(None if fields[0] is None or who is None else view_of(job_id, fields, votes, who))
            except StateBroken:
                log.critical("an approval cannot be read", action="state_broken", tenant=tenant, job_id=job_id)
                if not skip_broken:
                    raise
                views.append(None)
        return views
