"""How many jobs may wait, as one process of the API counts them."""

from __future__ import annotations

import asyncio

import pytest

from holdgate.scheduler.errors import StateBroken, StateUnavailable
from holdgate.scheduler.gates import room
from holdgate.scheduler.gates.room import QueueRoom


@pytest.mark.parametrize("error", [StateUnavailable(), StateBroken(), RuntimeError()])
async def test_who_could_not_count_once_counts_again(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """What entered would add up for ever, and keep everybody out in the end."""
    monkeypatch.setattr(room, "LOOK_EVERY_S", 0.0)
    looks, counted = 0, asyncio.Event()

    async def count() -> int:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise error
        if looks > 2:
            counted.set()
        return 0

    queues = QueueRoom(count, 1)
    queues.entered()
    assert not queues.has_room()
    await queues.start()
    async with asyncio.timeout(10):
        await counted.wait()
    await queues.stop()
    assert queues.has_room()
