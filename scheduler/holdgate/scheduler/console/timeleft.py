"""How long is left, in words short enough for a column."""

from __future__ import annotations

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400


def time_left(seconds: int | float | None) -> str:
    """`4 d 2 h`, `1 h 05 min`, `12 min`, `45 s`, `over`; the script of the page counts on in the same words."""
    if seconds is None:
        return "—"
    left = int(seconds)
    if left <= 0:
        return "over"
    if left < 2 * MINUTE_S:
        return f"{left} s"
    if left < HOUR_S:
        return f"{left // MINUTE_S} min"
    if left < DAY_S:
        return f"{left // HOUR_S} h {left % HOUR_S // MINUTE_S:02d} min"
    return f"{left // DAY_S} d {left % DAY_S // HOUR_S} h"


def is_urgent(seconds: int | float | None) -> bool:
    """Whether it is the last quarter of an hour."""
    return seconds is not None and seconds < 15 * MINUTE_S
