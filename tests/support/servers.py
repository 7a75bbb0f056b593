"""One real NATS and one real Redis a test session; an account and a database of its own for each test.

The servers are killed by the operating system when the session dies, however it dies.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis

from holdgate.scheduler.errors import ServerUnusable
from holdgate.scheduler.up.accounts import NatsAccount, NatsUser
from holdgate.scheduler.up.children import free_ports, stop
from holdgate.scheduler.up.servers import NatsConfig, RedisConfig, nats_server, redis_server

ACCOUNTS = 1024
DATABASES = 1024
PASSWORD = "for-tests-only"
START_TRIES = 5
"""A free port may be taken by another process before the server listens on it."""


@dataclass
class Servers:
    """Where they are, and whose turn it is."""

    nats: NatsConfig
    redis: RedisConfig
    _accounts: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(ACCOUNTS)))
    _databases: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(DATABASES)))

    def take_nats_url(self) -> str:
        """URL, with user and password, of an account that no other running test uses. It may hold streams of an
        earlier test when the accounts were used up: see `clear_account`."""
        return f"nats://t{next(self._accounts)}:{PASSWORD}@{self.nats.host}:{self.nats.port}"

    def take_redis_url(self) -> str:
        """URL, with password, of an empty database that no other running test uses."""
        url = self.redis.url.removesuffix("/0") + f"/{next(self._databases)}"
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            client.flushdb()
        return url


@contextlib.contextmanager
def running_servers() -> Iterator[Servers]:
    """Both servers, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="holdgate-test-") as name, contextlib.ExitStack() as stack:
        yield _start(Path(name), stack)


def _start(folder: Path, stack: contextlib.ExitStack) -> Servers:
    for last in range(START_TRIES - 1, -1, -1):
        nats, redis_ = configs(folder)
        try:
            for server in (nats_server(nats, folder / "nats.conf"), redis_server(redis_, folder / "redis.conf")):
                stack.callback(stop, server.start(folder / f"{server.name}.log"))
        except ServerUnusable:
            stack.close()
            if not last:
                raise
            continue
        return Servers(nats, redis_)
    raise AssertionError("unreachable: the last try returns or raises")


def configs(folder: Path) -> tuple[NatsConfig, RedisConfig]:
    """Configurations on free ports with data in `folder`."""
    accounts: dict[str, NatsAccount | tuple[NatsUser, ...]] = {
        f"T{number}": (NatsUser(f"t{number}", PASSWORD),) for number in range(ACCOUNTS)
    }
    nats_port, monitor_port, redis_port = free_ports(3)
    return (
        NatsConfig(
            nats_port, folder / "nats", accounts, monitor_port=monitor_port, file_store="64TB"
        ),  # each account has its own streams
        RedisConfig(port=redis_port, data_dir=folder / "redis", password=PASSWORD, databases=DATABASES),
    )
