"""When a scan that ended by itself is not tried again: by how often it was tried, and by whose fault it was."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from holdgate.kernel.ids import JobId, LeaseToken, Tenant
from holdgate.scan.errors import EngineFailed, RulesInvalid, ScanError, ScanIncomplete, ScanTimedOut, ScanTooLong
from holdgate.scan.output import Output
from holdgate.scheduler.gates.output.message import ResultMessage, RunOutcome
from holdgate.scheduler.gates.output.scanners import OutputScanners, ScannerDied
from holdgate.scheduler.gates.output.tries import POISON_TRIES, SLOW_TRIES, ScanTries

MESSAGE = ResultMessage(
    Tenant("acme"), JobId("job_1"), 1, LeaseToken(""), "w1", RunOutcome.SUCCEEDED, False, Output(b"1"), 0, 1
)


def tries(*, well: bool = True) -> ScanTries:
    """Of scanners that work, or do not."""
    return ScanTries(cast(OutputScanners, SimpleNamespace(is_well=lambda: well)))


@pytest.mark.parametrize(
    ("error", "last"),
    [
        (ScanIncomplete(), 1),
        (ScanTooLong(), 1),
        (ScannerDied(), POISON_TRIES),
        (EngineFailed(), POISON_TRIES),
        (ScanTimedOut(), SLOW_TRIES),
    ],
    ids=lambda each: getattr(each, "code", None),
)
def test_so_often_is_it_tried(error: ScanError, last: int) -> None:
    """A text that others kept waiting is not taken for one that cannot be scanned."""
    counted = tries()
    assert [counted.is_last(error, MESSAGE) for _ in range(last)] == [False] * (last - 1) + [True]


@pytest.mark.parametrize("error", [EngineFailed(), RulesInvalid()], ids=lambda each: each.code)
def test_what_is_wrong_with_the_scanner_ends_nothing(error: ScanError) -> None:
    counted = tries(well=False)
    assert not any(counted.is_last(error, MESSAGE) for _ in range(POISON_TRIES + 1))


def test_each_attempt_counts_for_itself() -> None:
    counted = tries()
    for attempt in range(1, POISON_TRIES + 2):
        assert not counted.is_last(ScannerDied(), replace(MESSAGE, attempt=attempt))
