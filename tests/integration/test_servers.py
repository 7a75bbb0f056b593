"""The servers that the other tests stand on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import nats
import pytest
import redis
from nats.aio.client import Client as Nats

from holdgate.scheduler.up.children import is_free, stop
from holdgate.scheduler.up.servers import redis_server
from support.servers import Servers, configs
from support.waiting import eventually_sync


async def test_each_test_has_streams_of_its_own(nc: Nats, servers: Servers) -> None:
    """What one account keeps, another does not see."""
    await nc.jetstream().add_stream(name="JOBS", subjects=["holdgate.job.*"])
    other = await nats.connect(servers.take_nats_url())
    assert await other.jetstream().streams_info() == []
    await other.close()


async def test_each_test_has_a_database_of_its_own(redis_url: str, servers: Servers) -> None:
    """What one database keeps, another does not see; and writes are on disk before they are confirmed."""
    client = redis.Redis.from_url(redis_url)
    client.set("a", 1)
    other = redis.Redis.from_url(servers.take_redis_url())
    assert other.dbsize() == 0
    assert client.config_get("appendfsync") == {"appendfsync": "always"}
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    client.close()
    other.close()


def test_jetstream_writes_before_it_confirms(nats_monitor_url: str) -> None:
    """The monitor says so, which is where the durability check looks."""
    assert httpx.get(f"{nats_monitor_url}/varz").json()["jetstream"]["config"]["sync_always"] is True


def test_servers_die_with_a_session_that_is_killed() -> None:
    """SIGKILL leaves no chance to clean up; the operating system does it."""
    code = (
        "import sys, os, signal\nsys.path.insert(0, 'tests')\nfrom support.servers import running_servers\n"
        "with running_servers() as pair:\n"
        "    print(pair.nats.port, pair.redis.port, flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    ports = [int(port) for port in done.stdout.split()]
    assert len(ports) == 2, done.stderr
    assert eventually_sync(lambda: all(is_free(port) for port in ports), why="servers outlived their parent")


def test_a_redis_that_reads_much_data_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it says so, however long; one that says nothing in time is stopped."""
    monkeypatch.setattr("holdgate.scheduler.up.servers.START_TIMEOUT_S", 0.2)
    _, config = configs(tmp_path)
    slow = replace(config, more=("key-load-delay 200",))
    config.data_dir.mkdir()
    with (config.data_dir / "appendonly.aof").open("wb") as log:
        log.write(b"".join(b"*3\r\n$3\r\nSET\r\n$4\r\n%04d\r\n$1\r\n1\r\n" % n for n in range(5000)))
    child = redis_server(slow, tmp_path / "redis.conf").start(tmp_path / "log")
    with redis.Redis.from_url(config.url) as client:
        assert client.dbsize() == 5000
    stop(child)
