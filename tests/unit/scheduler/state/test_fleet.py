"""Who the primaries are is looked at for as long as the process lives."""

from __future__ import annotations

import asyncio

import pytest

from holdgate.scheduler.state import fleet as fleets
from holdgate.scheduler.state.address import Endpoint, Kind, RedisAddress
from holdgate.scheduler.state.fleet import Fleet
from holdgate.scheduler.state.topology import SLOTS, Layout

HERE = Endpoint("127.0.0.1", 1)


class Odd:
    """Meets something that nobody thought of at its second look."""

    def __init__(self) -> None:
        self.looks = 0
        self.is_seen = asyncio.Event()

    async def look(self) -> Layout:
        self.looks += 1
        if self.looks == 2:
            raise KeyError("nobody thought of this")
        if self.looks > 3:
            self.is_seen.set()
        return Layout((HERE,))

    async def close(self) -> None:
        return None


async def test_a_look_that_fails_in_a_way_that_nobody_thought_of_is_not_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody would follow the next failover."""
    monkeypatch.setattr(fleets, "LOOK_EVERY_S", 0)
    fleet, odd = Fleet(RedisAddress(Kind.SENTINEL, (HERE,), service="main"), timeout_s=1), Odd()
    monkeypatch.setattr(fleet, "_topology", odd)
    await fleet.start()
    async with asyncio.timeout(5):
        await odd.is_seen.wait()
    await fleet.close()


@pytest.mark.parametrize("share", [1, 40, 8000])
def test_each_primary_has_a_tag_however_few_slots_it_serves(share: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written into every primary tells of each whether it was set back."""
    fleet = Fleet(RedisAddress(Kind.CLUSTER, (HERE,)), timeout_s=1)
    primaries = tuple(Endpoint("127.0.0.1", port) for port in (1, 2, 3))
    layout = Layout(primaries, (*(0,) * share, *(1,) * (8000 - share + 100), *(2,) * (SLOTS - 8100)))
    monkeypatch.setattr(fleet, "_layout", layout)
    tags = fleet.tags("epoch")
    assert {layout.primary_of(f"hg:{{{tag}}}:of:us".encode()) for tag in tags} == set(primaries)
    assert len(tags) == len(primaries)


def test_one_primary_has_one_tag() -> None:
    assert Fleet(RedisAddress(Kind.SINGLE, (HERE,)), timeout_s=1).tags("epoch") == ("epoch-0",)
