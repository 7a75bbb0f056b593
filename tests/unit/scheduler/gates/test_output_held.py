"""Large results that wait: one tenant's do not take the room of others'."""

from __future__ import annotations

from typing import cast

from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.gates.output.held import HeldResults
from holdgate.scheduler.state.pull import PullReader

MUCH, LITTLE = Tenant("much"), Tenant("little")


def message(size: int) -> Msg:
    """A result of so many bytes."""
    return Msg(cast(Nats, None), data=b"x" * size)


async def test_results_that_take_long_fill_no_more_than_half_of_the_room() -> None:
    held = HeldResults(cast(PullReader, None), bytes_max=100, slow_s=0.0)
    first = message(40)
    assert [held.add(first, MUCH), held.add(message(40), MUCH), held.add(message(40), LITTLE)] == [True, False, True]
    held.release(first)
    assert held.add(message(90), MUCH), "one is always held, however large"


async def test_results_that_are_judged_in_time_fill_all_of_it() -> None:
    held = HeldResults(cast(PullReader, None), bytes_max=100, slow_s=60.0)
    assert all(held.add(message(40), MUCH) for _ in range(3))
