"""Charts as shapes: numbers in, coordinates out, which templates draw as SVG. Pure.

What always holds: a chart has at most `BARS_MAX` steps, whatever the window; what it shows is also there as rows of a
table and as one sentence; series differ by more than their colour (a pattern, a dash, a marker); a step about which
nothing is known is a gap and never a zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 400.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 34.0, 4.0, 8.0, 18.0
BARS_MAX = 60
Number = int | float
Values = Sequence[Number | None]


@dataclass(frozen=True, slots=True)
class Series:
    """One row of numbers. `name` picks colour and pattern, `label` is read."""

    name: str
    label: str
    values: Values


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis, at `at` of its length."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of `series`."""

    series: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """What connects the points of `series`, as an SVG path; and its points where they are marked one by one."""

    series: str
    path: str
    points: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its words. `legend` is name, label and the figure that stands for the whole of it."""

    id: str
    title: str
    says: str
    legend: tuple[tuple[str, str, str], ...] = ()
    bars: tuple[Bar, ...] = ()
    lines: tuple[Line, ...] = ()
    ticks_x: tuple[Tick, ...] = ()
    ticks_y: tuple[Tick, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    empty: str = ""
    """What is said in place of the drawing where there is nothing to draw."""
    height: float = HEIGHT


@dataclass(frozen=True, slots=True)
class Times:
    """When the steps begin, as words; `labels` has one for each."""

    labels: Sequence[str] = field(default_factory=tuple)

    def grouped(self) -> Times:
        """Those of the steps that are drawn."""
        return Times(self.labels[:: group_of(len(self.labels))])

    def ticks(self) -> tuple[Tick, ...]:
        """Four of them along the axis."""
        count = len(self.labels)
        wide = _inner_width()
        return tuple(
            Tick(round(LEFT + wide * index / count, 1), self.labels[index])
            for index in sorted({count * part // 4 for part in range(4)})
            if index < count
        )


def group_of(steps: int) -> int:
    """How many steps are drawn as one."""
    return max(1, math.ceil(steps / BARS_MAX))


def summed(values: Values) -> list[Number | None]:
    """Steps drawn as one add up."""
    return _by_group(values, lambda known: sum(known))


def highest(values: Values) -> list[Number | None]:
    """Of steps drawn as one the highest."""
    return _by_group(values, max)


def stacked(series: Sequence[Series]) -> tuple[tuple[Bar, ...], tuple[Tick, ...]]:
    """Bars that stand on one another, the first series lowest, and the axis beside them. Of steps as they are drawn."""
    steps = max((len(one.values) for one in series), default=0)
    top = nice_top(max((sum(one.values[step] or 0 for one in series) for step in range(steps)), default=0))
    wide = _inner_width() / max(1, steps)
    bars = []
    for step in range(steps):
        floor = HEIGHT - BOTTOM
        for one in series:
            value = one.values[step] or 0
            if value:
                tall = max(1.0, value / top * _inner_height())
                floor -= tall
                bars.append(_bar(one.name, step, wide, floor, tall))
    return tuple(bars), _linear_ticks(top)


def lines(series: Sequence[Series]) -> tuple[tuple[Line, ...], tuple[Tick, ...]]:
    """Lines over time, broken where nothing is known."""
    top = nice_top(max((value for one in series for value in one.values if value is not None), default=0))
    return tuple(Line(one.name, _path(one.values, lambda value: value / top)) for one in series), _linear_ticks(top)


DURATIONS = ((1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (6 * 3600, "6 h"), (86400, "1 d"))


def durations(series: Sequence[Series]) -> tuple[tuple[Line, ...], tuple[Tick, ...]]:
    """Times from a second to a day, by orders of magnitude: minutes and hours are both to be seen."""
    known = [value for one in series for value in one.values if value is not None]
    top = next((bound for bound, _ in DURATIONS if bound >= max(known, default=60)), DURATIONS[-1][0])
    top = max(top, 60)

    def share(value: Number) -> float:
        return min(1.0, math.log10(max(1.0, float(value))) / math.log10(top))

    drawn = tuple(Line(one.name, _path(one.values, share), _points(one.values, share)) for one in series)
    ticks = tuple(Tick(_y(share(bound)), label) for bound, label in DURATIONS if bound <= top)
    return drawn, ticks


STRIP_HEIGHT = 46.0
STRIP_SHARES = {"well": 1.0, "disagree": 0.7, "away": 0.4}
"""How tall a step is drawn: what is worse is lower, so that it is seen without its colour."""


def strip(states: Sequence[str]) -> tuple[Bar, ...]:
    """A bar for each step: `well`, `disagree`, `away`, or `unknown`, which is an empty frame."""
    tall = STRIP_HEIGHT - BOTTOM - 2
    wide = _inner_width() / max(1, len(states))
    bars = []
    for step, state in enumerate(states):
        share = STRIP_SHARES.get(state, 0.08)
        height = round(tall * share, 1)
        bars.append(_bar(state, step, wide, STRIP_HEIGHT - BOTTOM - height, height))
    return tuple(bars)


def nice_top(value: Number) -> int:
    """The smallest of 1, 2, 5, 10, 20, … that is not below `value`; at least 4, so that ticks are whole numbers."""
    power = 1
    while True:
        for step in (1, 2, 4, 5):
            if step * power >= max(4, value):
                return step * power
        power *= 10


def seconds(value: Number | None) -> str:
    """A time in words, as short as it can be."""
    if value is None:
        return "none"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if value >= size:
            return f"{value / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{value:.1f}".removesuffix(".0") + " s"


def short(value: Number) -> str:
    """A number for an axis."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:.1f}".removesuffix(".0") + unit
    return str(int(value))


def _by_group(values: Values, combine: Callable[[list[Number]], Number]) -> list[Number | None]:
    size = group_of(len(values))
    groups = [[value for value in values[at : at + size] if value is not None] for at in range(0, len(values), size)]
    return [combine(known) if known else None for known in groups]


def _bar(series: str, step: int, wide: float, y: float, height: float) -> Bar:
    gap = min(1.0, wide * 0.2)
    return Bar(series, round(LEFT + step * wide, 2), round(y, 2), round(wide - gap, 2), round(height, 2))


def _path(values: Values, share: Callable[[Number], float]) -> str:
    parts, pen_up = [], True
    for step, value in enumerate(values):
        if value is None:
            pen_up = True
            continue
        parts.append(f"{'M' if pen_up else 'L'}{_x(step, len(values))} {_y(share(value))}")
        if pen_up:  # a single known step still leaves a mark
            parts.append("h.01")
        pen_up = False
    return "".join(parts)


def _points(values: Values, share: Callable[[Number], float]) -> tuple[tuple[float, float], ...]:
    return tuple((_x(step, len(values)), _y(share(value))) for step, value in enumerate(values) if value is not None)


def _x(step: int, steps: int) -> float:
    return round(LEFT + _inner_width() * (step + 0.5) / steps, 1)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * _inner_height(), 1)


def _linear_ticks(top: int) -> tuple[Tick, ...]:
    return tuple(Tick(_y(part / 2), short(top * part / 2)) for part in range(3))


def _inner_width() -> float:
    return WIDTH - LEFT - RIGHT


def _inner_height() -> float:
    return HEIGHT - TOP - BOTTOM
