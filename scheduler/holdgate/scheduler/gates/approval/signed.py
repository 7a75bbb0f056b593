"""Votes signed with an approver's own key: what there is to sign, and whether what was signed is that. Pure.

What always holds: a signed vote is stored only where it says exactly what was shown, is signed with a key that the root
lists for this approver, and would hold before the kernel, which verifies it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.errors import Forged, InvalidInput
from holdgate.kernel.ids import ActorId, JobId, Tenant, is_same
from holdgate.kernel.links import Signed, Vote
from holdgate.kernel.permits import open_signed
from holdgate.kernel.trust import ApproverKey, Trust
from holdgate.scheduler.errors import ApprovalSignatureInvalid
from holdgate.scheduler.state.approvals import CastVote, PastRound

SIGNED_AGO_S_MAX = 15 * 60
"""A vote counts by when it says that it was cast; what was signed long ago is to be looked at again."""


@dataclass(frozen=True, slots=True)
class OwnVote:
    """A vote of the approver's own key, once it held. `roles` are those that the root gives the key."""

    signed: Signed
    roles: tuple[str, ...]
    issued_ms: int
    break_glass: bool


def keys_of(actor: ActorId, trust: Trust | None) -> dict[str, ApproverKey]:
    """The keys that the root lists for this approver, by fingerprint."""
    found = {} if trust is None else trust.approvers
    return {name: key for name, key in found.items() if is_same(key.actor, actor)}


def to_sign(expected: Vote, trust: Trust | None) -> dict[str, Any] | None:
    """What a vote of one's own key must say beside reason and time; None for an approver without a key in the root."""
    keys = keys_of(expected.approver, trust)
    if not keys:
        return None
    return {
        "job_id": expected.job_id,
        "job_hash": expected.job_hash,
        "snapshot": expected.snapshot,
        "tenant": expected.tenant,
        "approver": expected.approver,
        "roles": sorted({role for key in keys.values() for role in key.roles}),
        "approve": True,
        "attempt": expected.attempt,
        "expires_ms": expected.expires_ms,
        "expires_at": rfc3339(expected.expires_ms),
        "keys": sorted(keys),
    }


def verify_own(signed: Signed, expected: Vote, trust: Trust | None, now_ms: int) -> OwnVote:
    """The vote, once it says what `expected` does; ApprovalSignatureInvalid otherwise. Roles come from the root."""
    key = None if trust is None else trust.approvers.get(signed.key)
    if trust is None or key is None or not is_same(key.actor, expected.approver):
        raise ApprovalSignatureInvalid("the root lists no such key for you; sign with the one it lists")
    try:
        vote = open_signed(signed, Vote, trust.approver_keys)
    except (Forged, InvalidInput) as error:
        raise ApprovalSignatureInvalid(f"the signed vote does not hold: {error}") from error
    for name in _AS_SHOWN:
        if (said := getattr(vote, name)) != (shown := getattr(expected, name)) or type(said) is not type(shown):
            raise ApprovalSignatureInvalid(f"the signed vote has another `{name}` than was shown or sent")
    _verify_times(vote, expected, now_ms)
    return OwnVote(signed, key.roles, vote.issued_ms, vote.break_glass)


def is_as_signed(vote: CastVote, job_id: JobId, past: PastRound, tenant: Tenant, trust: Trust | None) -> bool:
    """Whether a vote of an earlier round, as Redis gives it, is what was signed then, for this job."""
    key = None if trust is None else trust.approvers.get(vote.signed.key)
    if trust is None or (vote.own_key and (key is None or not is_same(key.actor, vote.approver))):
        return False
    try:
        said = open_signed(vote.signed, Vote, trust.approver_keys if vote.own_key else trust.api)
    except (Forged, InvalidInput):
        return False
    bound = (said.job_id, said.job_hash, said.snapshot, said.tenant)
    words = (said.approver, said.approve, said.reason, said.on_behalf_of, said.grant, said.break_glass)
    return bound == (job_id, past.job_hash, past.snapshot, tenant) and words == (
        vote.approver,
        vote.approve,
        vote.reason,
        vote.on_behalf_of,
        vote.grant,
        vote.break_glass,
    )


_AS_SHOWN = (
    "job_id",
    "job_hash",
    "snapshot",
    "tenant",
    "approver",
    "approve",
    "reason",
    "attempt",
    "on_behalf_of",
    "grant",
    "break_glass",
)


def _verify_times(vote: Vote, expected: Vote, now_ms: int) -> None:
    if type(vote.issued_ms) is not int or type(vote.expires_ms) is not int:
        raise ApprovalSignatureInvalid("the signed vote has no times")
    skew_ms = limits.CLOCK_SKEW_S * 1000
    if not now_ms - SIGNED_AGO_S_MAX * 1000 <= vote.issued_ms <= now_ms + skew_ms:
        raise ApprovalSignatureInvalid("the vote was not signed just now; look again, and sign again")
    if not now_ms < vote.expires_ms <= expected.expires_ms + skew_ms:
        raise ApprovalSignatureInvalid("the signed vote holds for another time than was shown")
