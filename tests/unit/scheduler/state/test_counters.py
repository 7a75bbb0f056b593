"""Quantiles of waits, from buckets."""

from __future__ import annotations

import pytest

from holdgate.scheduler.state.counters import Tally, wait_quantile_s
from holdgate.scheduler.state.stats import WINDOWS


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ({}, 0.5, None),
        ({"wait:1": 1}, 0.5, 0.5),
        ({"wait:5": 2}, 0.5, 3.5),
        ({"wait:1": 9, "wait:60": 1}, 0.5, 0.556),
        ({"wait:1": 9, "wait:60": 1}, 0.95, 45.0),
        ({"wait:inf": 3}, 0.95, 86400.0),
        ({"wait:1": 1}, 1.0, 1.0),
    ],
)
def test_quantiles_lie_in_their_bucket(counts: dict[str, int], share: float, expected: float | None) -> None:
    """Spread evenly within it."""
    assert Tally(counts).quantile_s(share) == expected


def test_quantiles_of_several_steps_are_those_of_all_their_waits() -> None:
    """Not a mean of means."""
    assert wait_quantile_s([Tally({"wait:1": 99}), Tally({"wait:3600": 1})], 0.5) == pytest.approx(0.505)


@pytest.mark.parametrize("name", sorted(WINDOWS))
def test_a_window_is_of_whole_minutes_and_bounded(name: str) -> None:
    """It ends with the step that runs, and no chart has more than 180 points."""
    window = WINDOWS[name]
    starts = window.starts_ms(1_800_000_123_456)
    assert window.step_s % 60 == 0
    assert len(starts) == window.steps <= 180
    assert starts[-1] <= 1_800_000_123_456 < starts[-1] + window.step_s * 1000
    assert window.steps * window.step_s == int(name.removesuffix("h")) * 3600
