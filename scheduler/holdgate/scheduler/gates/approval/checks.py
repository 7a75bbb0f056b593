"""Who may act on an approval, and until when. Pure: what the approval alone does not show is the store's to say."""

from __future__ import annotations

from dataclasses import dataclass

from holdgate.kernel import limits
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, Digest, Tenant
from holdgate.kernel.standing import Ballot, is_useful
from holdgate.scheduler.errors import (
    ApprovalExpired,
    ApprovalForbidden,
    ApprovalReasonRequired,
    ApprovalResolved,
    ApprovalSelf,
)
from holdgate.scheduler.state.approvals import ApprovalStatus, ApprovalView


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


def verify_pending(approval: ApprovalView, now_ms: int) -> None:
    """ApprovalResolved or ApprovalExpired unless a vote may still count."""
    if approval.status is ApprovalStatus.EXPIRED:
        raise ApprovalExpired
    if approval.status is not ApprovalStatus.PENDING:
        raise ApprovalResolved
    if approval.expires_ms <= now_ms:
        raise ApprovalExpired


def verify_may_vote(approver: Approver, approval: ApprovalView, now_ms: int) -> None:
    """ApprovalSelf, ApprovalForbidden; an empty actor is nobody and matches nobody."""
    if not approver.actor:
        raise ApprovalForbidden
    if approver.actor == approval.actor or approver.actor in approval.principals:
        raise ApprovalSelf
    # Whether it must be signed with an own key is the store's to say, which sees the vote.
    ballot = Ballot(approver.actor, approver.actor, frozenset(approver.roles), now_ms, own_key=True)
    if not is_useful(approval.requirements, ballot, approval.created_ms):
        raise ApprovalForbidden
