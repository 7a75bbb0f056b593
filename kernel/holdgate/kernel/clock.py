"""Time as an argument. Inside Holdgate a time is an integer of milliseconds since the Unix epoch, in UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

_EPOCH = datetime.fromtimestamp(0, UTC)


class Clock(Protocol):
    """Says what time it is."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return wall_ns() // 1_000_000


def wall_ns() -> int:
    """Nanoseconds since the Unix epoch: for spans, which nothing is decided by."""
    return time.time_ns()  # noqa: TID251  this is the one place that reads the clock


@lru_cache(maxsize=256)
def rfc3339(time_ms: int) -> str:
    """`time_ms` as RFC 3339 in UTC with milliseconds, such as `2026-01-02T03:04:05.678Z`."""
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def parse_rfc3339(text: str) -> int:
    """Milliseconds since the epoch; ValueError when `text` is not RFC 3339 or has no offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = "a time needs an offset, such as `Z`"
        raise ValueError(msg)
    return (moment - _EPOCH) // timedelta(milliseconds=1)
