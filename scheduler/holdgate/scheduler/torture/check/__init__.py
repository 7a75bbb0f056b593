"""The checker: what must always hold, asserted over everything that was collected. Pure."""

from holdgate.scheduler.torture.check.checker import check
from holdgate.scheduler.torture.check.evidence import Archive, Closed, Ending, Evidence, Leak, LoggedJob, Probed, Run
from holdgate.scheduler.torture.check.violation import Violation

__all__ = ["Archive", "Closed", "Ending", "Evidence", "Leak", "LoggedJob", "Probed", "Run", "Violation", "check"]
