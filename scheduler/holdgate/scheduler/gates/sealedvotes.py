"""Votes on sealed outputs, signed by the api that took them, so that whoever writes into the store makes none up.

What always holds: a signature is over all that the vote says, and over the output that it is about; a vote whose
signature does not hold under the keys of the trust root in force counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.errors import Forged
from holdgate.kernel.ids import Tenant
from holdgate.kernel.links import Signed
from holdgate.kernel.permits import Keyring, Signer
from holdgate.scheduler.state.quarantine import QuarantineItem, SealedVote

DOMAIN = "quarantine_vote"


def sign_vote(vote: SealedVote, tenant: Tenant, item: QuarantineItem, signer: Signer) -> SealedVote:
    """The same, signed."""
    signed = signer.sign(DOMAIN, _body(vote, tenant, item))
    return replace(vote, key=signed.key, signature=signed.signature)


def votes_that_hold(
    votes: Iterable[SealedVote], tenant: Tenant, item: QuarantineItem, keyring: Keyring
) -> tuple[SealedVote, ...]:
    """Those of `votes` that an api of the trust root signed, as they are."""
    return tuple(vote for vote in votes if _holds(vote, tenant, item, keyring))


def _holds(vote: SealedVote, tenant: Tenant, item: QuarantineItem, keyring: Keyring) -> bool:
    try:
        keyring.verify(DOMAIN, Signed(_body(vote, tenant, item), vote.key, vote.signature))
    except Forged:
        return False
    return True


def _body(vote: SealedVote, tenant: Tenant, item: QuarantineItem) -> bytes:
    return canonical_bytes(
        {
            "tenant": tenant,
            "job_id": item.job_id,
            "attempt": item.attempt,
            "digest": item.digest,
            "act": str(vote.act),
            "replacement": vote.replacement,
            "approver": vote.approver,
            "reason": vote.reason,
            "cast_ms": vote.cast_ms,
        }
    )
