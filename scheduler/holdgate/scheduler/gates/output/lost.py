"""Results of attempts that the state knows nothing of, for it was set back: they are all that is left of a run.

What always holds: such a message is not let go of while the state may yet learn of its job; a job that came back and
has not started since ends by the result that lies here, in place of running again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from nats.aio.msg import Msg

from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import JobId, Tenant
from holdgate.scheduler.gates.output.message import ResultMessage, RunOutcome
from holdgate.scheduler.state.results import LostClaim, Results, RunningFacts
from holdgate.scheduler.state.transitions import WAITING

Pair: TypeAlias = tuple[Msg, ResultMessage]

JUDGED = frozenset({RunOutcome.SUCCEEDED, RunOutcome.OVERSIZE})
TRIES = 4
"""Deliveries of a message that the state cannot place, over more time than a loss needs to be noticed. No more of them
while the state is sound: whoever may send results may send any number that belong to nothing."""


def may_be_lost(message: ResultMessage, facts: RunningFacts | None) -> bool:
    """Whether it may be of an attempt that the state had and lost, and not of one that is over."""
    # A failure that is to be tried again is: the job is back in the queue.
    if message.outcome not in JUDGED and not (message.outcome is RunOutcome.FAILED and not message.retryable):
        return False
    return facts is None or (facts.state in WAITING and message.attempt > facts.attempt)


async def adopt(results: Results, clock: Clock, tenant: Tenant, pairs: Sequence[Pair]) -> set[JobId]:
    """Jobs that wait for the verdict now, and would have run again. StateUnavailable."""
    claims = [
        LostClaim(message.job_id, message.attempt, message.token, raw.subject.split(".")[-2]) for raw, message in pairs
    ]
    return await results.adopt(tenant, claims, clock.now_ms())


def is_tried(raw: Msg) -> bool:
    """Whether it came often enough to be of nothing."""
    return int(raw.metadata.num_delivered or 1) >= TRIES
