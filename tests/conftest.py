"""Fixtures for every test that needs a server. Tests without one never start one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import nats
import pytest
from nats.aio.client import Client as Nats

from holdgate.scheduler.up.children import free_port as find_free_port
from support import waiting
from support.servers import Servers, running_servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Real NATS and Redis, one pair a session."""
    with running_servers() as pair:
        yield pair


@pytest.fixture
async def nats_url(servers: Servers) -> str:
    """URL of an empty NATS account with JetStream, this test's own."""
    url = servers.take_nats_url()
    connection = await nats.connect(url)
    stream = connection.jetstream()
    for info in await stream.streams_info():
        await stream.delete_stream(info.config.name or "")
    await connection.close()
    return url


@pytest.fixture
def nats_monitor_url(servers: Servers) -> str:
    """HTTP monitoring of the NATS server."""
    return f"http://{servers.nats.host}:{servers.nats.monitor_port}"


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """URL of an empty Redis database, this test's own."""
    return servers.take_redis_url()


@pytest.fixture
async def nc(nats_url: str) -> AsyncIterator[Nats]:
    """A connection to this test's NATS account."""
    connection = await nats.connect(nats_url)
    yield connection
    if not connection.is_closed:
        await connection.close()


@pytest.fixture
def eventually() -> waiting.Eventually:
    """`await eventually(predicate, timeout_s)`: polls until true."""
    return waiting.eventually


@pytest.fixture
def free_port() -> int:
    """A free TCP port on loopback."""
    return find_free_port()
