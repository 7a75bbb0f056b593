"""Which roles count of a person who is not asking now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdgate.kernel.ids import ActorId
from holdgate.kernel.links import Signed
from holdgate.scheduler.gates.people import keyed_of, still_held, vote_now
from holdgate.scheduler.state.approvals import CastVote

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


SIGNED = Signed(b"", "", b"")


@pytest.mark.parametrize(
    ("keyed", "now", "changes", "expected"),
    [
        ((), None, {}, BOTH),
        (BOTH, frozenset(BOTH), {}, BOTH),
        (BOTH, frozenset({"approver"}), {}, ("approver",)),
        (BOTH, frozenset({"deploy-lead"}), {}, None),
        (BOTH, None, {}, None),
        (BOTH, None, {"own_key": True}, None),
        (BOTH, None, {"on_behalf_of": "bea"}, None),
        (BOTH, frozenset({"approver"}), {"own_key": True}, BOTH),
        (BOTH, frozenset({"approver"}), {"on_behalf_of": "bea"}, BOTH),
        (("deploy-lead",), frozenset({"agent"}), {}, ("approver",)),
    ],
)
def test_a_vote_counts_for_the_roles_that_its_caster_still_holds_and_is_void_without_the_right_to_vote(
    keyed: tuple[str, ...], now: frozenset[str] | None, changes: dict[str, Any], expected: tuple[str, ...] | None
) -> None:
    cast = CastVote(ActorId("ada"), BOTH, True, "looked", 0, SIGNED, keyed=keyed)
    found = vote_now(replace(cast, **changes), now)
    assert (None if found.is_void else found.roles) == expected
