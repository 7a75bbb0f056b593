"""All rules, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from holdgate.scheduler.torture.check import (
    audited,
    bounds,
    decided,
    kept,
    outputs,
    permits,
    releases,
    serving,
    states,
    tenants,
)
from holdgate.scheduler.torture.check.case import Case
from holdgate.scheduler.torture.check.evidence import Evidence
from holdgate.scheduler.torture.check.violation import Violation

RULES: tuple[Callable[[Case], Iterator[Violation]], ...] = (
    kept.collected,
    permits.permitted,
    kept.kept,
    kept.ran,
    kept.stayed,
    kept.once,
    kept.logged,
    states.resting,
    states.chained,
    states.seen_forward,
    permits.closed,
    permits.cancelled,
    permits.explained,
    decided.refused,
    decided.looked_at,
    bounds.timely,
    bounds.tried,
    bounds.together,
    bounds.throttled,
    releases.recorded,
    releases.answered,
    outputs.judged_first,
    outputs.own,
    outputs.sealed,
    outputs.unseen,
    tenants.apart,
    serving.served,
    audited.complete,
    audited.losses,
    audited.told_of,
)


def check(evidence: Evidence) -> list[Violation]:
    """Every violation in `evidence`, by invariant; empty when all holds. Pure: the same for the same evidence."""
    case = Case.of(evidence)
    found = [violation for rule in RULES for violation in rule(case)]
    return sorted(dict.fromkeys(found), key=lambda item: (item.invariant, item.rule, item.job_id))
