"""A job that was held before: what is other now, and whether an earlier yes may be given again in one act. Pure.

What always holds: nothing is carried over by itself; a re-confirmation is offered only to who said yes before, of the
same bytes, where the same rules in the same wording hold the job for the same approvers under the same constraints.
That the yes is what was signed is for the gate to look at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdgate.kernel.ids import ActorId, is_same
from holdgate.kernel.records import Decision
from holdgate.scheduler.state.approvals import ApprovalStatus, ApprovalView, CastVote, PastRound


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is other than it was: plain values of what was shown then and what is shown now."""

    what: str
    before: Any
    after: Any


def changes(past: PastRound, approval: ApprovalView, decision: Decision) -> list[Change]:
    """What differs between the earlier round and this one; `decision` is the present one about the job."""
    pairs = zip(_facts(past, past.decision), _facts(approval, decision), strict=True)
    return [Change(what, before, after) for (what, before), (_, after) in pairs if before != after]


def earlier_yes(past: PastRound | None, approval: ApprovalView, decision: Decision, actor: ActorId) -> CastVote | None:
    """The yes of `actor` that may be given again; None where something that matters is other, or there was none."""
    if past is None or approval.status is not ApprovalStatus.PENDING or past.job_hash != approval.job_hash:
        return None
    asked = past.requirements
    # Without a definition nobody knows whether the rule still says the same; a signature is given anew each time.
    if set(asked) != set(approval.requirements) or any(item.signed or not item.definition for item in asked):
        return None
    was = past.decision
    if set(was.deciding) != set(decision.deciding) or was.constraints != decision.constraints:
        return None
    plain = (vote for vote in past.votes if vote.on_behalf_of is None and vote.grant is None and not vote.break_glass)
    return next(
        (vote for vote in plain if is_same(vote.approver, actor) and vote.approve and vote.reason.strip()), None
    )


def _facts(asked: PastRound | ApprovalView, decision: Decision) -> list[tuple[str, Any]]:
    return [
        ("verdict", str(decision.verdict)),
        ("rules", sorted(decision.deciding)),
        ("reason", decision.reason),
        ("requirements", sorted((item.as_dict() for item in asked.requirements), key=lambda item: str(item["rule"]))),
        ("constraints", decision.constraints.as_dict()),
        ("remediations", [item.as_dict() for item in decision.remediations]),
        ("job_hash", asked.job_hash),
        ("snapshot", asked.snapshot),
    ]
