"""Scans that ended by themselves: whose fault it is, and when that is enough.

What always holds: only scans count, not how often a message came; a slow machine makes an output wait, and counts
against its text only after many tries; what is wrong with the scanner counts against no text.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeAlias

from holdgate.kernel.ids import JobId, Tenant
from holdgate.scan.errors import (
    EngineFailed,
    RedactionIncomplete,
    RulesInvalid,
    ScanError,
    ScanIncomplete,
    ScanTimedOut,
    Unscannable,
)
from holdgate.scheduler.gates.output.message import ResultMessage
from holdgate.scheduler.gates.output.scanners import OutputScanners

POISON_TRIES = 5
"""A text that ended its scanner this often by itself counts as one that cannot be scanned."""
SLOW_TRIES = 40
"""One that was not done in time, without having used it up: tries of about a quarter of an hour in all."""
KEPT_MAX = 4096
_FINAL = (ScanIncomplete, Unscannable, RedactionIncomplete)
_Run: TypeAlias = tuple[Tenant, JobId, int]


class ScanTries:
    """Counts the scans of each output that ended by themselves; of the latest outputs only."""

    def __init__(self, scanners: OutputScanners) -> None:
        self._scanners = scanners
        self._counts: OrderedDict[_Run, int] = OrderedDict()

    def is_last(self, error: ScanError, message: ResultMessage) -> bool:
        """Count one that ended with `error`; whether another would end the same."""
        if isinstance(error, _FINAL):
            return True
        if isinstance(error, RulesInvalid):
            return False  # it is ours: the output stays sealed until that is mended
        count = self._counted((message.tenant, message.job_id, message.attempt))
        if isinstance(error, ScanTimedOut):
            return count >= SLOW_TRIES
        # An engine that fails is ours, too, unless it answers for every text but this one.
        return count >= POISON_TRIES and (not isinstance(error, EngineFailed) or self._scanners.is_well())

    def _counted(self, run: _Run) -> int:
        count = self._counts.pop(run, 0) + 1
        self._counts[run] = count
        if len(self._counts) > KEPT_MAX:
            self._counts.popitem(last=False)
        return count
