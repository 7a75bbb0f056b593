"""Invariants 4 and 5: what ran is what the policy of the load lets run, whatever anybody recorded of its verdict."""

from __future__ import annotations

from collections.abc import Iterator

from holdgate.scheduler.torture.check.case import Case
from holdgate.scheduler.torture.check.evidence import Run
from holdgate.scheduler.torture.check.trail import told
from holdgate.scheduler.torture.check.violation import Violation

REFUSED = "job.torture.denied"
QUORUM = {"job.torture.held": 1, "job.torture.held-for-two": 2}
"""By topic, as the rules beside `torture.policy` have it: how many must have said yes."""


def refused(case: Case) -> Iterator[Violation]:
    """What the policy denies is not taken, and does not run."""
    for call in case.calls:
        if call.op == "submit" and call.asked.get("topic") == REFUSED and call.http == 202:
            yield Violation(
                "denied_accepted",
                4,
                f"{call.job_id} is denied by the policy and was taken",
                call.job_id,
                call.tenant,
                case.calls_about(call.job_id),
            )
    for run in _runs(case):
        if run.topic == REFUSED:
            yield _violation(case, run, "denied_ran", 4, "the policy denies it")


def looked_at(case: Case) -> Iterator[Violation]:
    """What people must release runs after as many of them said yes."""
    for run in _runs(case):
        events = case.events_of(run.tenant, run.job_id)
        since_ms = min((event["time_ms"] for event in events), default=run.started_ms)
        if run.topic not in QUORUM or case.excuses.lost(since_ms, run.started_ms):
            continue
        said = {event.get("approver") for event in events if event["type"] == "approval.vote" and event.get("approve")}
        if len(said) < QUORUM[run.topic]:
            message = f"{len(said)} people said yes, of {QUORUM[run.topic]}"
            yield _violation(case, run, "ran_unreleased", 5, message)


def _runs(case: Case) -> Iterator[Run]:
    for runs in case.runs.values():
        yield from runs


def _violation(case: Case, run: Run, rule: str, invariant: int, message: str) -> Violation:
    evidence = (*case.calls_about(run.job_id), *map(told, case.events_of(run.tenant, run.job_id)))
    text = f"{run.job_id}, attempt {run.attempt}, ran, and {message}"
    return Violation(rule, invariant, text, run.job_id, run.tenant, evidence)
