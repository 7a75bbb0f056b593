"""Who may act on an approval, and until when. Pure: what the approval alone does not show is the store's to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from holdgate.kernel import limits
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, Digest, Tenant, is_same, people_of
from holdgate.kernel.records import ApprovalRequirement
from holdgate.kernel.standing import Ballot, breaks_glass, is_useful
from holdgate.scheduler.errors import (
    ApprovalDuplicateVote,
    ApprovalExpired,
    ApprovalForbidden,
    ApprovalReasonRequired,
    ApprovalResolved,
    ApprovalSelf,
    ApprovalSignatureRequired,
    ApprovalStaleJob,
    ApprovalStalePolicy,
)
from holdgate.scheduler.state.approvals import ApprovalStatus, ApprovalView
from holdgate.scheduler.state.approvals.demands import reading_s_of


@dataclass(frozen=True, slots=True)
class Approver:
    """Who votes, as the API authenticated them."""

    tenant: Tenant
    actor: ActorId
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the approver was shown and sends back."""

    job_hash: Digest
    snapshot: Digest


def verify_reason(reason: str) -> None:
    """ApprovalReasonRequired when there is none; InvalidInput when it is too long."""
    if not reason.strip():
        raise ApprovalReasonRequired
    if len(reason) > limits.REASON_CHARS_MAX:
        raise InvalidInput(f"`reason` is over {limits.REASON_CHARS_MAX} characters")


def verify_shown(shown: Shown, approval: ApprovalView) -> None:
    """ApprovalStaleJob, ApprovalStalePolicy unless the approval is what was shown."""
    if shown.job_hash != approval.job_hash:
        raise ApprovalStaleJob
    if shown.snapshot != approval.snapshot:
        raise ApprovalStalePolicy


def reading_left_ms(seen_ms: int | None, requirements: tuple[ApprovalRequirement, ...], now_ms: int) -> int:
    """How long somebody whose first look was at `seen_ms`, None for now, has to read before they may say yes."""
    return max(0, (now_ms if seen_ms is None else seen_ms) + reading_s_of(requirements) * 1000 - now_ms)


def verify_pending(approval: ApprovalView, now_ms: int) -> None:
    """ApprovalResolved or ApprovalExpired unless a vote may still count."""
    if approval.status is ApprovalStatus.EXPIRED:
        raise ApprovalExpired
    if approval.status is not ApprovalStatus.PENDING:
        raise ApprovalResolved
    if approval.expires_ms <= now_ms:
        raise ApprovalExpired


def verify_may_vote(approver: Approver, approval: ApprovalView, ballot: Ballot) -> None:
    """ApprovalSelf, ApprovalForbidden unless `ballot` of this approver would count; an empty actor is nobody."""
    people = _people_apart(approver, approval, ballot)
    # Whether it must be signed with an own key is the store's to say, which sees the vote.
    signed = replace(ballot, own_key=True)
    if is_useful(approval.requirements, signed, approval.created_ms):
        return
    authors = [item for item in approval.requirements if people & people_of(item.excluded)]
    if authors and is_useful([replace(item, excluded=()) for item in authors], signed, approval.created_ms):
        raise ApprovalForbidden("the rule that holds this job is not released by its own author; ask somebody else")
    raise ApprovalForbidden


def verify_may_break_glass(
    approver: Approver, approval: ApprovalView, unsigned: Ballot, signed: Sequence[Ballot]
) -> None:
    """ApprovalSelf, ApprovalDuplicateVote, ApprovalSignatureRequired, ApprovalForbidden unless the approver can cast a
    vote that breaks the glass: `unsigned`, or one of `signed`, which their own keys could give."""
    _people_apart(approver, approval, unsigned)
    if any(vote.break_glass and is_same(vote.approver, approver.actor) for vote in approval.votes):
        raise ApprovalDuplicateVote
    if _breaks_any(approval, (unsigned, *signed)):
        return
    if _breaks_any(approval, [replace(unsigned, own_key=True)]):
        raise ApprovalSignatureRequired
    raise ApprovalForbidden


def _breaks_any(approval: ApprovalView, ballots: Sequence[Ballot]) -> bool:
    return any(
        breaks_glass(item, replace(ballot, break_glass=True)) for item in approval.requirements for ballot in ballots
    )


def _people_apart(approver: Approver, approval: ApprovalView, ballot: Ballot) -> frozenset[str]:
    """Who casts it, and for whom; ApprovalForbidden where that is nobody, ApprovalSelf where the job is theirs."""
    if not approver.actor or not ballot.person:
        raise ApprovalForbidden
    people = people_of((approver.actor, ballot.person))
    if not people.isdisjoint(people_of((approval.actor, *approval.principals))):
        raise ApprovalSelf
    return people
