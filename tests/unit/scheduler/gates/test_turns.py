"""Turns over tenants: whoever sends much waits behind itself."""

from __future__ import annotations

import asyncio

import pytest

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.gates.turns import FairTurns

MUCH, LITTLE, THIRD = Tenant("much"), Tenant("little"), Tenant("third")


class Work:
    """Takes turns and notes in which order they come."""

    def __init__(self, turns: FairTurns) -> None:
        self.turns = turns
        self.order: list[Tenant] = []

    async def one(self, tenant: Tenant) -> None:
        """A turn in which others may come."""
        async with self.turns.turn(tenant):
            self.order.append(tenant)
            await asyncio.sleep(0)


async def test_tenants_have_their_turns_one_after_another() -> None:
    work = Work(FairTurns(1))
    await asyncio.gather(*(work.one(tenant) for tenant in [MUCH] * 5 + [LITTLE, LITTLE, THIRD]))
    assert work.order == [MUCH, MUCH, LITTLE, THIRD, MUCH, LITTLE, MUCH, MUCH]


async def test_a_tenant_with_all_of_its_turns_leaves_the_rest_to_others() -> None:
    turns = FairTurns(4, each=2)
    await turns.take(MUCH)
    await turns.take(MUCH)
    third = asyncio.create_task(turns.take(MUCH))
    await asyncio.wait_for(turns.take(LITTLE), 1)
    assert (third.done(), turns.waiting(MUCH)) == (False, 1)
    turns.give_back(MUCH)
    await asyncio.wait_for(third, 1)


@pytest.mark.parametrize("handed_out", [False, True], ids=["while it waits", "as its turn comes"])
async def test_who_goes_away_leaves_no_turn_behind(*, handed_out: bool) -> None:
    turns = FairTurns(1)
    await turns.take(MUCH)
    waits = asyncio.create_task(turns.take(LITTLE))
    await asyncio.sleep(0)
    if handed_out:
        turns.give_back(MUCH)
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    if not handed_out:
        turns.give_back(MUCH)
    await asyncio.wait_for(turns.take(THIRD), 1)
    assert turns.waiting(LITTLE) == 0
