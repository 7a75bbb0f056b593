"""A checker that finds nothing in a true history, and each thing that was broken in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.torture.bends import Bend, Bends, lost_writes
from holdgate.scheduler.torture.check import Probed, check, checker
from holdgate.scheduler.torture.check.case import FOUND_WITHIN_MS
from holdgate.scheduler.torture.history import Event, Kind
from support.breaks import BROKEN
from support.breaks.breaking import true_tale
from support.breaks.keeping import (
    end_twice,
    go_back,
    leave_a_job_queued,
    lose_a_job_and_every_event_of_it,
    make_two_of_one_key,
    move_twice,
    run_what_has_ended,
)
from support.breaks.recording import bring_back_what_was_not_lost, forget_a_vote, skip_numbers
from support.breaks.releasing import release_twice
from support.breaks.running import run_late, run_without_permit
from support.tale import Tale, Told

HOUR_MS = 3_600_000


def rules_of(tale: Tale) -> set[str]:
    return {violation.rule for violation in check(tale.evidence())}


def broken_by(broken: Callable[[Tale, Told, Told, Told], None]) -> Tale:
    tale, *jobs = true_tale()
    broken(tale, *jobs)
    return tale


def test_nothing_is_found_in_a_true_history() -> None:
    tale, *_ = true_tale()
    assert check(tale.evidence()) == []


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
    assert any(expected not in rules_of(broken_by(broken)) for broken, expected in BROKEN)


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


def test_a_service_may_stop_where_nobody_is_left_and_must_go_on_in_time_where_somebody_is() -> None:
    tale, *_ = true_tale()
    tale.probed.append(Probed("kernels-away (every kernel)", must=False, seconds=None, for_s=2.0))
    tale.probed.append(Probed("kill-process (api-1)", must=True, seconds=14.0, for_s=15.0))
    assert rules_of(tale) == set()


def test_a_loss_excuses_no_run_of_what_the_log_of_ends_had() -> None:
    tale, *jobs = true_tale()
    began_ms, told_ms = tale.history[0].at_ms, tale.now_ms
    run_what_has_ended(tale, *jobs)
    tale.bends.append(lost_writes(began_ms, tale.now_ms, told_ms + 1))
    assert rules_of(tale) == {"ran_after_end"}
    tale.bends.append(lost_writes(began_ms, tale.now_ms))
    assert rules_of(tale) == set()


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
