"""Charts as shapes: bounded, whole numbers beside them, gaps where nothing is known."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.scheduler.console import charts
from holdgate.scheduler.console.charts import Series
from holdgate.scheduler.console.overview import charts_of


def told(steps: int = 60, **changes: Any) -> dict[str, Any]:
    """What `GET /overview` gives of a system where nothing happened."""
    none, unknown = [0] * steps, [None] * steps
    series = {
        "decisions": dict.fromkeys(("allow", "allow_with_constraints", "require_approval", "throttle", "deny"), none),
        "outputs": dict.fromkeys(("allow", "redact", "quarantine"), none),
        "started": none,
        "ended": {},
        "levels": dict.fromkeys(("queued", "running", "held", "scheduled"), unknown),
        "wait_s": {"p50": unknown, "p95": unknown},
        "kernel": {
            **dict.fromkeys(("samples", "down", "no_policy", "disagreed", "breaker"), none),
            "replicas": unknown,
        },
    }
    return {
        "from": "2026-11-21T10:00:00.000Z",
        "step_s": 60,
        "series": {**series, **changes},
        "now": {"wait_s": {"p50": None, "p95": None}},
    }


def test_where_nothing_happened_every_chart_says_so() -> None:
    """An empty drawing would look like a fault."""
    assert all(chart.empty for chart in charts_of(told()))


@pytest.mark.parametrize("steps", [1, 60, 61, 180])
def test_no_chart_has_more_bars_than_fit(steps: int) -> None:
    """Steps drawn as one keep their sum."""
    decisions = {**told()["series"]["decisions"], "allow": [1] * steps}
    decisions = {name: values if name == "allow" else [0] * steps for name, values in decisions.items()}
    chart = charts_of(told(steps, decisions=decisions))[0]
    assert 0 < len(chart.bars) <= charts.BARS_MAX
    assert ("allow", "allowed", str(steps)) in chart.legend
    assert sum(int(row[1]) for row in chart.rows) == steps


def test_bars_stand_on_one_another() -> None:
    """The lowest on the axis, and none above the drawing."""
    bars, _ = charts.stacked([Series("a", "a", [3]), Series("b", "b", [1])])
    low, high = bars
    assert low.y + low.height == charts.HEIGHT - charts.BOTTOM
    assert high.y + high.height == pytest.approx(low.y)
    assert high.y >= charts.TOP


def test_a_line_breaks_where_nothing_is_known() -> None:
    """And a step between two gaps still leaves a mark."""
    (line,), _ = charts.lines([Series("a", "a", [1, None, 2, None])])
    assert line.path.count("M") == 2
    assert line.path.count("L") == 0


def test_what_is_wrong_with_the_kernel_is_seen_in_the_step() -> None:
    """The worst of it, also when the last look found all well."""
    kernel = {
        "samples": [6, 6, 6, 0],
        "down": [0, 1, 0, 0],
        "no_policy": [0, 0, 0, 0],
        "disagreed": [0, 0, 1, 0],
        "breaker": [0, 0, 0, 0],
        "replicas": [3, 3, 3, None],
    }
    chart = charts_of(told(4, kernel=kernel, started=[0] * 4))[-1]
    assert [bar.series for bar in chart.bars] == ["well", "away", "disagree", "unknown"]
    assert chart.bars[1].height < chart.bars[2].height < chart.bars[0].height
    assert chart.says == "2 of 4 steps had something wrong."


@pytest.mark.parametrize(("value", "top"), [(0, 4), (4, 4), (5, 5), (6, 10), (11, 20), (99, 100), (101, 200)])
def test_axes_end_at_round_numbers(value: int, top: int) -> None:
    """Not below what is drawn."""
    assert charts.nice_top(value) == top


@pytest.mark.parametrize(
    ("value", "text"), [(None, "none"), (0.5, "0.5 s"), (59, "59 s"), (90, "1.5 min"), (7200, "2 h"), (86400, "1 d")]
)
def test_times_in_words(value: float | None, text: str) -> None:
    """As short as they can be."""
    assert charts.seconds(value) == text
