"""Invariant 2: while one of several is away, the others do its work."""

from __future__ import annotations

from collections.abc import Iterator

from holdgate.scheduler.torture.check.case import Case
from holdgate.scheduler.torture.check.violation import Violation


def served(case: Case) -> Iterator[Violation]:
    """No single fault that others are there for stops the service for longer than it takes to notice."""
    for probed in case.evidence.probed:
        if probed.must and probed.seconds is None:
            message = f"no job went through while {probed.why}, though others were there, for {probed.for_s:.0f} s"
            yield Violation("service_stopped", 2, message, evidence=(probed.said,))
