"""Outputs, secrets and jobs that were shown to somebody too early, or at all."""

from __future__ import annotations

from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.torture.check import Leak
from support.breaks.breaking import Break
from support.tale import SECRET, Tale, Told


def read_early(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    job = tale.submit()
    tale.move(job, State.ACCEPTED, State.QUEUED)
    tale.start(job)
    tale.look(job, op="result", state="running")
    tale.end(job)


def read_what_is_sealed(tale: Tale, _ran: Told, held: Told, _foreign: Told) -> None:
    tale.look(held, op="result")


def keep_a_result_too_early(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    job = tale.submit(state=State.HELD)
    evidence = tale.evidence()
    evidence.dumps["default"].results.add(job.job_id)
    tale.evidence = lambda: evidence  # type: ignore[method-assign]


def give_anothers_result(tale: Tale, ran: Told, held: Told, _foreign: Told) -> None:
    call = tale.ask(ran.tenant, ran.owner, "result", job_id=ran.job_id)
    tale.answer(call, 200, job_id=ran.job_id, value_of=held.job_id)


def leak_into_a_reply(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    call = tale.ask("default", "agent", "result", job_id=ran.job_id)
    tale.answer(call, 200, job_id=ran.job_id, code=SECRET)


def leak_into_a_log(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.leaks.append(Leak("output-gate.log", "a planted secret"))


def show_anothers_job(tale: Tale, _ran: Told, _held: Told, foreign: Told) -> None:
    call = tale.ask("default", "operator", "list")
    tale.answer(call, 200, ids=[foreign.job_id])


def answer_about_anothers_job(tale: Tale, _ran: Told, _held: Told, foreign: Told) -> None:
    call = tale.ask("default", "operator", "timeline", job_id=foreign.job_id, foreign=True)
    tale.answer(call, 200)


def let_a_key_out(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.run(tale.submit(job_kind="released"))


def release_a_key_after_it_was_let_out(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    job = tale.submit(job_kind="released")
    tale.run(job)
    tale.event(job, "quarantine.released", State.QUARANTINED, State.QUARANTINED)


def show_a_key(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    job = tale.submit(job_kind="quarantined")
    tale.run(job, State.FAILED)
    call = tale.ask(job.tenant, job.owner, "result", job_id=job.job_id)
    tale.answer(call, 200, job_id=job.job_id, has_value=True)


BROKEN: tuple[Break, ...] = (
    (give_anothers_result, "wrong_result"),
    (read_early, "early_read"),
    (read_what_is_sealed, "early_read"),
    (keep_a_result_too_early, "early_result"),
    (leak_into_a_reply, "secret_leaked"),
    (leak_into_a_log, "secret_leaked"),
    (let_a_key_out, "unsealed"),
    (release_a_key_after_it_was_let_out, "unsealed"),
    (show_a_key, "unsealed"),
    (show_anothers_job, "foreign_job"),
    (answer_about_anothers_job, "foreign_access"),
)
