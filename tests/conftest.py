"""Fixtures for every test that needs a server. Tests without one never start one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
from _pytest.nodeid import coerce_node_id
from nats.aio.client import Client as Nats

from holdgate.scheduler.up.children import free_port as find_free_port
from support import waiting
from support.servers import Servers, running_servers

MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 4 * 1024**3


def pytest_configure() -> None:
    """What tests write lies in memory where there is room for it, and TMPDIR says nothing else: it is of no use to
    anybody afterwards, and servers and files that are synced at each step would wait for a disk at each step.

    What is compiled lies there, too, even where this process must not keep it: tests start hundreds of interpreters."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return
    folder = MEMORY / f"holdgate-tests-{os.getuid()}"
    if shutil.disk_usage(MEMORY).free < MEMORY_BYTES_MIN:
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid == os.getuid():
        os.environ["TMPDIR"] = str(folder)
        tempfile.tempdir = None  # was asked for before this
        if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
            os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of an `xdist_group` run in one process. pytest-xdist 3.8 writes the name of the group where pytest 9.2 does
    not look for the id of a test any more: without this all groups are ignored."""
    for item in items:
        named = vars(item).get("_nodeid", item.nodeid)
        if named != item.nodeid:
            item._id = coerce_node_id(named)


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
