"""Runs that nobody permitted, or that began when none might."""

from __future__ import annotations

from dataclasses import replace

from holdgate.kernel.ids import new_permit_id
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.torture.check import Closed
from support.breaks.breaking import Break, change
from support.tale import Tale, Told

HOUR_MS = 3_600_000


def run_without_permit(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    forged = new_permit_id(tale.runs[0].started_ms)
    tale.runs.append(replace(tale.runs[0], permit_id=forged))


def run_late(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.runs[0] = replace(tale.runs[0], started_ms=tale.runs[0].started_ms + 40_000)


def run_twice_by_one_permit(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.runs.append(replace(tale.runs[0], started_ms=tale.now_ms))


def run_another_attempt(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.runs[0] = replace(tale.runs[0], attempt=2)


def run_at_another_worker(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.runs[0] = replace(tale.runs[0], pid=815)


def run_after_a_cancel(tale: Tale, _ran: Told, _held: Told, foreign: Told) -> None:
    foreign.state = State.QUEUED
    tale.start(foreign)
    foreign.state = State.CANCELLED


def run_after_a_cancel_was_asked_for(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    job = tale.submit()
    tale.move(job, State.ACCEPTED, State.QUEUED)
    tale.start(job)
    call = tale.ask("default", "agent", "cancel", job_id=job.job_id)
    tale.event(job, "job.cancel_requested", State.RUNNING, State.RUNNING)
    tale.answer(call, 202, job_id=job.job_id, state="running")
    tale.move(job, State.RUNNING, State.QUEUED)
    tale.start(job)
    tale.end(job)


def permit_while_closed(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.closed.append(Closed(tale.now_ms, tale.now_ms + HOUR_MS, "every kernel was away"))
    tale.now_ms += 1_000
    tale.run(tale.submit())


def run_long_after_it_closed(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    since_ms = tale.runs[0].started_ms
    tale.closed.append(Closed(since_ms, since_ms + HOUR_MS, "every kernel was away"))
    tale.runs[0] = replace(tale.runs[0], started_ms=since_ms + 60_000)


def take_what_is_denied(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    change(tale, "submit", topic="job.torture.denied")


def run_what_is_denied(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.runs[0] = replace(tale.runs[0], topic="job.torture.denied")


def answer_that_something_went_wrong(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    tale.answer(tale.ask(ran.tenant, ran.owner, "get", job_id=ran.job_id), 500)


BROKEN: tuple[Break, ...] = (
    (run_without_permit, "run_without_permit"),
    (run_late, "permit_expired"),
    (run_twice_by_one_permit, "permit_used_twice"),
    (run_twice_by_one_permit, "attempt_ran_twice"),
    (run_another_attempt, "permit_for_other"),
    (run_at_another_worker, "permit_for_other"),
    (run_after_a_cancel, "ran_after_cancel"),
    (run_after_a_cancel_was_asked_for, "ran_after_cancel"),
    (permit_while_closed, "permitted_while_closed"),
    (run_long_after_it_closed, "ran_while_closed"),
    (take_what_is_denied, "denied_accepted"),
    (run_what_is_denied, "denied_ran"),
    (answer_that_something_went_wrong, "internal_error"),
)
