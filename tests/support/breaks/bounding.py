"""Runs that were longer, more, or sooner than they might be."""

from __future__ import annotations

from dataclasses import replace

from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.torture.check.bounds import BOUNDED, EVERY_MS, THROTTLED, TOGETHER
from support.breaks.breaking import Break
from support.tale import Tale, Told


def run_too_long(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.run(tale.submit(topic=BOUNDED))
    tale.runs[-1] = replace(tale.runs[-1], ended_ms=tale.runs[-1].started_ms + 3_500)


def try_too_often(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    _tried(tale, tale.submit(max_attempts=2), 3)


def try_what_is_bounded_too_often(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    _tried(tale, tale.submit(topic=BOUNDED, max_attempts=5), 3)


def run_two_under_one_key(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    _together(tale, [tale.submit(concurrency_key="one") for _ in range(2)])


def run_too_many_on_a_topic(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    _together(tale, [tale.submit(topic=BOUNDED) for _ in range(TOGETHER + 1)])


def run_before_its_turn(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.run(tale.submit(topic=THROTTLED))
    tale.now_ms += EVERY_MS - 1_000
    tale.run(tale.submit(topic=THROTTLED))


def run_two_turns_too_early(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    """Each waits for as long as the first one did."""
    jobs = [tale.submit(topic=THROTTLED) for _ in range(3)]
    tale.now_ms += EVERY_MS
    for job in jobs:
        tale.run(job)


BROKEN: tuple[Break, ...] = (
    (run_too_long, "ran_too_long"),
    (try_too_often, "tried_too_often"),
    (try_what_is_bounded_too_often, "tried_too_often"),
    (run_two_under_one_key, "key_held_twice"),
    (run_too_many_on_a_topic, "topic_crowded"),
    (run_before_its_turn, "throttle_passed"),
    (run_two_turns_too_early, "throttle_passed"),
)


def _tried(tale: Tale, job: Told, times: int) -> None:
    tale.move(job, State.ACCEPTED, State.QUEUED)
    for _ in range(times - 1):
        tale.start(job)
        tale.move(job, State.RUNNING, State.QUEUED)
    tale.start(job)
    tale.end(job, State.FAILED)


def _together(tale: Tale, jobs: list[Told]) -> None:
    for job in jobs:
        tale.move(job, State.ACCEPTED, State.QUEUED)
        tale.start(job)
    for job in jobs:
        tale.end(job)
