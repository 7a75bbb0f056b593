"""A circuit breaker that is a pure function of calls and the time given to it.

    closed ── `failures_max` in a row ──▶ open ── `open_ms` later ──▶ half-open ── the probe succeeds ──▶ closed
                                           ▲                             │
                                           └────── the probe fails ──────┘

A sign of life of the part makes open half-open before its time.

What always holds: half-open lets exactly one call through, and nobody else until that one has ended; only the end of
that one call ends the probe, not that of a call from before. A probe whose end was never heard of counts as lost after
`open_ms`, so a cancelled caller cannot keep the breaker half-open for ever.
"""

from __future__ import annotations

from enum import IntEnum

from holdgate.kernel import limits


class BreakerState(IntEnum):
    """What the breaker does with a call; the numbers are those of the metric."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Ticket:
    """One call that went out; stands for itself. The breaker knows by it whether the call that ends is the probe."""

    __slots__ = ()


class Breaker:
    """Counts failures in a row and keeps calls away from a part that does not answer. Not for use from two threads."""

    def __init__(
        self,
        *,
        failures_max: int = limits.BREAKER_FAILURES,
        open_ms: int = int(limits.BREAKER_OPEN_S * 1000),
    ) -> None:
        self._failures_max = failures_max
        self._open_ms = open_ms
        self._failures = 0
        self._opened_ms: int | None = None
        self._probe_ms = 0
        self._probe: Ticket | None = None

    def state(self, now_ms: int) -> BreakerState:
        """Whether calls go through at `now_ms`."""
        if self._opened_ms is None:
            return BreakerState.CLOSED
        if now_ms - self._opened_ms < self._open_ms:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN

    def try_acquire(self, now_ms: int) -> Ticket | None:
        """A ticket when a call may go out now, to be given back with how it ended. In half-open it is the one probe."""
        if self.would_refuse(now_ms):
            return None
        ticket = Ticket()
        if self.state(now_ms) is BreakerState.HALF_OPEN:
            self._probe, self._probe_ms = ticket, now_ms
        return ticket

    def would_refuse(self, now_ms: int) -> bool:
        """Whether `try_acquire` would say no; takes nothing."""
        match self.state(now_ms):
            case BreakerState.CLOSED:
                return False
            case BreakerState.OPEN:
                return True
            case BreakerState.HALF_OPEN:
                return self._probe is not None and now_ms - self._probe_ms < self._open_ms

    def record_success(self) -> None:
        """A call was answered: closed, whatever came before."""
        self._failures = 0
        self._opened_ms = self._probe = None

    def record_failure(self, ticket: Ticket, now_ms: int) -> None:
        """A call was not answered. Late failures of calls from before the breaker opened do not prolong it."""
        if self._opened_ms is not None:
            if ticket is self._probe:
                self._opened_ms, self._probe = now_ms, None
            return
        self._failures += 1
        if self._failures >= self._failures_max:
            self._opened_ms = now_ms

    def heard(self, now_ms: int) -> None:
        """The part showed a sign of life: an open breaker need not wait any longer to let a probe through."""
        if self._opened_ms is not None:
            self._opened_ms = min(self._opened_ms, now_ms - self._open_ms)

    def abandon(self, ticket: Ticket) -> None:
        """A call ended without saying anything about the part (it was cancelled); was it the probe, the next may be."""
        if ticket is self._probe:
            self._probe = None
