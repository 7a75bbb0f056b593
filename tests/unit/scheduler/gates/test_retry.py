"""Backoff with full jitter."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from holdgate.scheduler.gates.retry import BASE_MS, CEILING_MS, ceiling_ms, delay_ms


def test_the_ceiling_doubles_until_it_stays() -> None:
    assert [ceiling_ms(attempt) for attempt in (1, 2, 3)] == [BASE_MS, 2 * BASE_MS, 4 * BASE_MS]
    assert ceiling_ms(100) == CEILING_MS


def test_the_whole_window_is_used() -> None:
    assert delay_ms(1, lambda n: b"\0" * n) == 0
    assert delay_ms(1, lambda n: BASE_MS.to_bytes(n, "big")) == BASE_MS


def test_jobs_that_failed_together_do_not_come_back_together() -> None:
    assert len({delay_ms(4, os.urandom) for _ in range(50)}) > 40


@given(attempt=st.integers(-5, 10_000), chance=st.binary(min_size=8, max_size=8))
def test_a_delay_is_never_negative_and_never_above_the_ceiling(attempt: int, chance: bytes) -> None:
    assert 0 <= delay_ms(attempt, lambda _: chance) <= ceiling_ms(attempt) <= CEILING_MS
