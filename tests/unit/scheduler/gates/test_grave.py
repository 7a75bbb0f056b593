"""How many people a release of a sealed output takes, by what was found."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.gates.quarantine import quorum_of
from support.sealing import sealed_item

LOW: dict[str, Any] = {"severity": "low", "verdict": "quarantine"}


@pytest.mark.parametrize(
    ("verdict", "people"),
    [
        ({"severity": "low", "findings": [LOW]}, 1),
        ({"severity": "high", "findings": [LOW]}, 2),
        ({"findings": [LOW]}, 1),
        ({"findings": [LOW, {"severity": "unheard of"}]}, 2),
        ({"severity": None, "findings": []}, 2),
        ({"severity": None, "findings": [{**LOW, "verdict": "shadow"}]}, 2),
    ],
)
def test_what_counts_for_nothing_changes_no_quorum(verdict: dict[str, Any], people: int) -> None:
    """A finding of a detector in shadow is no finding; where there is none, nobody can say how grave it is."""
    assert quorum_of(sealed_item(verdict=verdict), None, Tenant("acme")) == people
