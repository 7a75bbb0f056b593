"""Where a Redis without TLS may be, whoever says where it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdgate.scheduler.errors import StateUnavailable
from holdgate.scheduler.state.address import Endpoint, RedisAddress
from holdgate.scheduler.state.lanes import Wire, packed

SENTINELS = RedisAddress.parse("redis+sentinel://127.0.0.1:26379/holdgate/0")


@pytest.mark.parametrize("host", ["192.0.2.1", "primary.example", "2001:db8::1"])
async def test_a_server_that_sentinels_name_elsewhere_hears_nothing_without_tls(host: str) -> None:
    """The address leads to this machine, and what is there may lead anywhere."""
    wire = Wire(Endpoint(host, 6379), replace(SENTINELS, loopback_only=True), timeout_s=5)
    for say in (lambda: wire.exchange(packed(("PING",)), 1), lambda: wire.raw(packed(("SYNC",)))):
        with pytest.raises(StateUnavailable, match="would be readable"):
            await say()
    await wire.drop()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_one_on_this_machine_is_spoken_to(host: str) -> None:
    wire = Wire(Endpoint(host, 1), replace(SENTINELS, loopback_only=True), timeout_s=5)
    with pytest.raises(StateUnavailable, match="did not answer"):
        await wire.exchange(packed(("PING",)), 1)
    await wire.drop()
