"""How an approval lies in Redis: the arguments of the scripts that change it, in their order, and what is read back."""

from __future__ import annotations

from typing import Any

import msgpack

from holdgate.kernel.custody import effective_verdict, required_approvals
from holdgate.kernel.ids import ActorId, Digest, JobId
from holdgate.kernel.records import Verdict
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.approvals.demands import escalates_ms
from holdgate.scheduler.state.approvals.records import (
    ApprovalStatus,
    ApprovalView,
    CastVote,
    HeldChange,
    PastRound,
    Redecision,
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
    "escalated",
    "shape",
)


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
        escalates_ms(requirements, now_ms) or 0,
        request.job_shape,
    ]


def view_of(job_id: JobId, fields: list[Any], votes: list[bytes], who_data: bytes) -> ApprovalView:
    """Of the values of FIELDS, the votes and who submitted; StateBroken when they cannot be read."""
    record = dict(zip(FIELDS, fields, strict=True))
    who = encoding.unpack_stored(who_data)
    try:
        return ApprovalView(
            job_id=job_id,
            status=ApprovalStatus(record["status"].decode()),
            job_hash=Digest(record["hash"].decode()),
            snapshot=Digest(record["snapshot"].decode()),
            requirements=encoding.unpack_requirements(record["requirements"]),
            actor=ActorId(who["actor"]),
            principals=tuple(map(ActorId, who["principals"])),
            topic=who["topic"],
            created_ms=int(record["created"]),
            expires_ms=int(record["expires"]),
            round=int(record["round"]),
            version=int(record["version"]),
            votes=tuple(map(cast_vote, votes)),
            resolved_ms=_number(record["resolved"]),
            previous_snapshot=Digest(record["previous"].decode()) if record["previous"] else None,
            deferred_until_ms=_number(record["deferred"]),
            escalated_ms=_number(record["escalated"]),
            job_shape=(record["shape"] or b"").decode(),
        )
    except (KeyError, ValueError, AttributeError) as error:
        raise StateBroken("a stored approval cannot be read") from error


def cast_vote(data: bytes) -> CastVote:
    """A vote on record; StateBroken when it cannot be read."""
    vote = encoding.unpack_vote(data)
    return CastVote(
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
        keyed=vote.keyed,
    )


def past_round(data: bytes) -> PastRound:
    """What `redecide.lua` kept of an earlier round; StateBroken when it cannot be read."""
    try:
        status, snapshot, round_, requirements, created, ended, job_hash, decision, votes = msgpack.unpackb(
            data, raw=True
        )
        return PastRound(
            status=ApprovalStatus(status.decode()),
            job_hash=Digest(job_hash.decode()),
            snapshot=Digest(snapshot.decode()),
            requirements=encoding.unpack_requirements(requirements),
            round=int(round_),
            created_ms=int(created),
            ended_ms=int(ended),
            decision=encoding.unpack_decision(decision),
            # An empty list of Lua is an empty map of msgpack.
            votes=tuple(map(cast_vote, votes or ())),
        )
    except (ValueError, AttributeError, TypeError, msgpack.UnpackException) as error:
        raise StateBroken("an earlier round of an approval cannot be read") from error


def held_change(entry_id: bytes, fields: list[bytes]) -> HeldChange:
    """One entry of the newest changes."""
    record = dict(zip(fields[::2], fields[1::2], strict=True))
    return HeldChange(int(entry_id.partition(b"-")[0]), JobId(record[b"j"].decode()), State(record[b"s"].decode()))


def _number(value: bytes | None) -> int | None:
    return int(value) if value else None
