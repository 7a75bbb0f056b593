"""What was answered 202, lost, ended twice, seen to go back, or not logged."""

from __future__ import annotations

from dataclasses import replace

from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.torture.check import Probed
from support.breaks.breaking import Break
from support.tale import Tale, Told


def lose_a_job(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    del tale.jobs[ran.job_id]


def lose_a_job_and_every_event_of_it(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    lose_a_job(tale, ran, _held, _foreign)
    kept = [event for event in tale.audit["default"] if event["job_id"] != ran.job_id]
    tale.audit["default"] = [{**event, "seq": seq} for seq, event in enumerate(kept, start=1)]
    tale.runs = [run for run in tale.runs if run.job_id != ran.job_id]


def leave_a_job_queued(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.move(tale.submit(), State.ACCEPTED, State.QUEUED)


def end_twice(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    tale.move(ran, State.FINISHING, State.FAILED)


def go_back(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    tale.look(ran, state="running")


def go_back_for_somebody_else(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    tale.look(ran, "operator", state="queued")


def say_what_never_was(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    tale.look(ran, state="timed_out")


def move_twice(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    tale.event(ran, "job.succeeded", State.FINISHING, State.SUCCEEDED)


def succeed_without_a_run(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    tale.runs = [replace(run, how="raised") if run.job_id == ran.job_id else run for run in tale.runs]


def run_what_has_ended(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    tale.event(ran, "job.restored", None, State.QUEUED)
    tale.start(ran)
    tale.end(ran)


def make_two_of_one_key(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    other = tale.submit()
    tale.run(other)
    call = tale.ask("default", "agent", "submit", key=f"key-{ran.job_id}")
    tale.answer(call, 202, job_id=other.job_id, state="succeeded")


def log_no_job(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    del tale.logged[0]


def log_another_end(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    tale.endings = [replace(end, state="failed") if end.job_id == ran.job_id else end for end in tale.endings]


def stop_without_one_of_two(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.probed.append(Probed("kill-process (api-1)", must=True, seconds=None, for_s=15.0, said="submit: 503"))


def collect_no_dump(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    whole = tale.evidence()
    evidence = replace(whole, dumps={"default": whole.dumps["default"]})
    tale.evidence = lambda: evidence  # type: ignore[method-assign]


def collect_no_archive(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    whole = tale.evidence()
    evidence = replace(whole, archives={"default": whole.archives["default"]})
    tale.evidence = lambda: evidence  # type: ignore[method-assign]


BROKEN: tuple[Break, ...] = (
    (lose_a_job, "lost_job"),
    (lose_a_job_and_every_event_of_it, "lost_job"),
    (stop_without_one_of_two, "service_stopped"),
    (run_what_has_ended, "ran_after_end"),
    (collect_no_dump, "not_collected"),
    (collect_no_archive, "not_collected"),
    (leave_a_job_queued, "not_ended"),
    (end_twice, "ended_twice"),
    (go_back, "state_went_back"),
    (go_back_for_somebody_else, "state_went_back"),
    (say_what_never_was, "state_unrecorded"),
    (move_twice, "transition_twice"),
    (succeed_without_a_run, "succeeded_unrun"),
    (make_two_of_one_key, "key_made_two"),
    (log_no_job, "not_logged"),
    (log_another_end, "ending_differs"),
)
