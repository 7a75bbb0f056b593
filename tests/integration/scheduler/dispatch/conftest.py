"""A dispatcher and a kernel for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client as Nats

from holdgate.scheduler.state.connection import Scripts, connect_redis
from holdgate.scheduler.state.log import ensure_streams
from support.dispatching import ALLOW_ALL, Rules, Stage


@pytest.fixture
async def scripts(redis_url: str) -> AsyncIterator[Scripts]:
    """The scripts over one connection to this test's database."""
    connected = await connect_redis(redis_url)
    yield connected
    await connected.close()


@pytest.fixture
async def stage(nc: Nats, scripts: Scripts) -> AsyncIterator[Stage]:
    """Everything started, every job allowed."""
    await ensure_streams(nc)
    stage = Stage(nc, scripts, Rules(ALLOW_ALL))
    await stage.start()
    yield stage
    await stage.stop()
