"""The circuit breaker as a table: what was done, when, and what it lets through."""

from __future__ import annotations

import pytest

from holdgate.kernel.breaker import Breaker, BreakerState, Ticket

ACQUIRED, REFUSED = "acquired", "refused"
FAIL, SUCCEED, ABANDON, ASK = "fail", "succeed", "abandon", "ask"
LATE, LEAVE = "late", "leave"
"""A call from before the breaker opened fails, or is cancelled."""
OPENED = [(FAIL, 0), (FAIL, 1), (FAIL, 2)]

CASES: dict[str, tuple[list[tuple[str, int]], int, bool, BreakerState]] = {
    "fresh": ([], 0, True, BreakerState.CLOSED),
    "two failures": ([(FAIL, 0), (FAIL, 1)], 2, True, BreakerState.CLOSED),
    "three failures": (OPENED, 3, False, BreakerState.OPEN),
    "a success between failures": ([(FAIL, 0), (FAIL, 1), (SUCCEED, 2), (FAIL, 3)], 4, True, BreakerState.CLOSED),
    "just before its time": (OPENED, 5001, False, BreakerState.OPEN),
    "at its time one probe": (OPENED, 5002, True, BreakerState.HALF_OPEN),
    "while the probe is out": ([*OPENED, (ASK, 5002)], 5003, False, BreakerState.HALF_OPEN),
    "the probe succeeded": ([*OPENED, (ASK, 5002), (SUCCEED, 5003)], 5004, True, BreakerState.CLOSED),
    "the probe failed": ([*OPENED, (ASK, 5002), (FAIL, 5003)], 5004, False, BreakerState.OPEN),
    "the probe failed, its time again": ([*OPENED, (ASK, 5002), (FAIL, 5003)], 10_003, True, BreakerState.HALF_OPEN),
    "the probe was cancelled": ([*OPENED, (ASK, 5002), (ABANDON, 5003)], 5004, True, BreakerState.HALF_OPEN),
    "the probe was never heard of": ([*OPENED, (ASK, 5002)], 10_002, True, BreakerState.HALF_OPEN),
    "late failures do not prolong it": ([*OPENED, (FAIL, 4000)], 5002, True, BreakerState.HALF_OPEN),
    "a late failure is not the probe's": ([*OPENED, (ASK, 5002), (LATE, 5003)], 10_001, False, BreakerState.HALF_OPEN),
    "a call from before that is cancelled is not the probe": (
        [*OPENED, (ASK, 5002), (LEAVE, 5003)],
        5004,
        False,
        BreakerState.HALF_OPEN,
    ),
    "one failure after closing": (
        [*OPENED, (ASK, 5002), (SUCCEED, 5003), (FAIL, 5004)],
        5005,
        True,
        BreakerState.CLOSED,
    ),
}


def acquired(breaker: Breaker, now_ms: int) -> Ticket:
    ticket = breaker.try_acquire(now_ms)
    assert ticket is not None
    return ticket


@pytest.mark.parametrize(("done", "now_ms", "lets_through", "state"), CASES.values(), ids=CASES)
def test_breaker(done: list[tuple[str, int]], now_ms: int, lets_through: bool, state: BreakerState) -> None:
    breaker = Breaker(failures_max=3, open_ms=5000)
    ticket = before = acquired(breaker, 0)
    for act, at_ms in done:
        match act:
            case "fail":
                breaker.record_failure(ticket, at_ms)
            case "succeed":
                breaker.record_success()
            case "abandon":
                breaker.abandon(ticket)
            case "late":
                breaker.record_failure(before, at_ms)
            case "leave":
                breaker.abandon(before)
            case _:
                ticket = acquired(breaker, at_ms)
    assert breaker.state(now_ms) is state
    assert breaker.would_refuse(now_ms) is not lets_through
    assert (breaker.try_acquire(now_ms) is not None) is lets_through


def test_half_open_lets_exactly_one_of_many_through() -> None:
    breaker = Breaker(failures_max=1, open_ms=10)
    breaker.record_failure(acquired(breaker, 0), 0)
    assert sum(breaker.try_acquire(10) is not None for _ in range(100)) == 1


def test_a_sign_of_life_lets_a_probe_through_before_its_time() -> None:
    """One, and it decides: a part that announces itself and answers nothing is not flooded."""
    breaker = Breaker(failures_max=1, open_ms=5000)
    breaker.record_failure(acquired(breaker, 0), 0)
    assert breaker.try_acquire(100) is None
    breaker.heard(100)
    probe = acquired(breaker, 100)
    assert breaker.try_acquire(100) is None
    breaker.record_failure(probe, 110)
    assert breaker.state(200) is BreakerState.OPEN


def test_a_sign_of_life_says_nothing_to_a_closed_breaker() -> None:
    breaker = Breaker(failures_max=1, open_ms=5000)
    breaker.heard(100)
    assert breaker.state(100) is BreakerState.CLOSED
