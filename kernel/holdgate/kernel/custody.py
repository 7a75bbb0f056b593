"""Second and third link of the chain of custody: what must be proven before the kernel signs a permit. No IO.

What always holds: a permit is signed only for a job whose admission an api key of the root signed, byte for byte this
job, for this tenant, actor and principals; a held job only with the votes that the rules of *now* demand, given for this
job under the snapshot of *now*, by people who are neither its author nor anyone it acts for. One function verifies votes
for the api and for the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdgate.kernel import limits
from holdgate.kernel.errors import Forged
from holdgate.kernel.ids import ActorId, PermitId, WorkerId
from holdgate.kernel.permits import Keyring, Signer, open_signed, seal
from holdgate.kernel.records import (
    ALLOWING,
    Admission,
    ApprovalRequirement,
    Decision,
    Job,
    Outcome,
    Over,
    Permit,
    Signed,
    Verdict,
    Vote,
)
from holdgate.kernel.trust import Trust

DEFAULT_APPROVER_ROLE = "approver"
"""Who releases a job held over a rate limit, where the rule names nobody."""
VOTES_MAX = 64
"""Signed votes that one permit request may carry; each costs a signature check."""


@dataclass(frozen=True, slots=True)
class PermitRequest:
    """What the dispatcher shows the kernel: the job as it will be handed over, and the signed links before it."""

    job: Job
    admission: Signed
    attempt: int
    pool: str
    worker: WorkerId
    votes: tuple[Signed, ...] = ()


@dataclass(frozen=True, slots=True)
class PermitReply:
    """`permit` is there only when the job may run now; otherwise `refusal` says why not.

    refusal        what it means for the job
    denied         `decision` says deny: queued → denied
    no_policy      deny because there is no valid policy at all
    needs_approval held by the rules of now, and no votes: queued → held
    votes_*        there are votes, but they do not hold (a suffix says which check): queued → held, votes void
    forged_*       the admission or the job is not what the api signed: nothing may run; an alarm
    invalid_*      the request itself is malformed, or lacks the payload that rules read
    """

    decision: Decision | None
    permit: Signed | None = None
    refusal: str | None = None
    message: str = ""
    permit_record: Permit | None = None


class VotesInvalid(Forged):
    """the votes do not release this job"""

    code = "votes_invalid"


def required_approvals(decision: Decision, outcome: Outcome | None) -> tuple[ApprovalRequirement, ...]:
    """Who must release the job before it may run; empty when nobody must.

    `outcome` is how the job entered: a job held because it was over a rate limit stays held as long as the limit's
    rule matches, whoever brings it.
    """
    raise NotImplementedError


def verify_votes(
    votes: Sequence[Signed],
    requirements: Sequence[ApprovalRequirement],
    job: Job,
    decision: Decision,
    trust: Trust,
    now_ms: int,
) -> tuple[Vote, ...]:
    """The votes, once they meet all `requirements` for this job under `decision.snapshot`; VotesInvalid otherwise."""
    raise NotImplementedError
