"""After an outage of ours workers get the chance to renew their leases before anything is taken from them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel import limits
from holdgate.scheduler.dispatch.config import DispatchConfig
from holdgate.scheduler.dispatch.grace import Grace
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.state.connection import INDEX, Scripts
from holdgate.scheduler.state.log import ensure_streams
from holdgate.scheduler.state.transitions import State
from support.dispatching import ALLOW_ALL, Rules, Stage


@pytest.fixture
async def patient(nc: Nats, scripts: Scripts) -> AsyncIterator[Stage]:
    """A dispatcher with the grace that operators have."""
    await ensure_streams(nc)
    stage = Stage(nc, scripts, Rules(ALLOW_ALL), config=DispatchConfig())
    await stage.start()
    yield stage
    await stage.stop()


async def test_a_dispatcher_that_just_started_takes_no_lease_back(patient: Stage) -> None:
    job_id = await patient.submit(max_attempts=2)
    worker = patient.worker()
    (delivery,) = await worker.ask()
    await patient.end_lease(delivery, worker)
    await patient.dispatcher.reaper.run_once()
    assert await patient.state_of(job_id) is State.RUNNING
    assert (await worker.beat(delivery))["lost"] == []


async def test_leases_are_left_alone_after_a_run_that_failed(stage: Stage) -> None:
    reaper = stage.dispatcher.reaper
    now = [0.0]
    reaper._grace = Grace(stage.nc, 10, lambda: now[0])
    assert not reaper._grace.is_over()
    now[0] = 11
    assert reaper._grace.is_over()
    await stage.dispatcher.stop()
    await stage.scripts.command("SET", f"{INDEX}:tenants", "not a set")
    with pytest.raises(StateBroken):
        await reaper.run_once()
    assert not reaper._grace.is_over()
    now[0] = 22
    assert reaper._grace.is_over()


async def test_a_connection_that_was_lost_meanwhile_begins_the_grace_anew(nc: Nats) -> None:
    now = [0.0]
    grace = Grace(nc, 10, lambda: now[0])
    assert not grace.is_over()
    now[0] = 11
    assert grace.is_over()
    nc.stats["reconnects"] += 1
    assert not grace.is_over()
    now[0] = 22
    assert grace.is_over()


def test_the_grace_is_two_heartbeats() -> None:
    assert DispatchConfig().reclaim_grace_s == 2 * limits.HEARTBEAT_S
