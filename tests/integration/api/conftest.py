"""The real API for this folder's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from support.api import ApiWorld, running_api
from support.servers import Servers


@pytest.fixture
async def api(nats_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[ApiWorld]:
    """A running API with its kernel, this test's own."""
    async with running_api(nats_url, redis_url, tmp_path / "home") as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_api(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiWorld]:
    """One for all tests of a module that change nothing, or nothing that others look at."""
    directory = tmp_path_factory.mktemp("shared") / "home"
    async with running_api(servers.take_nats_url(), servers.take_redis_url(), directory) as world:
        yield world
