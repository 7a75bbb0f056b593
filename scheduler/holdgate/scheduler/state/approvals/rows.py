"""How an approval lies in Redis: the arguments of the scripts that change it, in their order, and what is read back."""

from __future__ import annotations

from typing import Any

from holdgate.kernel.custody import effective_verdict, required_approvals
from holdgate.kernel.ids import ActorId, Digest, JobId
from holdgate.kernel.records import Verdict
from holdgate.kernel.standing import is_useful
from holdgate.scheduler.errors import APPROVAL_ERRORS, StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.approvals.records import (
    ApprovalStatus,
    ApprovalView,
    CastVote,
    Redecision,
    VoteRequest,
    VoteResult,
    ballot_of,
)
from holdgate.scheduler.state.connection import Arg
from holdgate.scheduler.state.transitions import State

FIELDS = (
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


def vote_args(request: VoteRequest, vote: CastVote, view: ApprovalView, *, missing: int, now_ms: int) -> list[Arg]:
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


def vote_result(code: bytes, reply: list[Any], missing: int) -> VoteResult:
    match code:
        case b"pending":
            return VoteResult(ApprovalStatus.PENDING, State.HELD, votes_missing=missing)
        case b"rejected":
            return VoteResult(ApprovalStatus.REJECTED, State.DENIED)
        case b"released":
            return VoteResult(ApprovalStatus.RELEASED, State.QUEUED, reply[0].decode() if reply[1] else None)
        case _:
            raise APPROVAL_ERRORS[code.decode()]


def redecide_args(request: Redecision, now_ms: int) -> list[Arg]:
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


def view_of(job_id: JobId, fields: list[Any], votes: list[bytes], who_data: bytes) -> ApprovalView:
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
