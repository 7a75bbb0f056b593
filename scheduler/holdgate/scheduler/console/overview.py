"""The charts of the overview, out of what `GET /overview` gives. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from holdgate.scheduler.console import charts
from holdgate.scheduler.console.charts import Chart, Number, Series, Times

VERDICTS = (
    ("allow", "allowed"),
    ("allow_with_constraints", "allowed with constraints"),
    ("require_approval", "held for approval"),
    ("throttle", "throttled"),
    ("deny", "denied"),
)
OUTPUTS = (("allow", "let through"), ("redact", "redacted"), ("quarantine", "quarantined"))
LEVELS = (("queued", "queued"), ("running", "running"), ("held", "held"))
WAITS = (("p50", "half within"), ("p95", "19 of 20 within"))
HEALTH = (("well", "well"), ("disagree", "no policy or not the same"), ("away", "away"), ("unknown", "nobody looked"))


def charts_of(told: Mapping[str, Any]) -> list[Chart]:
    """All of them, in the order of the page."""
    series, times = told["series"], times_of(told)
    return [
        _counted("decisions", "Decisions by verdict", VERDICTS, series["decisions"], times),
        _levels(series["levels"], times),
        _waits(series["wait_s"], told["now"]["wait_s"], times),
        _counted("outputs", "Verdicts on outputs", OUTPUTS, series["outputs"], times),
        _kernel(series["kernel"], times),
    ]


def times_of(told: Mapping[str, Any]) -> Times:
    """When each step begins: the time of day, in UTC."""
    start = datetime.fromisoformat(told["from"])
    count = len(told["series"]["started"])
    begins = [start + timedelta(seconds=told["step_s"] * step) for step in range(count)]
    return Times([begin.strftime("%H:%M") for begin in begins])


def _counted(
    name: str, title: str, kinds: Sequence[tuple[str, str]], columns: Mapping[str, Sequence[int]], times: Times
) -> Chart:
    drawn = [Series(kind, label, charts.summed(columns[kind])) for kind, label in kinds]
    totals = [sum(columns[kind]) for kind, _ in kinds]
    bars, ticks_y = charts.stacked(drawn)
    named = [f"{total} {label}" for total, (_, label) in zip(totals, kinds, strict=True) if total]
    return Chart(
        id=name,
        title=title,
        says=f"{sum(totals)} in all: {', '.join(named)}." if named else "None in this time.",
        legend=tuple((kind, label, str(total)) for total, (kind, label) in zip(totals, kinds, strict=True)),
        bars=bars,
        ticks_x=times.ticks(),
        ticks_y=ticks_y,
        head=("from (UTC)", *(label for _, label in kinds)),
        rows=_rows(times, drawn, str, leave_out=lambda values: not any(values)),
        empty="" if named else "none in this time",
    )


def _levels(columns: Mapping[str, charts.Values], times: Times) -> Chart:
    drawn = [Series(name, label, charts.highest(columns[name])) for name, label in LEVELS]
    found, ticks_y = charts.lines(drawn)
    latest = {name: _latest(columns[name]) for name, _ in LEVELS}
    known = any(value is not None for value in latest.values())
    said = ", ".join(f"{latest[name]} {label}" for name, label in LEVELS)
    return Chart(
        id="levels",
        title="Jobs that wait and run",
        says=f"At the last look {said}." if known else "Nobody looked in this time: no dispatcher runs.",
        legend=tuple((name, label, _text(latest[name])) for name, label in LEVELS),
        lines=found,
        ticks_x=times.ticks(),
        ticks_y=ticks_y,
        head=("from (UTC)", *(f"most {label}" for _, label in LEVELS)),
        rows=_rows(times, drawn, _text, leave_out=_nothing_known),
        empty="" if known else "nobody looked in this time",
    )


def _waits(columns: Mapping[str, charts.Values], whole: Mapping[str, float | None], times: Times) -> Chart:
    drawn = [Series(name, label, charts.highest(columns[name])) for name, label in WAITS]
    found, ticks_y = charts.durations(drawn)
    known = whole["p50"] is not None
    return Chart(
        id="waits",
        title="Wait for an approval",
        says=(
            f"Half were decided within {charts.seconds(whole['p50'])}, 19 of 20 within {charts.seconds(whole['p95'])}."
            if known
            else "No approval ended in this time."
        ),
        legend=tuple((name, label, charts.seconds(whole[name])) for name, label in WAITS),
        lines=found,
        ticks_x=times.ticks(),
        ticks_y=ticks_y,
        head=("from (UTC)", *(label for _, label in WAITS)),
        rows=_rows(times, drawn, charts.seconds, leave_out=_nothing_known),
        empty="" if known else "no approval ended in this time",
    )


def _kernel(columns: Mapping[str, charts.Values], times: Times) -> Chart:
    grouped = {name: charts.summed(columns[name]) for name in ("samples", "down", "no_policy", "disagreed", "breaker")}
    replicas = charts.highest(columns["replicas"])
    states = [_health({name: values[step] or 0 for name, values in grouped.items()}) for step in range(len(replicas))]
    labels = dict(HEALTH)
    amiss = sum(1 for state in states if state in {"disagree", "away"})
    return Chart(
        id="kernel",
        title="Kernel",
        says=f"{amiss} of {len(states)} steps had something wrong." if amiss else "Nothing wrong was seen.",
        legend=tuple((state, label, str(states.count(state))) for state, label in HEALTH),
        bars=charts.strip(states),
        ticks_x=times.ticks(),
        head=("from (UTC)", "state", "replicas"),
        rows=tuple(
            (label, labels[state], _text(count))
            for label, state, count in zip(times.grouped().labels, states, replicas, strict=True)
            if state != "unknown"
        )[::-1],
        empty="" if any(state != "unknown" for state in states) else "nobody looked in this time",
        height=charts.STRIP_HEIGHT,
    )


def _health(counts: Mapping[str, Number]) -> str:
    """The worst that was seen in a step."""
    if not counts["samples"]:
        return "unknown"
    if counts["down"] or counts["breaker"]:
        return "away"
    return "disagree" if counts["no_policy"] or counts["disagreed"] else "well"


def _rows(times: Times, drawn: Sequence[Series], text: Any, *, leave_out: Any) -> tuple[tuple[str, ...], ...]:
    """A row for each step that says something, the newest first."""
    columns = zip(*(one.values for one in drawn), strict=True)
    rows = [
        (label, *(text(value) for value in values))
        for label, values in zip(times.grouped().labels, columns, strict=True)
        if not leave_out(values)
    ]
    return tuple(rows[::-1])


def _nothing_known(values: Sequence[Number | None]) -> bool:
    return all(value is None for value in values)


def _latest(values: charts.Values) -> Number | None:
    return next((value for value in reversed(values) if value is not None), None)


def _text(value: Number | None) -> str:
    return "not known" if value is None else str(value)
