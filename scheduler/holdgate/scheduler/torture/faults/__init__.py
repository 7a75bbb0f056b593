"""Each way in which a cluster can be broken."""

from __future__ import annotations

from holdgate.scheduler.torture.faults.catalog import CATALOG, Entry
from holdgate.scheduler.torture.faults.fault import CannotBreak, Fault

__all__ = ["CATALOG", "CannotBreak", "Entry", "Fault"]
