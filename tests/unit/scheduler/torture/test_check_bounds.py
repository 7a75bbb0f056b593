"""What is bounded: nothing is found in what stayed within its bounds, or in what a loss made forgotten."""

from __future__ import annotations

from importlib import resources

import yaml

from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.torture import policy
from holdgate.scheduler.torture.bends import lost_writes
from holdgate.scheduler.torture.check import bounds, check, decided
from support.breaks.bounding import run_before_its_turn, run_too_many_on_a_topic, try_too_often
from support.breaks.breaking import true_tale
from support.tale import Tale

POLICY = resources.files(policy) / "rules" / "jobs.yaml"


def rules_of(tale: Tale) -> set[str]:
    return {violation.rule for violation in check(tale.evidence())}


def test_the_bounds_are_those_of_the_policy() -> None:
    rules = {rule["id"]: rule for rule in yaml.safe_load(POLICY.read_text())["rules"]}
    constrained, throttle = rules["torture-constrain"], rules["torture-throttle"]
    assert constrained["match"]["topics"] == [bounds.BOUNDED]
    found = constrained["constraints"]
    assert (found["max_runtime_s"] * 1000, found["max_concurrency"]) == (bounds.RUNTIME_MS, bounds.TOGETHER)
    assert found["max_attempts"] == bounds.ATTEMPTS
    assert throttle["match"]["topics"] == [bounds.THROTTLED]
    assert throttle["throttle"]["limit"] == 1
    assert throttle["throttle"]["per"] == f"{bounds.EVERY_MS // 1000}s"
    assert rules["torture-deny"]["match"]["topics"] == [decided.REFUSED]
    held = {rules[name]["match"]["topics"][0]: rules[name]["approvers"]["quorum"] for name in rules if "hold" in name}
    assert held == decided.QUORUM


def test_whoever_waits_for_a_turn_began_in_time() -> None:
    tale, *_ = true_tale()
    jobs = [tale.submit(topic=bounds.THROTTLED) for _ in range(3)]
    others = tale.submit("other", "other-agent", topic=bounds.THROTTLED)
    tale.run(others)
    for job in jobs:
        tale.run(job)
        tale.now_ms += bounds.EVERY_MS
    assert rules_of(tale) == set()


def test_what_a_loss_made_forgotten_bounds_nobody() -> None:
    for broken in (run_before_its_turn, run_too_many_on_a_topic, try_too_often):
        tale, *jobs = true_tale()
        since_ms = tale.now_ms
        broken(tale, *jobs)
        assert rules_of(tale)
        tale.bends.append(lost_writes(since_ms, tale.now_ms))
        assert rules_of(tale) == set()


def test_a_job_that_was_brought_back_runs_no_more() -> None:
    tale, *_ = true_tale()
    one, other = (tale.submit(concurrency_key="one") for _ in range(2))
    for job in (one, other):
        tale.move(job, State.ACCEPTED, State.QUEUED)
    tale.start(one)
    tale.event(one, "job.restored", None, State.QUEUED)
    one.state = State.QUEUED
    tale.start(other)
    tale.end(other)
    tale.start(one)
    tale.end(one)
    assert rules_of(tale) == {"loss_undeclared"}


def test_who_retries_a_dead_job_lets_it_be_tried_as_often_again() -> None:
    tale, *_ = true_tale()
    job = tale.submit(max_attempts=1)
    tale.run(job, State.FAILED)
    tale.move(job, State.FAILED, State.QUEUED)
    tale.start(job)
    tale.end(job)
    assert rules_of(tale) == set()


def test_a_key_that_people_released_is_read() -> None:
    tale, *_ = true_tale()
    job = tale.submit(job_kind="released")
    tale.run(job, State.QUARANTINED)
    tale.event(job, "quarantine.released", State.QUARANTINED, State.QUARANTINED)
    tale.move(job, State.QUARANTINED, State.SUCCEEDED)
    call = tale.ask(job.tenant, job.owner, "result", job_id=job.job_id)
    tale.answer(call, 200, job_id=job.job_id, has_value=True)
    assert rules_of(tale) == set()
