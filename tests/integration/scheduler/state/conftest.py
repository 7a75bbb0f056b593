"""A connected state store, and jobs to put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from holdgate.scheduler.state.connection import Scripts, connect_redis
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
