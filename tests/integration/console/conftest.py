"""The real API with its console for this folder's tests, which talk HTTP to it as a browser would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.api import ApiWorld, running_api


@pytest.fixture
async def api(nats_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[ApiWorld]:
    """A running API with its kernel and console, this test's own."""
    async with running_api(nats_url, redis_url, tmp_path / "home") as world:
        yield world
