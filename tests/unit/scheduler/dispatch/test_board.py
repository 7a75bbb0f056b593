"""Marks and waiters: no wake is lost, and none wakes a herd."""

from __future__ import annotations

import asyncio

from holdgate.scheduler.dispatch.board import ReadyBoard


async def _waiters(board: ReadyBoard, count: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.get_running_loop().create_task(board.wait("p", 5)) for _ in range(count)]
    await asyncio.sleep(0)  # each runs up to its wait
    assert board.waiting == count
    return tasks


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_mark_wakes_the_ask_that_waits_longest_and_no_other() -> None:
    board = ReadyBoard()
    first, second = await _waiters(board, 2)
    board.mark("p", "acme")
    await first
    assert not second.done()
    await _end([second])


async def test_a_mark_that_comes_while_somebody_finds_the_tenant_dry_stays() -> None:
    board = ReadyBoard()
    board.mark("p", "acme")
    seen = board.marked("p")["acme"]
    board.mark("p", "acme")
    board.dry("p", "acme", seen)
    assert board.has_ready("p")
    board.dry("p", "acme", board.marked("p")["acme"])
    assert not board.has_ready("p")


async def test_a_wake_of_an_ask_that_is_cancelled_at_that_moment_goes_to_the_next() -> None:
    board = ReadyBoard()
    first, second = await _waiters(board, 2)
    board.wake_next("p")
    first.cancel()
    await asyncio.wait_for(second, 1)
    await _end([first])


async def test_a_waiter_whose_time_is_over_is_gone() -> None:
    board = ReadyBoard()
    await board.wait("p", 0.001)
    assert board.waiting == 0
    board.wake_next("p")


async def test_pools_do_not_wake_each_other() -> None:
    board = ReadyBoard()
    (waiter,) = await _waiters(board, 1)
    board.mark("other", "acme")
    assert board.waiting == 1
    await _end([waiter])


def test_marks_of_pools_without_jobs_are_forgotten_but_none_that_came_meanwhile() -> None:
    board = ReadyBoard()
    board.mark("old", "acme")
    board.mark("kept", "acme")
    number = board.number
    board.mark("new", "acme")
    board.keep_only({"kept"}, number)
    assert [pool for pool in ("old", "kept", "new") if board.has_ready(pool)] == ["kept", "new"]
