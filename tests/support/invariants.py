"""What must hold of everything the state keeps, whatever happened before: the checker's rules over one tenant."""

from __future__ import annotations

from collections import Counter

from holdgate.scheduler.state.transitions import DEAD, TERMINAL, State
from holdgate.scheduler.torture.check.dump import Dump, dump
from holdgate.scheduler.torture.check.rest import at_rest
from holdgate.scheduler.torture.check.trail import chains, gaps, join

__all__ = ["Dump", "dump", "is_final", "verify"]


def verify(found: Dump) -> None:
    """AssertionError when something does not hold."""
    trail, violations = join("tenant", [], [event.as_dict() for event in found.events])
    violations += [*at_rest(found, "tenant"), *gaps(trail), *(found for found, *_ in chains(trail))]
    assert not violations, "\n".join(map(str, violations))
    _verify_approvals_used_once(found)
    for job_id in found.jobs:
        moves = trail.moves(job_id)
        assert moves, f"{job_id}: in no audit event"
        assert moves[-1]["to"] == found.state(job_id), f"{job_id}: the audit log ends with `{moves[-1]['to']}`"


def _verify_approvals_used_once(found: Dump) -> None:
    credit: Counter[str] = Counter()
    for event in found.events:
        job_id = event.job_id or ""
        if event.type == "approval.consumed":
            credit[job_id] -= 1
            assert credit[job_id] == 0, f"{job_id}: an approval was used twice"
        if event.before == State.HELD and event.after == State.QUEUED:
            credit[job_id] = 1


def is_final(state: State) -> bool:
    """Whether only a person could change it."""
    return state in TERMINAL or state in DEAD
