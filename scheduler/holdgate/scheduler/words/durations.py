"""Lengths of time in words."""

from __future__ import annotations

from collections.abc import Iterator

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
_UNITS = ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min"), (1, "s"))
LARGEST = 2
"""How many units tell what is left: nobody hurries for the seconds of an hour."""


def duration(seconds: int) -> str:
    """To the second, as a rule means it: `2 h`, `1 h 30 min`, `90 s`; nothing is rounded, so that a change shows."""
    if 0 <= seconds < 2 * MINUTE_S and seconds != MINUTE_S:
        return f"{seconds} s"
    return " ".join(_parts(seconds))


def time_left(seconds: int | float | None) -> str:
    """About: `4 d 2 h`, `1 h 5 min`, `12 min`, `45 s`, `over`; the script of the page counts on in the same words."""
    if seconds is None:
        return "—"
    left = int(seconds)
    if left <= 0:
        return "over"
    if left < 2 * MINUTE_S:
        return f"{left} s"
    whole = left - left % (MINUTE_S if left < DAY_S else HOUR_S)
    return " ".join(list(_parts(whole))[:LARGEST])


def is_urgent(seconds: int | float | None) -> bool:
    """Whether it is the last quarter of an hour."""
    return seconds is not None and seconds < 15 * MINUTE_S


def _parts(seconds: int) -> Iterator[str]:
    left = seconds
    for size, name in _UNITS:
        count, left = divmod(left, size)
        if count:
            yield f"{count} {name}"
