"""What happened to policy lately, numbered: for status, and for the audit trail of the system. No IO.

What always holds: numbers rise by one; the newest `KEPT` are there to be caught up on; the same problem with the same
stored file is told once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from holdgate.kernel.clock import Clock
from holdgate.kernel.trust import PolicyEvent

KEPT = 50
MESSAGE_CHARS_MAX = 500
ACCEPTED = "accepted"
REFUSED = "refused"
DROPPED = "dropped"


class Events:
    """A ring of the newest events."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ring: deque[PolicyEvent] = deque(maxlen=KEPT)
        self._seq = 0
        self.epoch_ms = clock.now_ms()

    def add(self, kind: str, bundle: str, *, version: int | None = None, code: str = "", message: str = "") -> None:
        """Keep an event of now."""
        self._seq += 1
        self._ring.append(
            PolicyEvent(self._seq, self._clock.now_ms(), kind, bundle, version, code, message[:MESSAGE_CHARS_MAX])
        )

    def after(self, seq: int) -> Sequence[PolicyEvent]:
        """Those with a higher number, oldest first."""
        return [event for event in self._ring if event.seq > seq]

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return {"epoch_ms": self.epoch_ms, "ring": [event.as_dict() for event in self._ring]}
