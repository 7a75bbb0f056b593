"""Votes signed with an approver's own key, for `--sign`.

What always holds: what is signed is the kernel's record of a vote, made of what was shown and of what the API asks for
besides in `to_sign`; job hash and snapshot come from what was shown and from nowhere else, and nothing is signed before
the hash was computed here from the job that was shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from holdgate.bundles.cli.signing import PassphraseFrom
from holdgate.bundles.keys import load_signer
from holdgate.client.models import Approval, SignedVote
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, Digest, JobId, Tenant
from holdgate.kernel.links import Vote
from holdgate.kernel.permits import seal
from holdgate.scheduler.cli.people.proof import proved_job


def signed_with(
    file: Path, passphrase: PassphraseFrom, shown: Approval, reason: str, *, break_glass: bool = False
) -> SignedVote:
    """A yes to what was shown, signed with the key in `file`; InvalidInput where its hash is not over it."""
    vote = vote_of(shown, reason, SystemClock().now_ms(), break_glass=break_glass)
    proved_job(shown)
    signed = seal(vote, load_signer(file, passphrase.known))
    return SignedVote(signed.body, signed.key, signed.signature)


def vote_of(shown: Approval, reason: str, now_ms: int, *, break_glass: bool = False) -> Vote:
    """The record; InvalidInput where the API does not say what it has to hold."""
    asked = shown.to_sign
    if not asked:
        raise InvalidInput(_why_not(shown))
    try:
        return Vote(
            job_id=JobId(shown.job_id),
            job_hash=Digest(shown.job_hash),
            snapshot=Digest(shown.snapshot),
            tenant=Tenant(asked["tenant"]),
            approver=ActorId(asked["approver"]),
            roles=_roles(asked),
            approve=True,
            reason=reason,
            attempt=int(asked["attempt"]),
            issued_ms=now_ms,
            expires_ms=int(asked["expires_ms"]),
            break_glass=break_glass,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput("the API does not say what a vote must hold; is it of this version?") from error


def _why_not(shown: Approval) -> str:
    """Why nothing can be signed, and what to do."""
    if shown.status != "pending":
        return f"nothing of `{shown.job_id}` can be signed any more: it is {shown.status}"
    return (
        "the trust root lists no key under your name: give the public one to whoever signs the root, under "
        "`approvers` (docs/how-to/keys-and-roots.md)"
    )


def _roles(asked: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(role) for role in asked.get("roles") or ())
