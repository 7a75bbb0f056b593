"""A connected state store, and jobs to put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from holdgate.scheduler.state.address import RedisAddress
from holdgate.scheduler.state.connection import Scripts, connect_redis
from support.redis_sets import RedisSet, cluster_set, sentinel_set
from support.state import World


@pytest.fixture(scope="session")
def redis_under_sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisSet]:
    """A primary with a replica; tests of its failover start their own."""
    with sentinel_set(tmp_path_factory.mktemp("sentinel")) as running:
        yield running


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisSet]:
    """Three primaries."""
    with cluster_set(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
async def scripts(request: pytest.FixtureRequest) -> AsyncIterator[Scripts]:
    """The scripts, connected to this test's database; `indirect` for other ways to set Redis up."""
    kind = getattr(request, "param", "single")
    if kind == "single":
        connected = await connect_redis(request.getfixturevalue("redis_url"))
    else:
        running: RedisSet = request.getfixturevalue(
            {"sentinel": "redis_under_sentinel", "cluster": "redis_cluster"}[kind]
        )
        address = RedisAddress.parse(running.url)
        connected = await connect_redis(replace(address, replicas=1) if kind == "sentinel" else address)
        await connected.everywhere("FLUSHALL")
        await connected.load()
    yield connected
    await connected.close()


@pytest.fixture
def world(scripts: Scripts) -> World:
    """Every store of the state, and a clock that tests turn."""
    return World(scripts)
