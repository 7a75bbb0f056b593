"""A replacement of which nothing is known does not pass, whoever is at fault."""

from __future__ import annotations

from typing import Any, cast

import pytest

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import HoldgateError, KernelUnavailable
from holdgate.kernel.ids import Tenant
from holdgate.scan.errors import EngineFailed, RulesInvalid, ScanTimedOut
from holdgate.scheduler.errors import QuarantineNotFound, ReplacementRefused
from holdgate.scheduler.gates.replacement import ReplacementCheck
from holdgate.scheduler.state.quarantine import Replacement
from support.sealing import sealed_item

TENANT = Tenant("acme")
ITEM = sealed_item()


class Facts:
    """Knows of one job, or of none."""

    def __init__(self, found: Any) -> None:
        self.found = found

    async def facts(self, *_: object) -> list[Any]:
        return [self.found]


class Failing:
    """An inspection that comes to nothing."""

    def __init__(self, error: HoldgateError) -> None:
        self.error = error

    async def large(self, _: object) -> HoldgateError:
        return self.error


class Known:
    """Of the job."""

    worker = None


def check(error: HoldgateError, found: Any) -> ReplacementCheck:
    """One that meets `error`."""
    results, inspecting = cast(Any, Facts(found)), cast(Any, Failing(error))
    return ReplacementCheck(results=results, inspecting=inspecting, clock=SystemClock())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (EngineFailed(), ReplacementRefused),
        (RulesInvalid(), ReplacementRefused),
        (ScanTimedOut(), ReplacementRefused),
        (KernelUnavailable(), KernelUnavailable),
    ],
)
async def test_what_could_not_be_searched_does_not_pass(error: HoldgateError, expected: type[HoldgateError]) -> None:
    with pytest.raises(expected):
        await check(error, Known()).verify(TENANT, ITEM, Replacement(b"1"))


async def test_a_job_that_is_gone_has_no_replacement() -> None:
    with pytest.raises(QuarantineNotFound):
        await check(EngineFailed(), None).verify(TENANT, ITEM, Replacement(b"1"))
