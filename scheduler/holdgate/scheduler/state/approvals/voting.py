"""A vote on its way into the store: what `vote.lua` is told, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from holdgate.kernel.standing import is_useful
from holdgate.scheduler.errors import (
    APPROVAL_ERRORS,
    ApprovalConfirmationRequired,
    ApprovalDuplicateVote,
    ApprovalForbidden,
    ApprovalSignatureRequired,
    ApprovalTooSoon,
)
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.approvals.records import (
    ApprovalStatus,
    ApprovalView,
    CastVote,
    VoteRequest,
    VoteResult,
    ballot_of,
    tally_of,
    votes_missing,
)
from holdgate.scheduler.state.connection import Arg
from holdgate.scheduler.state.transitions import State

DELEGATIONS = "delegations"
"""The detail of a vote in somebody's stead that names what gives the approver that right."""


def cast(request: VoteRequest, now_ms: int) -> CastVote:
    """The vote as it would stand on record."""
    return CastVote(
        approver=request.approver,
        roles=request.roles,
        approve=request.approve,
        reason=request.reason,
        cast_ms=now_ms,
        signed=request.signed,
        own_key=request.own_key,
        on_behalf_of=request.on_behalf_of,
        break_glass=request.break_glass,
        keyed=request.keyed,
    )


def vote_args(request: VoteRequest, vote: CastVote, view: ApprovalView, now_ms: int) -> list[Arg]:
    """Arguments of `vote.lua`, in its order."""
    reading_ms = 0 if request.break_glass or request.has_read or not vote.approve else view.reading_s * 1000
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
        int(votes_missing(view, (*view.votes, vote)) == 0),
        _refusal(request, vote, view),
        encoding.pack_vote(_stored(vote)),
        encoding.pack_details(_vote_details(request, vote, view)),
        view.round,
        request.on_behalf_of or request.approver,
        reading_ms,
        int(vote.break_glass),
        int(broke_glass(view, (*view.votes, vote))),
        encoding.pack_details(_end_details(vote, view)),
        *dict(request.details).get(DELEGATIONS, ()),
    ]


def vote_result(code: bytes, reply: list[Any], view: ApprovalView, vote: CastVote) -> VoteResult:
    """What became of it; the errors of a vote."""
    match code:
        case b"pending":
            found = tally_of(view, (*view.votes, vote))
            return VoteResult(
                ApprovalStatus.PENDING, State.HELD, votes_missing=found.ordinary_missing, glass_votes=found.glass
            )
        case b"rejected":
            return VoteResult(ApprovalStatus.REJECTED, State.DENIED)
        case b"released":
            glass = broke_glass(view, (*view.votes, vote))
            pool = reply[0].decode() if reply[1] else None
            return VoteResult(ApprovalStatus.RELEASED, State.QUEUED, pool, broke_glass=glass)
        case b"approval_too_soon":
            raise ApprovalTooSoon(retry_after_ms=int(reply[0]))
        case b"approval_duplicate_vote" if reply and reply[0] == b"person":
            raise ApprovalDuplicateVote(f"`{vote.on_behalf_of or vote.approver}` counts already; one person, one vote")
        case b"approval_duplicate_vote" if vote.break_glass:
            raise ApprovalDuplicateVote("you broke the glass already; it takes somebody else, or the rule's approvers")
        case _:
            raise APPROVAL_ERRORS[code.decode()]


def broke_glass(view: ApprovalView, votes: Sequence[CastVote]) -> bool:
    """Whether `votes` release the job, and would not have without those that broke the glass."""
    plain = [vote for vote in votes if not vote.break_glass]
    return len(plain) < len(votes) and votes_missing(view, votes) == 0 and votes_missing(view, plain) > 0


def _refusal(request: VoteRequest, vote: CastVote, view: ApprovalView) -> str:
    """The code of what the rules refuse this vote for; '' where it counts. A no needs neither signature nor text."""
    ballot = ballot_of(vote)
    as_if_signed = replace(ballot, own_key=True)
    if not vote.approve:
        return "" if is_useful(view.requirements, as_if_signed, view.created_ms) else ApprovalForbidden.code
    if not is_useful(view.requirements, ballot, view.created_ms):
        may = is_useful(view.requirements, as_if_signed, view.created_ms)
        return ApprovalSignatureRequired.code if may else ApprovalForbidden.code
    if not vote.break_glass and view.confirm != request.confirm.strip() and view.confirm:
        return ApprovalConfirmationRequired.code
    return ""


def _stored(vote: CastVote) -> encoding.StoredVote:
    return encoding.StoredVote(
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
        keyed=vote.keyed,
    )


def _vote_details(request: VoteRequest, vote: CastVote, view: ApprovalView) -> dict[str, Any]:
    return {
        "approver": vote.approver,
        "roles": list(vote.roles),
        "approve": vote.approve,
        "reason": vote.reason,
        "snapshot": request.snapshot,
        "round": view.round,
        "own_key": vote.own_key or None,
        "on_behalf_of": vote.on_behalf_of,
        "grant": vote.grant,
        "break_glass": vote.break_glass or None,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in request.details},
    }


def _end_details(vote: CastVote, view: ApprovalView) -> dict[str, Any]:
    """Of the release or rejection that this vote completes: all who said so."""
    alike = [item for item in (*view.votes, vote) if item.approve == vote.approve and not item.is_void]
    return {
        "approvers": list(dict.fromkeys(item.approver for item in alike)),
        "voted_for": [item.on_behalf_of for item in alike if item.on_behalf_of] or None,
        "rules": list(view.rules),
        "round": view.round,
        "snapshot": view.snapshot,
        "reason": vote.reason,
        "own_key": [item.approver for item in alike if item.own_key] or None,
        "break_glass": (vote.approve and broke_glass(view, (*view.votes, vote))) or None,
    }
