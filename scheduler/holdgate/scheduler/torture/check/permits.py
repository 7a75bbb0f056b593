"""Invariants 1 and 4: no run without a permit that was valid then, none while nobody permits, none after a cancel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from holdgate.kernel import limits
from holdgate.scheduler.torture.check.case import Case
from holdgate.scheduler.torture.check.evidence import Run
from holdgate.scheduler.torture.check.trail import Fact, told
from holdgate.scheduler.torture.check.violation import Violation

SKEW_MS = limits.CLOCK_SKEW_S * 1000
LIFETIME_MS = limits.PERMIT_LIFETIME_S * 1000
INTERNAL = 500
CLOSES_WITHIN_MS = 250
"""A kernel that is killed is gone; an answer that it gave just before may be on its way."""


def issued_ms(permit_id: str) -> int:
    """When a permit was made: its id is a UUIDv7. -1 for what is none."""
    try:
        return int(permit_id.removeprefix("permit_").replace("-", "")[:12], 16)
    except ValueError:
        return -1


def permitted(case: Case) -> Iterator[Violation]:
    """Each run has a permit of its own: recorded, for this job, attempt and worker, and valid when it started."""
    used = Counter(run.permit_id for runs in case.runs.values() for run in runs)
    for job_id, runs in case.runs.items():
        for run in runs:
            recorded = next(
                (
                    event
                    for event in case.events_of(run.tenant, job_id)
                    if event["type"] == "job.running" and event.get("permit_id") == run.permit_id
                ),
                None,
            )
            yield from _recorded(case, run, recorded)
            yield from _timely(case, run)
            if used[run.permit_id] > 1:
                yield _violation(
                    case, run, "permit_used_twice", f"{run.permit_id} let {used[run.permit_id]} runs start"
                )
        yield from _attempts(case, runs)


def _recorded(case: Case, run: Run, recorded: Fact | None) -> Iterator[Violation]:
    if recorded is None:
        if not case.excuses.lost(issued_ms(run.permit_id), run.started_ms):
            yield _violation(case, run, "run_without_permit", f"the run under `{run.permit_id}` was never recorded")
        return
    is_same = recorded.get("attempt") == run.attempt and f"-{run.pid}-" in str(recorded.get("worker"))
    if not is_same:
        message = f"the permit was for attempt {recorded.get('attempt')} at `{recorded.get('worker')}`"
        yield _violation(case, run, "permit_for_other", message)


def _timely(case: Case, run: Run) -> Iterator[Violation]:
    issued = issued_ms(run.permit_id)
    if case.excuses.wrong_clock(issued, run.started_ms, "kernel", "worker"):
        return
    latest_ms = issued + LIFETIME_MS + SKEW_MS + case.paused_ms(issued, run.started_ms)
    if not issued - SKEW_MS <= run.started_ms <= latest_ms:
        message = f"started at {run.started_ms}, {run.started_ms - issued} ms after its permit was made"
        yield _violation(case, run, "permit_expired", message)


def _attempts(case: Case, runs: list[Run]) -> Iterator[Violation]:
    by_attempt = Counter(run.attempt for run in runs)
    for attempt, count in by_attempt.items():
        of_it = [run for run in runs if run.attempt == attempt]
        if count > 1 and not case.excuses.lost(of_it[0].started_ms, of_it[-1].started_ms):
            yield _violation(case, of_it[-1], "attempt_ran_twice", f"attempt {attempt} ran {count} times")


def closed(case: Case) -> Iterator[Violation]:
    """While nobody was there to permit, nothing was permitted, and nothing started once old permits were over."""
    for window in case.evidence.closed:
        since_ms = window.since_ms + CLOSES_WITHIN_MS
        for runs in case.runs.values():
            for run in runs:
                issued = issued_ms(run.permit_id)
                if case.excuses.wrong_clock(issued, run.started_ms, "kernel", "worker"):
                    continue
                if since_ms < issued < window.until_ms:
                    message = f"permitted at {issued}, while {window.why}"
                    yield _violation(case, run, "permitted_while_closed", message, 4)
                elif since_ms + LIFETIME_MS + SKEW_MS < run.started_ms < window.until_ms:
                    message = f"started at {run.started_ms}, while {window.why}"
                    yield _violation(case, run, "ran_while_closed", message, 4)


def cancelled(case: Case) -> Iterator[Violation]:
    """Nothing of a job starts once a cancel of it was told to be done, or to have been asked for."""
    for call in case.calls:
        if call.op != "cancel" or call.http not in (200, 202) or call.replied_ms is None:
            continue
        if case.excuses.lost(call.asked_ms, call.replied_ms):
            continue
        for run in case.runs.get(call.job_id, ()):
            if run.started_ms > call.replied_ms and not _was_started(case, run, call.replied_ms):
                message = f"started at {run.started_ms}, after a cancel was answered {call.http} at {call.replied_ms}"
                yield _violation(case, run, "ran_after_cancel", message, 4)


def explained(case: Case) -> Iterator[Violation]:
    """A refusal says why: nobody is told that something went wrong inside."""
    for call in case.calls:
        if call.http == INTERNAL:
            message = f"call {call.number} ({call.op}) was answered {INTERNAL}"
            yield Violation("internal_error", 4, message, call.job_id, call.tenant, (str(call),))


def _was_started(case: Case, run: Run, at_ms: int) -> bool:
    """Whether the run was handed over before, and only its worker began late."""
    return any(
        event["type"] == "job.running" and event.get("permit_id") == run.permit_id and event["time_ms"] <= at_ms
        for event in case.events_of(run.tenant, run.job_id)
    )


def _violation(case: Case, run: Run, rule: str, message: str, invariant: int = 1) -> Violation:
    text = f"{run.job_id}, attempt {run.attempt}: {message}"
    shown = f"run of attempt {run.attempt} by process {run.pid} from {run.started_ms} to {run.ended_ms} ({run.how})"
    evidence = (*case.calls_about(run.job_id), *map(told, case.events_of(run.tenant, run.job_id)), shown)
    return Violation(rule, invariant, text, run.job_id, run.tenant, evidence)
