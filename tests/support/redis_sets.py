"""Several real Redis servers as one: a primary with a replica under Sentinel, or a cluster of three."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.up.children import free_ports, is_free, spawn, stop
from holdgate.scheduler.up.servers import RedisConfig, find_redis_server, redis_server, write_private
from support.waiting import eventually_sync

HOST = "127.0.0.1"
SERVICE = "state"
DOWN_AFTER_MS = 400
NODES = 3


@dataclass
class RedisSet:
    """`servers` and `sentinels` by port; a process that was killed is taken away by `kill`."""

    url: str
    password: str
    servers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    sentinels: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def client(self, port: int) -> redis.Redis:
        """Straight to one server."""
        return redis.Redis(host=HOST, port=port, password=self.password, socket_timeout=5)

    def ask(self, port: int, *call: str | int) -> Any:
        """Its reply to one command."""
        with contextlib.closing(self.client(port)) as client:
            return client.execute_command(*call)  # type: ignore[no-untyped-call]

    def tenant_of(self, port: int) -> Tenant:
        """A tenant whose state lies at that node of a cluster."""
        shares = [
            range(int(first), int(last) + 1)
            for first, last, primary, *_ in self.ask(port, "CLUSTER", "SLOTS")
            if int(primary[1]) == port
        ]
        tenants = (f"t{number}" for number in range(1000))
        return next(Tenant(name) for name in tenants if any(key_slot(name.encode()) in share for share in shares))

    def kill(self, port: int) -> None:
        """SIGKILL to one server or sentinel."""
        process = self.servers.pop(port, None) or self.sentinels.pop(port)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """End all."""
        for process in (*self.sentinels.values(), *self.servers.values()):
            process.kill()
            stop(process)


@contextlib.contextmanager
def sentinel_set(folder: Path, *, replicas: int = 1) -> Iterator[RedisSet]:
    """A primary, its replicas, three sentinels that know each other from the start."""
    ports = free_ports(1 + replicas + NODES)
    servers, sentinels = ports[: 1 + replicas], ports[1 + replicas :]
    hosts = ",".join(f"{HOST}:{port}" for port in sentinels)
    password = secrets.token_hex(8)
    running = RedisSet(f"redis+sentinel://:{password}@{hosts}/{SERVICE}/0", password)
    try:
        for port in servers:
            follows = () if port == servers[0] else (f"replicaof {HOST} {servers[0]}", f"masterauth {password}")
            lines = (*follows, "repl-diskless-sync yes", "repl-diskless-sync-delay 0", f"masterauth {password}")
            running.servers[port] = _server(folder, port, password, lines)
        eventually_sync(lambda: len(running.ask(servers[0], "ROLE")[2]) == replicas)
        for port, text in _sentinel_texts(servers, sentinels, password).items():
            running.sentinels[port] = _sentinel(folder, port, text)
        yield running
    finally:
        running.stop()


@contextlib.contextmanager
def cluster_set(folder: Path, *, replicas: int = 0) -> Iterator[RedisSet]:
    """Three primaries that share the slots evenly; replicas follow the first one."""
    servers = _ports_with_bus(NODES + replicas)
    password = secrets.token_hex(8)
    hosts = ",".join(f"{HOST}:{port}" for port in servers)
    running = RedisSet(f"redis+cluster://:{password}@{hosts}", password)
    try:
        for port in servers:
            lines = ("cluster-enabled yes", f"cluster-config-file nodes-{port}.conf", "cluster-node-timeout 600",
                     f"masterauth {password}")  # fmt: skip
            running.servers[port] = _server(folder, port, password, lines)
        for number, port in enumerate(servers[:NODES]):
            share = range(SLOTS * number // NODES, SLOTS * (number + 1) // NODES)
            running.ask(port, "CLUSTER", "ADDSLOTS", *share)
            running.ask(port, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port in servers[1:]:
            running.ask(servers[0], "CLUSTER", "MEET", HOST, port)
        eventually_sync(lambda: all(_is_whole(running, port) for port in servers), 20)
        name = running.ask(servers[0], "CLUSTER", "MYID")
        for port in servers[NODES:]:
            running.ask(port, "CLUSTER", "REPLICATE", name)
        eventually_sync(lambda: len(running.ask(servers[0], "ROLE")[2]) == replicas)
        yield running
    finally:
        running.stop()


def _server(folder: Path, port: int, password: str, more: tuple[str, ...]) -> subprocess.Popen[bytes]:
    config = RedisConfig(port=port, data_dir=folder / f"redis-{port}", password=password, more=more)
    return redis_server(config, folder / f"redis-{port}.conf").start(folder / f"redis-{port}.log")


def _sentinel(folder: Path, port: int, text: str) -> subprocess.Popen[bytes]:
    file = folder / f"sentinel-{port}.conf"
    write_private(file, text)
    with (folder / f"sentinel-{port}.log").open("ab") as output:
        return spawn((find_redis_server(), file, "--sentinel"), output=output)


def _sentinel_texts(servers: list[int], sentinels: list[int], password: str) -> dict[int, str]:
    """Configurations by port. Who the others are stands in them, or they would take seconds to find each other."""
    names = {port: secrets.token_hex(20) for port in sentinels}
    texts = {}
    for own in sentinels:
        lines = [
            f"bind {HOST}",
            f"port {own}",
            f"sentinel myid {names[own]}",
            f"sentinel monitor {SERVICE} {HOST} {servers[0]} 2",
            f"sentinel auth-pass {SERVICE} {password}",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 2000",
            *(f"sentinel known-replica {SERVICE} {HOST} {port}" for port in servers[1:]),
            *(f"sentinel known-sentinel {SERVICE} {HOST} {port} {names[port]}" for port in sentinels if port != own),
        ]
        texts[own] = "\n".join([*lines, ""])
    return texts


def _ports_with_bus(count: int) -> list[int]:
    """Nodes talk to each other on the port 10,000 above."""
    found: list[int] = []
    while len(found) < count:
        found += [port for port in free_ports(count) if port < 55_000 and is_free(port + 10_000)]
    return found[:count]


def _is_whole(running: RedisSet, port: int) -> bool:
    info = running.ask(port, "CLUSTER", "INFO")
    return b"cluster_state:ok" in info and b"cluster_slots_ok:16384" in info
