"""Whether workers had the chance to renew their leases: after an outage of ours they need a moment.

What always holds: while NATS or the state store were away, or this dispatcher was not there, no heartbeat could arrive;
so no lease is taken back before `seconds` passed without such trouble.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from nats.aio.client import Client as Nats


class Grace:
    """Begins at the first look; `disturb` begins it anew, and so does a connection that was lost meanwhile."""

    def __init__(self, nc: Nats, seconds: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._nc = nc
        self._seconds = seconds
        self._now_s = now_s
        self._until_s: float | None = None
        self._reconnects = nc.stats["reconnects"]

    def disturb(self) -> None:
        """Heartbeats may have been lost until now."""
        self._until_s = self._now_s() + self._seconds

    def is_over(self) -> bool:
        """Whether a lease that ended now is its worker's fault."""
        reconnects = self._nc.stats["reconnects"]
        if self._until_s is None or not self._nc.is_connected or reconnects != self._reconnects:
            self._reconnects = reconnects
            self.disturb()
        return self._until_s is not None and self._now_s() >= self._until_s
