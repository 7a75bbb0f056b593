"""Webhooks, a store, and somebody who receives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdgate.scheduler.state.connection import connect_redis
from support.notifying import Post
from support.receiver import Receiver, receiving
from support.state import World


@pytest.fixture
async def post(redis_url: str, tmp_path: Path) -> AsyncIterator[Post]:
    """Notifiers of this test's own."""
    scripts = await connect_redis(redis_url)
    made = Post(World(scripts), tmp_path)
    yield made
    for service in made.made:
        await service.stop()
    await scripts.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """One that takes everything."""
    async with receiving() as one:
        yield one
