"""Approvals: a held job waits for people; their release is bound to the job's hash and the policy's snapshot.

What always holds: one job has at most one pending approval; a vote counts once per approver and only for what it was
shown; a release is used up by the start it allows; a changed policy voids votes. Opened by the scripts that hold a job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog

from holdgate.kernel.custody import effective_verdict, required_approvals
from holdgate.kernel.ids import ActorId, Digest, JobId, Tenant
from holdgate.kernel.records import ApprovalRequirement, Decision, Outcome, Signed, Verdict
from holdgate.kernel.standing import Ballot, all_missing, is_useful
from holdgate.scheduler.errors import (
    APPROVAL_ERRORS,
    ApprovalNotFound,
    ApprovalReasonRequired,
    StateBroken,
    StateUnavailable,
)
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import Arg, Scripts, key
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger(__name__)

VOTE_TRIES = 5
"""How often a vote is counted anew because another came in between."""
SCAN_PAGE = 256


class ApprovalStatus(StrEnum):
    """Where an approval is."""

    PENDING = "pending"
    RELEASED = "released"
    CONSUMED = "consumed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    STALE = "stale"
    """The policy changed after the release; a new one is pending or the job went on without."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class CastVote:
    """A vote on record: who, in which roles, yes or no, why, when, and the signed link."""

    approver: ActorId
    roles: tuple[str, ...]
    approve: bool
    reason: str
    cast_ms: int
    signed: Signed
    own_key: bool = False
    on_behalf_of: ActorId | None = None
    grant: str | None = None
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """An approval as it stands. `round` counts how often approvers were asked (policy changes void votes)."""

    job_id: JobId
    status: ApprovalStatus
    job_hash: Digest
    snapshot: Digest
    requirements: tuple[ApprovalRequirement, ...]
    actor: ActorId
    principals: tuple[ActorId, ...]
    topic: str
    created_ms: int
    expires_ms: int
    round: int
    version: int
    votes: tuple[CastVote, ...] = ()
    resolved_ms: int | None = None
    previous_snapshot: Digest | None = None
    deferred_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """A vote to cast. `job_hash` and `snapshot` are as the approver was shown; `fresh` is the snapshot under which the
    kernel holds the job at this moment; `signed` is the sealed `Vote`, by the approver's `own_key` or by the api."""

    job_id: JobId
    approver: ActorId
    roles: tuple[str, ...]
    approve: bool
    reason: str
    job_hash: Digest
    snapshot: Digest
    fresh: Digest
    signed: Signed
    own_key: bool = False
    on_behalf_of: ActorId | None = None
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class VoteResult:
    """`status` after the vote: PENDING (more votes needed), RELEASED (wake `pool`) or REJECTED."""

    status: ApprovalStatus
    state: State
    pool: str | None = None
    votes_missing: int = 0


@dataclass(frozen=True, slots=True)
class Redecision:
    """The kernel decided again on a job that is held, or queued and picked (`reservation`).

    deny → DENIED, with `code`; somebody must release it (`custody.required_approvals(decision, outcome)`) → HELD under
    a new approval of `decision.snapshot`; otherwise → QUEUED. `outcome` is the one of the job's admission.
    """

    job_id: JobId
    decision: Decision
    reservation: str | None = None
    outcome: Outcome | None = None
    code: str = "denied"


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
                "vote", tenant, _vote_args(request, mine, view, missing=missing, now_ms=now_ms)
            )
            if code != b"retry":
                return _vote_result(code, reply, missing)
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
            *(self._scripts.run("redecide", tenant, _redecide_args(request, now_ms)) for request in requests)
        )
        return [State(reply[0].decode()) if reply[0] else None for reply in replies]

    async def _get_many(
        self, tenant: Tenant, job_ids: Sequence[JobId], *, skip_broken: bool = False
    ) -> list[ApprovalView | None]:
        """In order. A record that cannot be read is told in the log, and with `skip_broken` as good as none: in a list
        it must not hide the others."""
        calls: list[tuple[Arg, ...]] = []
        for job_id in job_ids:
            calls.append(("HMGET", key(tenant, "approval", job_id), *_FIELDS))
            calls.append(("LRANGE", key(tenant, "votes", job_id), 0, -1))
            calls.append(("HGET", key(tenant, "job", job_id), "who"))
        replies = await self._scripts.commands(calls)
        views: list[ApprovalView | None] = []
        for job_id, fields, votes, who in zip(job_ids, replies[::3], replies[1::3], replies[2::3], strict=True):
            try:
                views.append(None if fields[0] is None or who is None else _view(job_id, fields, votes, who))
            except StateBroken:
                log.critical("an approval cannot be read", action="state_broken", tenant=tenant, job_id=job_id)
                if not skip_broken:
                    raise
                views.append(None)
        return views


def ballot_of(vote: CastVote) -> Ballot:
    """The vote as it counts."""
    person = vote.on_behalf_of or vote.approver
    return Ballot(vote.approver, person, frozenset(vote.roles), vote.cast_ms, vote.own_key, vote.break_glass)


def votes_missing(view: ApprovalView, votes: Sequence[CastVote]) -> int:
    """How many more approvals are needed until every requirement has its quorum; 0 means released."""
    return all_missing(view.requirements, [ballot_of(vote) for vote in votes if vote.approve], view.created_ms)


_FIELDS = (
    "status",
    "hash",
    "snapshot",
    "requirements",
    "created",
    "expires",
    "round",
    "version",
    "resolved",
    "previous",
    "deferred",
)


def _vote_args(request: VoteRequest, vote: CastVote, view: ApprovalView, *, missing: int, now_ms: int) -> list[Arg]:
    """Arguments of `vote.lua`, in its order."""
    stored = encoding.StoredVote(
        approver=vote.approver,
        roles=vote.roles,
        approve=vote.approve,
        reason=vote.reason,
        cast_ms=vote.cast_ms,
        own_key=vote.own_key,
        signed=vote.signed,
        on_behalf_of=vote.on_behalf_of,
        grant=vote.grant,
        break_glass=vote.break_glass,
    )
    details = {
        "approver": vote.approver,
        "roles": list(vote.roles),
        "approve": vote.approve,
        "reason": vote.reason,
        "snapshot": request.snapshot,
        "round": view.round,
        "own_key": vote.own_key or None,
        "on_behalf_of": vote.on_behalf_of,
        "break_glass": vote.break_glass or None,
    }
    return [
        request.job_id,
        now_ms,
        request.approver,
        int(request.approve),
        request.job_hash,
        request.snapshot,
        request.fresh,
        # The votes that were counted, not the version beside them: the two were read one after the other.
        len(view.votes),
        int(missing == 0),
        int(is_useful(view.requirements, ballot_of(vote), view.created_ms)),
        encoding.pack_vote(stored),
        encoding.pack_details(details),
        view.round,
    ]


def _vote_result(code: bytes, reply: list[Any], missing: int) -> VoteResult:
    match code:
        case b"pending":
            return VoteResult(ApprovalStatus.PENDING, State.HELD, votes_missing=missing)
        case b"rejected":
            return VoteResult(ApprovalStatus.REJECTED, State.DENIED)
        case b"released":
            return VoteResult(ApprovalStatus.RELEASED, State.QUEUED, reply[0].decode() if reply[1] else None)
        case _:
            raise APPROVAL_ERRORS[code.decode()]


def _redecide_args(request: Redecision, now_ms: int) -> list[Arg]:
    """Arguments of `redecide.lua`, in its order."""
    decision = request.decision
    requirements = required_approvals(decision, request.outcome)
    if effective_verdict(decision) is Verdict.DENY:
        to_state = State.DENIED
    else:
        to_state = State.HELD if requirements else State.QUEUED
    expires_s = min((item.expires_s for item in requirements), default=0)
    return [
        request.job_id,
        now_ms,
        to_state,
        request.reservation or "",
        encoding.pack_decision(decision),
        decision.snapshot,
        decision.job_hash,
        encoding.pack_requirements(requirements),
        now_ms + expires_s * 1000,
        encoding.pack_details(encoding.decision_facts(decision)),
        request.code,
    ]


def _view(job_id: JobId, fields: list[Any], votes: list[bytes], who_data: bytes) -> ApprovalView:
    status, job_hash, snapshot, requirements, created, expires, round_, version, resolved, previous, deferred = fields
    who = encoding.unpack_stored(who_data)
    cast = [encoding.unpack_vote(data) for data in votes]
    try:
        return ApprovalView(
            job_id=job_id,
            status=ApprovalStatus(status.decode()),
            job_hash=Digest(job_hash.decode()),
            snapshot=Digest(snapshot.decode()),
            requirements=encoding.unpack_requirements(requirements),
            actor=ActorId(who["actor"]),
            principals=tuple(map(ActorId, who["principals"])),
            topic=who["topic"],
            created_ms=int(created),
            expires_ms=int(expires),
            round=int(round_),
            version=int(version),
            votes=tuple(
                CastVote(
                    approver=ActorId(vote.approver),
                    roles=vote.roles,
                    approve=vote.approve,
                    reason=vote.reason,
                    cast_ms=vote.cast_ms,
                    signed=vote.signed,
                    own_key=vote.own_key,
                    on_behalf_of=None if vote.on_behalf_of is None else ActorId(vote.on_behalf_of),
                    grant=vote.grant,
                    break_glass=vote.break_glass,
                )
                for vote in cast
            ),
            resolved_ms=int(resolved) if resolved else None,
            previous_snapshot=Digest(previous.decode()) if previous else None,
            deferred_until_ms=int(deferred) if deferred else None,
        )
    except (KeyError, ValueError, AttributeError) as error:
        raise StateBroken("a stored approval cannot be read") from error
