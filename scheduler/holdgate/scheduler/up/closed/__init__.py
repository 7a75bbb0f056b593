"""What a whole system does while a part of it is away: the table of it, how parts are taken away, what is seen then."""

from __future__ import annotations

from holdgate.scheduler.up.closed.drill import Tried, page, recorded, run_closed, summary, try_row
from holdgate.scheduler.up.closed.observe import Observation
from holdgate.scheduler.up.closed.rows import ROWS, Row
from holdgate.scheduler.up.closed.running import Running

__all__ = ["ROWS", "Observation", "Row", "Running", "Tried", "page", "recorded", "run_closed", "summary", "try_row"]
