"""A checker that finds nothing in a true history, and each thing that was broken in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from holdgate.kernel.ids import new_permit_id
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.torture.bends import Bend, Bends, lost_writes
from holdgate.scheduler.torture.check import Closed, Leak, check, checker
from holdgate.scheduler.torture.check.case import FOUND_WITHIN_MS
from holdgate.scheduler.torture.history import Event, Kind
from support.tale import HASH, SECRET, SNAPSHOT, Tale, Told

HOUR_MS = 3_600_000


def true_tale() -> tuple[Tale, Told, Told, Told]:
    """Jobs of two tenants that ran, were held and released, cancelled, read: the tale, one that ran, one that was
    released and ran, and one of the other tenant that was cancelled."""
    tale = Tale()
    ran, held = tale.submit(), tale.submit(who="agent2", state=State.HELD)
    foreign = tale.submit("other", "other-agent")
    tale.look(ran)
    tale.run(ran)
    tale.look(ran)
    tale.look(ran, op="result")
    tale.vote(held, "approver", releases=True)
    tale.start(held, verdict="require_approval")
    tale.end(held, State.QUARANTINED)
    call = tale.ask("other", "other-agent", "cancel", job_id=foreign.job_id)
    tale.move(foreign, State.ACCEPTED, State.CANCELLED)
    tale.answer(call, 200, job_id=foreign.job_id, state="cancelled")
    call = tale.ask("default", "operator", "get", job_id=foreign.job_id, foreign=True)
    tale.answer(call, 404, code="job_not_found", ids=[foreign.job_id])
    tale.submit(state=State.SCHEDULED)
    tale.submit(state=State.HELD)
    return tale, ran, held, foreign


def rules_of(tale: Tale) -> set[str]:
    return {violation.rule for violation in check(tale.evidence())}


def test_nothing_is_found_in_a_true_history() -> None:
    tale, *_ = true_tale()
    assert check(tale.evidence()) == []


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
    _change(tale, "submit", topic="job.torture.denied")


def run_what_is_denied(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.runs[0] = replace(tale.runs[0], topic="job.torture.denied")


def run_what_only_one_released(tale: Tale, _ran: Told, held: Told, _foreign: Told) -> None:
    tale.runs = [
        replace(run, topic="job.torture.held-for-two") if run.job_id == held.job_id else run for run in tale.runs
    ]


def answer_that_something_went_wrong(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    tale.answer(tale.ask(ran.tenant, ran.owner, "get", job_id=ran.job_id), 500)


def succeed_without_a_run(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    tale.runs = [replace(run, how="raised") if run.job_id == ran.job_id else run for run in tale.runs]


def give_anothers_result(tale: Tale, ran: Told, held: Told, _foreign: Told) -> None:
    call = tale.ask(ran.tenant, ran.owner, "result", job_id=ran.job_id)
    tale.answer(call, 200, job_id=ran.job_id, value_of=held.job_id)


def release_twice(tale: Tale, _ran: Told, held: Told, _foreign: Told) -> None:
    events = tale.audit["default"]
    at = next(i for i, event in enumerate(events) if event["type"] == "approval.released")
    events.insert(at + 1, dict(events[at]))
    tale.audit["default"] = [{**event, "seq": seq} for seq, event in enumerate(events, start=1)]


def tell_two_that_they_released_it(tale: Tale, _ran: Told, held: Told, _foreign: Told) -> None:
    vote = next(event for event in tale.history if event.data.get("status") == "released")
    asked = next(event for event in tale.history if event.data["call"] == vote.data["call"])
    call = tale.ask("default", "approver", "vote", **{k: asked.data[k] for k in ("job_id", "job_hash", "snapshot")})
    tale.answer(call, 200, **{k: v for k, v in vote.data.items() if k not in ("call", "http")})


def use_an_approval_twice(tale: Tale, _ran: Told, held: Told, _foreign: Told) -> None:
    tale.event(held, "approval.consumed", State.QUEUED, State.RUNNING, permit_id="permit_2")


def start_unreleased(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.audit["default"] = [event for event in tale.audit["default"] if event["type"] != "approval.consumed"]


def release_ones_own(tale: Tale, _ran: Told, held: Told, _foreign: Told) -> None:
    for event in tale.audit["default"]:
        if event["type"] == "approval.vote":
            event["approver"] = "AGENT2"


def vote_on_something_else(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    _change(tale, "vote", job_hash=HASH.replace("1", "3"))


def vote_under_another_policy(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    _change(tale, "vote", snapshot=SNAPSHOT.replace("2", "3"))


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


def leave_a_gap(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    del tale.audit["default"][1]


def rewrite_an_event(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    evidence = tale.evidence()
    event = evidence.dumps["default"].events[0]
    evidence.dumps["default"].events[0] = replace(event, time_ms=event.time_ms + 1)
    tale.evidence = lambda: evidence  # type: ignore[method-assign]


def break_the_archive(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.findings.append("00000000000000000001.jsonl: edited: the events are not those that were sealed")


def forget_a_vote(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    _forget(tale, "approval.vote")


def forget_a_cancel(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    _forget(tale, "job.cancelled", "other")


def forget_a_denial(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    call = tale.ask("default", "agent", "submit", key="denied")
    tale.answer(call, 403, code="denied", job_id="job_01a2005c-ddf7-7ebc-88d0-3dfe87e43348")


def bring_back_what_was_not_lost(tale: Tale, _ran: Told, held: Told, _foreign: Told) -> None:
    tale.event(held, "job.restored", State.QUARANTINED, State.QUARANTINED)


def skip_numbers(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    """And say so: a gap that nothing explains is one, whoever declares it."""
    last = len(tale.audit["default"])
    told = {"tenant": "default", "type": "audit.resumed", "after": last + 5}
    tale.audit["default"].append({"seq": last + 6, "time_ms": tale.tick(), **told})


def make_two_of_one_key(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    other = tale.submit()
    tale.run(other)
    call = tale.ask("default", "agent", "submit", key=f"key-{ran.job_id}")
    tale.answer(call, 202, job_id=other.job_id, state="succeeded")


def log_no_job(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    del tale.logged[0]


def log_another_end(tale: Tale, ran: Told, _held: Told, _foreign: Told) -> None:
    tale.endings = [replace(end, state="failed") if end.job_id == ran.job_id else end for end in tale.endings]


BROKEN: tuple[tuple[Callable[[Tale, Told, Told, Told], None], str], ...] = (
    (lose_a_job, "lost_job"),
    (lose_a_job_and_every_event_of_it, "lost_job"),
    (leave_a_job_queued, "not_ended"),
    (end_twice, "ended_twice"),
    (go_back, "state_went_back"),
    (go_back_for_somebody_else, "state_went_back"),
    (say_what_never_was, "state_unrecorded"),
    (move_twice, "transition_twice"),
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
    (run_what_only_one_released, "ran_unreleased"),
    (answer_that_something_went_wrong, "internal_error"),
    (succeed_without_a_run, "succeeded_unrun"),
    (give_anothers_result, "wrong_result"),
    (release_twice, "released_twice"),
    (tell_two_that_they_released_it, "released_twice"),
    (use_an_approval_twice, "consumed_twice"),
    (start_unreleased, "ran_unreleased"),
    (release_ones_own, "self_approval"),
    (vote_on_something_else, "approved_other"),
    (vote_under_another_policy, "approved_other"),
    (read_early, "early_read"),
    (read_what_is_sealed, "early_read"),
    (keep_a_result_too_early, "early_result"),
    (leak_into_a_reply, "secret_leaked"),
    (leak_into_a_log, "secret_leaked"),
    (show_anothers_job, "foreign_job"),
    (answer_about_anothers_job, "foreign_access"),
    (leave_a_gap, "audit_gap"),
    (rewrite_an_event, "audit_rewritten"),
    (break_the_archive, "audit_broken"),
    (forget_a_vote, "vote_unrecorded"),
    (forget_a_cancel, "decision_unrecorded"),
    (forget_a_denial, "decision_unrecorded"),
    (bring_back_what_was_not_lost, "loss_undeclared"),
    (skip_numbers, "loss_undeclared"),
    (make_two_of_one_key, "key_made_two"),
    (log_no_job, "not_logged"),
    (log_another_end, "ending_differs"),
)


@pytest.mark.parametrize(("broken", "rule"), BROKEN, ids=[f"{item.__name__}-{rule}" for item, rule in BROKEN])
def test_what_was_broken_is_found(broken: Callable[[Tale, Told, Told, Told], None], rule: str) -> None:
    tale, *jobs = true_tale()
    broken(tale, *jobs)
    found = check(tale.evidence())
    assert rule in {violation.rule for violation in found}
    assert all(violation.message and str(violation.invariant) in str(violation) for violation in found)


@pytest.mark.parametrize(
    "rule", checker.RULES, ids=lambda rule: f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}"
)
def test_without_a_rule_something_broken_is_not_found(
    rule: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "RULES", tuple(item for item in checker.RULES if item is not rule))
    missed = []
    for broken, expected in BROKEN:
        tale, *jobs = true_tale()
        broken(tale, *jobs)
        if expected not in rules_of(tale):
            missed.append(broken.__name__)
    assert missed


EXCUSED = (
    (go_back, "state_went_back"),
    (end_twice, "ended_twice"),
    (run_without_permit, "run_without_permit"),
    (make_two_of_one_key, "key_made_two"),
    (bring_back_what_was_not_lost, "loss_undeclared"),
    (skip_numbers, "loss_undeclared"),
    (forget_a_vote, "vote_unrecorded"),
)


@pytest.mark.parametrize(("broken", "rule"), EXCUSED, ids=[rule for _, rule in EXCUSED])
def test_what_a_declared_loss_bends_is_excused_in_its_time_alone(
    broken: Callable[[Tale, Told, Told, Told], None], rule: str
) -> None:
    tale, *jobs = true_tale()
    began_ms = tale.history[0].at_ms
    broken(tale, *jobs)
    tale.bends.append(lost_writes(tale.now_ms + 1, tale.now_ms + HOUR_MS))
    assert rule in rules_of(tale)
    tale.bends.append(lost_writes(began_ms, tale.now_ms))
    assert rule not in rules_of(tale)


def test_no_declared_loss_excuses_a_lost_job() -> None:
    tale, *jobs = true_tale()
    lose_a_job_and_every_event_of_it(tale, *jobs)
    tale.bends.append(lost_writes(0, tale.now_ms))
    assert "lost_job" in rules_of(tale)


def test_a_lost_result_excuses_a_job_that_waits_for_its_verdict_since_then_alone() -> None:
    tale, *_ = true_tale()
    job = tale.submit()
    tale.move(job, State.ACCEPTED, State.QUEUED)
    tale.start(job)
    tale.move(job, State.RUNNING, State.FINISHING)
    tale.bends.append(Bends(Bend.LOST_RESULTS, tale.now_ms + 1, tale.now_ms + HOUR_MS))
    assert "not_ended" in rules_of(tale)
    tale.bends.append(Bends(Bend.LOST_RESULTS, tale.now_ms - 1, tale.now_ms))
    assert "not_ended" not in rules_of(tale)
    leave_a_job_queued(tale, *true_tale()[1:])
    assert "not_ended" in rules_of(tale)


def test_a_wrong_clock_excuses_times_of_its_process_alone() -> None:
    tale, *jobs = true_tale()
    run_late(tale, *jobs)
    tale.bends.append(Bends(Bend.WRONG_CLOCK, 0, 2 * tale.now_ms, "api-1"))
    assert "permit_expired" in rules_of(tale)
    tale.bends.append(Bends(Bend.WRONG_CLOCK, 0, 2 * tale.now_ms, "worker-1"))
    assert "permit_expired" not in rules_of(tale)


def test_a_worker_that_was_stopped_began_later_by_just_that() -> None:
    tale, *jobs = true_tale()
    run_late(tale, *jobs)
    started_ms = tale.runs[0].started_ms
    pause = {"fault": 1, "name": "pause-process", "target": "api-1"}
    tale.history.append(Event(started_ms - 10_000, "harness", Kind.FAULT, pause))
    tale.history.append(Event(started_ms - 100, "harness", Kind.HEALED, {"fault": 1}))
    assert "permit_expired" in rules_of(tale)
    tale.history[-2] = replace(tale.history[-2], data={**pause, "target": "worker-2"})
    assert "permit_expired" not in rules_of(tale)
    tale.runs[0] = replace(tale.runs[0], started_ms=started_ms + 10_000)
    assert "permit_expired" in rules_of(tale)


@pytest.mark.parametrize(("broken", "rule"), [(move_twice, "transition_twice"), (release_twice, "released_twice")])
def test_a_loss_before_excuses_nothing_that_came_of_itself(
    broken: Callable[[Tale, Told, Told, Told], None], rule: str
) -> None:
    """Though the job was there when something else was lost."""
    tale, *jobs = true_tale()
    before = [event["time_ms"] for event in tale.audit["default"]]
    tale.bends.append(lost_writes(before[0] - 1, before[0]))
    broken(tale, *jobs)
    assert rule in rules_of(tale)


def test_a_loss_is_found_for_a_while_and_not_for_ever() -> None:
    tale, *jobs = true_tale()
    tale.bends.append(lost_writes(tale.now_ms - 1_000, tale.now_ms))
    bring_back_what_was_not_lost(tale, *jobs)
    assert "loss_undeclared" not in rules_of(tale)
    tale.now_ms += FOUND_WITHIN_MS
    bring_back_what_was_not_lost(tale, *jobs)
    assert "loss_undeclared" in rules_of(tale)


def test_a_person_can_follow_a_violation() -> None:
    tale, *jobs = true_tale()
    release_twice(tale, *jobs)
    [found] = [item for item in check(tale.evidence()) if item.rule == "released_twice"]
    assert found.job_id in str(found)
    assert str(found).count("approval.released") == 2


def _change(tale: Tale, op: str, **facts: str) -> None:
    """What was asked, otherwise."""
    at = next(i for i, event in enumerate(tale.history) if event.data.get("op") == op)
    tale.history[at] = replace(tale.history[at], data={**tale.history[at].data, **facts})


def _forget(tale: Tale, kind: str, tenant: str = "default") -> None:
    """An event, with the numbers closed behind it."""
    kept = [event for event in tale.audit[tenant] if event["type"] != kind]
    tale.audit[tenant] = [{**event, "seq": seq} for seq, event in enumerate(kept, start=1)]
