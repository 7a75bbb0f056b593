"""What tests of faults share: a data node asked directly."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import redis.asyncio

from holdgate.scheduler.torture.cluster import Cluster, redisup


@contextlib.asynccontextmanager
async def store(cluster: Cluster, name: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A connection to one data node."""
    connection = redisup.client(cluster.layout.places[name].port, cluster.redis_password)
    try:
        yield connection
    finally:
        await connection.aclose()
