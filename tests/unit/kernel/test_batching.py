"""Group commit: what arrives while a flush is under way leaves together, and everyone hears of their own item."""

from __future__ import annotations

import asyncio

import pytest

from holdgate.kernel.batching import GroupCommit
from holdgate.kernel.errors import Unavailable


class Door:
    """A flush that waits until the test opens it, and keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()

    async def flush(self, items: list[int]) -> list[int | Exception]:
        """Twice each item; odd hundreds fail alone."""
        self.batches.append(items)
        self.entered.set()
        await self.opened.wait()
        return [ValueError(str(item)) if item % 200 == 100 else item * 2 for item in items]


async def test_what_arrives_during_a_flush_leaves_in_the_next_one() -> None:
    """One flush at a time, in order, no larger than allowed."""
    door = Door()
    commit: GroupCommit[int, int] = GroupCommit(door.flush, batch_max=3)
    first = asyncio.ensure_future(commit.submit(0))
    await door.entered.wait()
    later = [asyncio.ensure_future(commit.submit(number)) for number in range(1, 6)]
    await asyncio.sleep(0)
    door.opened.set()
    assert await asyncio.gather(first, *later) == [0, 2, 4, 6, 8, 10]
    assert door.batches == [[0], [1, 2, 3], [4, 5]]
    await commit.close()


async def test_one_after_the_other_goes_on() -> None:
    """A caller that was just answered may come again at once."""
    door = Door()
    door.opened.set()
    commit: GroupCommit[int, int] = GroupCommit(door.flush, batch_max=3)
    async with asyncio.timeout(5):
        for number in range(50):
            assert await commit.submit(number) == number * 2
    await commit.close()


async def test_an_item_that_fails_does_not_fail_the_others() -> None:
    """Each caller gets its own."""
    door = Door()
    door.opened.set()
    commit: GroupCommit[int, int] = GroupCommit(door.flush, batch_max=10)
    replies = await asyncio.gather(*map(commit.submit, (1, 100, 2)), return_exceptions=True)
    assert (replies[0], replies[2]) == (2, 4)
    assert isinstance(replies[1], ValueError)
    await commit.close()


async def test_a_flush_that_fails_fails_its_items_and_not_later_ones() -> None:
    """The next flush is tried as if nothing had been."""
    broken = [True]

    async def flush(items: list[int]) -> list[int | Exception]:
        if broken.pop() if broken else False:
            raise Unavailable("away")
        return list(items)

    commit: GroupCommit[int, int] = GroupCommit(flush, batch_max=10)
    with pytest.raises(Unavailable):
        await commit.submit(1)
    assert await commit.submit(2) == 2
    await commit.close()


async def test_too_many_waiting_are_refused_at_once() -> None:
    """Waiting is bounded."""
    door = Door()
    commit: GroupCommit[int, int] = GroupCommit(door.flush, batch_max=1, waiting_max=2)
    first = asyncio.ensure_future(commit.submit(0))
    await door.entered.wait()
    waiting = [asyncio.ensure_future(commit.submit(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await commit.submit(3)
    door.opened.set()
    assert await asyncio.gather(first, *waiting) == [0, 2, 4]
    await commit.close()


async def test_closing_tells_everyone_who_waits() -> None:
    """Those under way and those behind them; and it may be done twice."""
    door = Door()
    commit: GroupCommit[int, int] = GroupCommit(door.flush, batch_max=1)
    callers = [asyncio.ensure_future(commit.submit(number)) for number in range(3)]
    await door.entered.wait()
    await commit.close()
    await commit.close()
    replies = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(reply, Unavailable) for reply in replies)
    with pytest.raises(Unavailable):
        await commit.submit(9)


async def test_a_caller_that_gave_up_is_not_flushed() -> None:
    """Its item never left."""
    door = Door()
    commit: GroupCommit[int, int] = GroupCommit(door.flush, batch_max=5)
    first = asyncio.ensure_future(commit.submit(0))
    await door.entered.wait()
    gone, stays = (asyncio.ensure_future(commit.submit(number)) for number in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    door.opened.set()
    assert await asyncio.gather(first, stays) == [0, 4]
    assert door.batches == [[0], [2]]
    await commit.close()
