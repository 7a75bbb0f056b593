"""A clock that went back could bring back what has expired: nothing is decided by one.

What always holds: the latest time seen never falls, and a clock that stands clearly before it is believed no more.
"""

from __future__ import annotations

from holdgate.kernel import limits
from holdgate.kernel.clock import Clock

WENT_BACK = "the clock went back: what has expired could hold again; set this machine's clock"


class ClockGuard:
    """Of one kernel. `latest_ms`: the latest time seen."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.latest_ms = 0

    def is_back(self, not_before_ms: int = 0) -> bool:
        """Whether the clock stands before a time that was seen here, or `not_before_ms`, by more than clocks differ."""
        now_ms = self._clock.now_ms()
        self.latest_ms = max(now_ms, self.latest_ms, not_before_ms)
        return now_ms + limits.CLOCK_SKEW_S * 1000 < self.latest_ms
