"""Processes say that they are there."""

from __future__ import annotations

import pytest

from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.presence import FORGOTTEN_MS, PRESENT_MS, PROCESSES, Presences
from support.trust import SetClock


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def presences(scripts: Scripts, clock: SetClock) -> Presences:
    return Presences(scripts, clock)


async def test_who_said_so_is_there_until_it_was_silent_for_too_long(presences: Presences, clock: SetClock) -> None:
    """Whether it died, hangs or cannot reach Redis."""
    await presences.say("dispatcher", "a", "ready", [])
    clock.time_ms += PRESENT_MS
    await presences.say("dispatcher", "b", "degraded", ["kernel"])
    found = await presences.there("dispatcher")
    assert [(said.instance, said.wrong) for said in found] == [("a", ()), ("b", ("kernel",))]
    assert await presences.there("output-gate") == []
    clock.time_ms += 1
    assert [said.instance for said in await presences.there("dispatcher")] == ["b"]


async def test_who_ends_in_order_is_gone_at_once(presences: Presences) -> None:
    await presences.say("auditor", "a", "ready", [])
    await presences.leave("auditor", "a")
    assert await presences.every() == []


async def test_the_long_silent_and_what_nobody_can_read_are_not_there_and_are_forgotten(
    presences: Presences, scripts: Scripts, clock: SetClock
) -> None:
    """A register of processes that come and go does not grow."""
    await presences.say("api", "a", "ready", [])
    await scripts.command("HSET", PROCESSES, "api/other", b"\x00")
    clock.time_ms += FORGOTTEN_MS + 1
    assert await presences.every() == []
    assert await scripts.command("HLEN", PROCESSES) == 0
