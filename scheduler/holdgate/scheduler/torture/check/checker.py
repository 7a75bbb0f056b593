"""All rules, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from holdgate.scheduler.torture.check import audited, decided, kept, outputs, permits, releases, states, tenants
from holdgate.scheduler.torture.check.case import Case
from holdgate.scheduler.torture.check.evidence import Evidence
from holdgate.scheduler.torture.check.violation import Violation

RULES: tuple[Callable[[Case], Iterator[Violation]], ...] = (
    permits.permitted,
    kept.kept,
    kept.ran,
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
    releases.recorded,
    releases.answered,
    outputs.judged_first,
    outputs.own,
    outputs.unseen,
    tenants.apart,
    audited.complete,
    audited.losses,
    audited.told_of,
)


def check(evidence: Evidence) -> list[Violation]:
    """Every violation in `evidence`, by invariant; empty when all holds. Pure: the same for the same evidence."""
    case = Case.of(evidence)
    found = [violation for rule in RULES for violation in rule(case)]
    return sorted(dict.fromkeys(found), key=lambda item: (item.invariant, item.rule, item.job_id))
