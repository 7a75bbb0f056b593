"""Which roles count of a person who is not asking now."""

from __future__ import annotations

import pytest

from holdgate.scheduler.gates.people import keyed_of, still_held

BOTH = ("approver", "deploy-lead")


@pytest.mark.parametrize(
    ("keyed", "now", "counts"),
    [
        ((), None, BOTH),
        ((), frozenset(), BOTH),
        ((), frozenset({"agent"}), BOTH),
        (BOTH, frozenset(BOTH), BOTH),
        (BOTH, frozenset({"deploy-lead"}), ("deploy-lead",)),
        (BOTH, frozenset(), ()),
        (BOTH, None, ()),
        (("approver",), frozenset({"approver"}), BOTH),
        (("approver",), frozenset({"agent"}), ("deploy-lead",)),
        (("approver",), frozenset(), ()),
        (("approver",), None, ()),
    ],
)
def test_a_role_counts_as_long_as_what_gave_it(
    keyed: tuple[str, ...], now: frozenset[str] | None, counts: tuple[str, ...]
) -> None:
    assert still_held(BOTH, now, keyed=keyed) == counts


def test_keys_give_the_roles_that_they_hold() -> None:
    assert keyed_of(BOTH, None) == ()
    assert keyed_of(BOTH, frozenset({"approver", "agent"})) == ("approver",)
