"""Failures are limited by address and in all, forgotten in bounds, and told to the audit trail now and then."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.kernel.ids import SYSTEM, Tenant
from holdgate.scheduler.errors import StateUnavailable, TooManyAttempts
from holdgate.scheduler.identity import attempts as module
from holdgate.scheduler.identity.attempts import ADDRESSES_MAX, BURST, REFILL_MS, TOTAL_BURST, Attempts, network_of


class Clock:
    """Time that a test turns."""

    now = 1_000_000

    def now_ms(self) -> int:
        return self.now


class Trail:
    """What would be in the audit trail."""

    def __init__(self) -> None:
        self.events: list[tuple[Tenant, str, dict[str, Any]]] = []
        self.is_away = False

    async def append(self, tenant: Tenant, type_: str, details: dict[str, Any], now_ms: int) -> int:
        if self.is_away:
            raise StateUnavailable
        self.events.append((tenant, type_, details))
        return len(self.events)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trail() -> Trail:
    return Trail()


@pytest.fixture
def attempts(clock: Clock, trail: Trail) -> Attempts:
    return Attempts(trail, clock, bytes)  # type: ignore[arg-type]  the part of a trail that is used


async def fail(attempts: Attempts, times: int, address: str = "192.0.2.1") -> int:
    """Fail so often; how many of them were one too many."""
    refused = 0
    for _ in range(times):
        try:
            await attempts.failed("key", address)
        except TooManyAttempts:
            refused += 1
    return refused


async def test_an_address_may_fail_a_few_times_and_then_now_and_then(attempts: Attempts, clock: Clock) -> None:
    assert await fail(attempts, BURST) == 0
    assert await fail(attempts, 1) == 1
    with pytest.raises(TooManyAttempts) as caught:
        await attempts.failed("oidc", "192.0.2.1")
    assert 0 < caught.value.retry_after_ms <= REFILL_MS
    clock.now += REFILL_MS
    assert await fail(attempts, 2) == 1


async def test_others_are_not_slowed(attempts: Attempts) -> None:
    await fail(attempts, BURST * 3)
    assert await fail(attempts, BURST, "192.0.2.2") == 0


async def test_all_together_are_limited_too(attempts: Attempts) -> None:
    """From as many addresses as somebody has."""
    refused = [await fail(attempts, 1, f"10.0.{n // 250}.{n % 250}") for n in range(TOTAL_BURST + 20)]
    assert sum(refused) == 20


async def test_what_is_kept_is_bounded(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADDRESSES_MAX", 50)
    assert ADDRESSES_MAX == 10_000
    for n in range(200):
        await fail(attempts, 1, f"10.0.0.{n}")
    assert len(attempts._by_address) == 50


async def test_the_trail_is_not_flooded_and_loses_no_count(attempts: Attempts, clock: Clock, trail: Trail) -> None:
    """The first at once, then all of ten seconds in one event; no address is named."""
    await fail(attempts, 8)
    assert [event[2]["count"] for event in trail.events] == [1]
    clock.now += 10_000
    await fail(attempts, 1, "192.0.2.2")
    assert [event[2]["count"] for event in trail.events] == [1, 8]
    assert {event[:2] for event in trail.events} == {(SYSTEM, "signin.refused")}
    assert "192.0.2" not in str(trail.events)
    assert len({event[2]["address"] for event in trail.events}) == 2


async def test_without_the_trail_a_failure_is_a_failure_all_the_same(attempts: Attempts, trail: Trail) -> None:
    """Neither let through nor turned into another error."""
    trail.is_away = True
    assert await fail(attempts, BURST + 1) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "no address", True),
    ],
)
def test_what_is_one_client(one: str, other: str, same: bool) -> None:
    """A client has a whole /64 of IPv6 to itself."""
    assert (network_of(one) == network_of(other)) is same
