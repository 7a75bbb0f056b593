"""Waiting for something to be so, with a deadline; never for a while."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")

TIMEOUT_S = 10.0
_STEP_S = 0.01


class Eventually(Protocol):
    """`await eventually(predicate, timeout_s=10)`: the first true value of `predicate`, plain or async."""

    async def __call__(
        self, predicate: Callable[[], T | Awaitable[T]], timeout_s: float = TIMEOUT_S, *, why: str = ""
    ) -> T: ...


async def eventually(predicate: Callable[[], T | Awaitable[T]], timeout_s: float = TIMEOUT_S, *, why: str = "") -> T:
    """The first true value of `predicate`; AssertionError with the last one after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = predicate()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{why or 'not so'} after {timeout_s} s; last value: {value!r}")
        await asyncio.sleep(_STEP_S)


def eventually_sync(predicate: Callable[[], T], timeout_s: float = TIMEOUT_S, *, why: str = "") -> T:
    """The same for tests without an event loop."""
    deadline = time.monotonic() + timeout_s
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{why or 'not so'} after {timeout_s} s; last value: {value!r}")
        time.sleep(_STEP_S)
    return value
