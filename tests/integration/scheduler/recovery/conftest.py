"""The state store, the log, and a dispatcher with a kernel, for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client as Nats

from holdgate.scheduler.state.connection import Scripts, connect_redis
from holdgate.scheduler.state.log import ensure_streams
from support.dispatching import ALLOW_ALL, Rules, Stage
from support.state import World


@pytest.fixture
async def scripts(redis_url: str) -> AsyncIterator[Scripts]:
    """The scripts over one connection to this test's database."""
    connected = await connect_redis(redis_url)
    yield connected
    await connected.close()


@pytest.fixture
def world(scripts: Scripts) -> World:
    """Every store of the state, and a clock that tests turn."""
    return World(scripts)


@pytest.fixture
async def streams(nc: Nats) -> None:
    """The log, empty."""
    await ensure_streams(nc)


@pytest.fixture
async def stage(nc: Nats, scripts: Scripts, streams: None) -> AsyncIterator[Stage]:
    """Not started; every job allowed."""
    stage = Stage(nc, scripts, Rules(ALLOW_ALL))
    yield stage
    await stage.stop()
