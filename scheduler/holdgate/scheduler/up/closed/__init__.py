"""What a whole system does while a part of it is away: the table of it, how parts are taken away, what is seen then."""

from __future__ import annotations

from holdgate.scheduler.up.closed.observe import Observation, observe
from holdgate.scheduler.up.closed.rows import ROWS, Row
from holdgate.scheduler.up.closed.running import NotHere, Running

__all__ = ["ROWS", "NotHere", "Observation", "Row", "Running", "observe"]
