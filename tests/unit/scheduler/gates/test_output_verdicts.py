"""From a run's outcome and a verdict to the job's next state, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdgate.kernel.ids import JobId, LeaseToken, Tenant
from holdgate.scan.output import Inspection, Output
from holdgate.scheduler.gates.output import verdicts
from holdgate.scheduler.gates.output.message import ResultMessage, RunOutcome
from holdgate.scheduler.state.results import RunningFacts
from holdgate.scheduler.state.transitions import TRANSITIONS, State

JOB = JobId("job_018f0000-0000-7000-8000-000000000000")
MESSAGE = ResultMessage(
    Tenant("acme"), JOB, 1, LeaseToken("0" * 32), "w1", RunOutcome.SUCCEEDED, False, Output(b"12345"), 1, 2
)
FACTS = RunningFacts(JOB, State.RUNNING, 1, 3, "job.a.b", {}, "default", "agent", "s", False, None, "w1", "p")

CASES = [
    # outcome, retryable, attempt, state, cancelled, quarantined, next
    (RunOutcome.SUCCEEDED, False, 1, State.RUNNING, False, False, State.SUCCEEDED),
    (RunOutcome.SUCCEEDED, False, 1, State.FINISHING, False, False, State.SUCCEEDED),
    (RunOutcome.SUCCEEDED, False, 1, State.RUNNING, True, False, State.SUCCEEDED),
    (RunOutcome.SUCCEEDED, False, 1, State.FINISHING, False, True, State.QUARANTINED),
    (RunOutcome.OVERSIZE, False, 1, State.FINISHING, False, True, State.QUARANTINED),
    (RunOutcome.FAILED, True, 1, State.RUNNING, False, False, State.QUEUED),
    (RunOutcome.FAILED, True, 1, State.RUNNING, False, True, State.QUEUED),
    (RunOutcome.FAILED, True, 3, State.RUNNING, False, False, State.FAILED),
    (RunOutcome.FAILED, False, 1, State.RUNNING, False, False, State.FAILED),
    (RunOutcome.FAILED, True, 1, State.RUNNING, True, False, State.CANCELLED),
    (RunOutcome.FAILED, True, 1, State.FINISHING, False, False, State.FAILED),
    (RunOutcome.REFUSED, True, 1, State.RUNNING, False, False, State.QUEUED),
    (RunOutcome.REFUSED, False, 1, State.RUNNING, False, False, State.FAILED),
    (RunOutcome.TIMED_OUT, True, 1, State.RUNNING, False, False, State.QUEUED),
    (RunOutcome.TIMED_OUT, True, 3, State.RUNNING, False, False, State.TIMED_OUT),
    (RunOutcome.TIMED_OUT, False, 1, State.FINISHING, False, False, State.FAILED),
    (RunOutcome.CANCELLED, False, 1, State.RUNNING, True, False, State.CANCELLED),
    (RunOutcome.CANCELLED, False, 1, State.RUNNING, False, False, State.QUEUED),
    (RunOutcome.CANCELLED, False, 3, State.RUNNING, False, False, State.FAILED),
]


@pytest.mark.parametrize(("outcome", "retryable", "attempt", "state", "cancelled", "quarantined", "after"), CASES)
def test_the_next_state(
    outcome: RunOutcome,
    retryable: bool,
    attempt: int,
    state: State,
    cancelled: bool,
    quarantined: bool,
    after: State,
) -> None:
    """And it is one that the state table allows, by way of `finishing` where there was a success."""
    message = replace(MESSAGE, outcome=outcome, retryable=retryable, attempt=attempt)
    facts = replace(FACTS, state=state, attempt=attempt, cancel_requested=cancelled)
    assert verdicts.next_state(message, facts, quarantined=quarantined) is after
    via = State.FINISHING if after in (State.SUCCEEDED, State.QUARANTINED) else state
    assert after in TRANSITIONS[via]


@pytest.mark.parametrize(
    ("limit", "outcome", "oversize"),
    [
        (None, RunOutcome.SUCCEEDED, False),
        (5, RunOutcome.SUCCEEDED, False),
        (4, RunOutcome.SUCCEEDED, True),
        (0, RunOutcome.SUCCEEDED, True),
        (None, RunOutcome.OVERSIZE, True),
    ],
)
def test_an_output_over_its_constraint_is_a_finding(limit: int | None, outcome: RunOutcome, oversize: bool) -> None:
    """Or one of which the worker says so."""
    message, facts = replace(MESSAGE, outcome=outcome), replace(FACTS, max_output_bytes=limit)
    kinds = verdicts.kinds_to_decide(message, facts, Inspection())
    assert kinds == ((verdicts.OVERSIZE,) if oversize else ())


def test_long_logs_are_cut_from_their_beginning_and_say_so() -> None:
    """The end is where the cause is."""
    lines = tuple(f"line {number:05d}" for number in range(20_000))
    kept = verdicts.cut(Output(logs=lines)).logs
    assert kept[-1] == lines[-1]
    assert kept[0] == f"[{20_001 - len(kept)} earlier lines were not kept]"
    assert sum(map(len, kept)) < verdicts.LOG_CHARS_MAX + 100
    assert verdicts.cut(Output(logs=lines[:10])).logs == lines[:10]


def test_of_a_quarantined_output_nothing_of_its_text_is_left() -> None:
    """Only that there was an error."""
    shown = verdicts.withheld(Output(b"1", ("log",), {"type": "E", "message": "m", "trace": "t"}, "code"))
    assert (shown.value, shown.logs, shown.code) == (None, (), None)
    assert shown.error == verdicts.WITHHELD
