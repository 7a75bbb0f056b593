"""What the kernel said of picked jobs, sorted: what goes, what ends or is held, what is put back and for how long.

What always holds: what has no permit does not go; what could not be asked about is put back and loses nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from holdgate.kernel.custody import DEADLINE_PASSED, NOT_YET, PermitReply
from holdgate.kernel.errors import KernelUnavailable
from holdgate.kernel.records import Decision
from holdgate.scheduler import metrics
from holdgate.scheduler.gates.custody import CUSTODY_BROKEN, custody_denial
from holdgate.scheduler.gates.dispatch.handover import Permitted, permitted
from holdgate.scheduler.state.backlog import Picked

log = structlog.get_logger(__name__)

INVALID_DELAY_MS = 5_000
UNTIMELY_DELAY_MS = 1_000
"""The clocks of kernel and dispatcher differ: soon the one that is behind says the same."""
NOT_YET_DELAY_MS_MAX = 60_000
"""Or the job was brought forward by somebody; a clock that was wrong must not put it off for long."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why and for how long a job is put back."""

    reason: str
    delay_ms: int = 0


NO_POLICY = Wait("no_policy")
KERNEL_AWAY = Wait(KernelUnavailable.code)
"""In their old order, for the asks pause instead (`Passage.is_closed`)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A picked job that is to be decided anew, with the code of the refusal."""

    item: Picked
    decision: Decision
    code: str


@dataclass(frozen=True, slots=True)
class Sorted:
    """Picked jobs by what the kernel said."""

    permitted: list[Permitted]
    refused: list[Refusal]
    waits: dict[Wait, list[Picked]]

    @property
    def is_closed(self) -> bool:
        """Whether the next jobs would fare no better for now."""
        return NO_POLICY in self.waits or KERNEL_AWAY in self.waits


def sort(picked: Sequence[Picked], replies: Sequence[PermitReply], now_ms: int) -> Sorted:
    """Each of `picked` where its reply puts it."""
    out = Sorted([], [], defaultdict(list))
    for item, reply in zip(picked, replies, strict=True):
        going = permitted(item, reply.decision, reply.permit)
        if going is not None:
            out.permitted.append(going)
            continue
        counted, place = _placed(item, reply, now_ms)
        metrics.DISPATCH_REFUSED.labels(counted).inc()
        if isinstance(place, Refusal):
            out.refused.append(place)
        else:
            out.waits[place].append(item)
    return out


def broken(item: Picked, why: str, now_ms: int) -> Refusal:
    """The end of a job whose record or payload is not what the api signed."""
    last = item.last_decision
    return Refusal(item, custody_denial(last.snapshot, last.job_hash, why, now_ms), CUSTODY_BROKEN)


def _placed(item: Picked, reply: PermitReply, now_ms: int) -> tuple[str, Refusal | Wait]:
    """As what a job without a permit is counted, and where it goes."""
    refusal, decision = reply.refusal or "invalid_reply", reply.decision
    if refusal.startswith("forged"):
        return CUSTODY_BROKEN, broken(item, f"{refusal}: {reply.message}", now_ms)
    if refusal == NO_POLICY.reason:
        # Nothing runs, and nothing is lost: what the next policy says of it counts.
        return refusal, NO_POLICY
    if refusal == KERNEL_AWAY.reason:
        # It fell silent in the middle: those before this one have their answers.
        return refusal, KERNEL_AWAY
    if refusal in (NOT_YET, DEADLINE_PASSED):
        return refusal, Wait(refusal, _untimely_ms(item, refusal, now_ms))
    if decision is None or refusal.startswith("invalid"):
        log.error("the kernel could not read a request for a permit", action="permit_invalid",
                  job_id=item.job.job_id, code=refusal)  # fmt: skip
        return "invalid", Wait(refusal, INVALID_DELAY_MS)
    if refusal == "denied":
        return refusal, Refusal(item, decision, refusal)
    return "votes_invalid" if item.votes else "needs_approval", Refusal(item, decision, refusal)


def _untimely_ms(item: Picked, refusal: str, now_ms: int) -> int:
    """When to ask again: at the job's time. One that is too late is back for the reaper, which ends it."""
    wait_ms = (item.job.run_at_ms or 0) - now_ms if refusal == NOT_YET else 0
    return min(max(wait_ms, UNTIMELY_DELAY_MS), NOT_YET_DELAY_MS_MAX)
