"""What the record of a job says of how it entered, read before its signatures are checked.

What always holds: what is read here can only make a gate stricter; whether it is what the api signed is the kernel's to
say, and a job of which it is not ends by `custody_denial`.
"""

from __future__ import annotations

from holdgate.kernel import limits
from holdgate.kernel.canonical import parse_json
from holdgate.kernel.custody import required_approvals
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import Digest
from holdgate.kernel.links import Signed
from holdgate.kernel.records import ALLOWING, ApprovalRequirement, Decision, Outcome, Phase, Verdict

CUSTODY_BROKEN = "custody_broken"


def approvals_of(decision: Decision, admission: Signed) -> tuple[ApprovalRequirement, ...]:
    """Who must release the job under `decision`, given how the signed `admission` says that it entered."""
    if decision.verdict in ALLOWING:
        return ()  # however it entered: spares nearly every job the reading of its admission
    return required_approvals(decision, outcome_of(admission))


def outcome_of(admission: Signed) -> Outcome | None:
    """How a job entered, as its admission says."""
    # Read before its signature is checked, which the kernel does: here it can only make the gate stricter.
    try:
        body = parse_json(admission.body)
        return Outcome(str(body["outcome"])) if isinstance(body, dict) and "outcome" in body else None
    except (InvalidInput, ValueError):
        return None


def custody_denial(snapshot: Digest, job_hash: Digest, why: str, now_ms: int) -> Decision:
    """The end of a job whose record or payload is not what the api signed; bound to what it was last decided as."""
    return Decision(
        verdict=Verdict.DENY,
        reason=f"chain of custody broken ({why})"[: limits.REASON_CHARS_MAX],
        snapshot=snapshot,
        job_hash=job_hash,
        phase=Phase.DISPATCH,
        decided_ms=now_ms,
        errors=(CUSTODY_BROKEN,),
    )
