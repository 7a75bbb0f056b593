"""Users of Redis, tried against a real server: each process has what it sends, and nothing that it does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import socket
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.exceptions

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import Tenant
from holdgate.scheduler.errors import DurabilityMismatch, StateBroken
from holdgate.scheduler.state.connection import connect_redis, key
from holdgate.scheduler.state.durability import BY_CONFIG, Profile, verify_durability
from holdgate.scheduler.state.fleet import LANES
from holdgate.scheduler.up import credentials
from holdgate.scheduler.up.children import free_port, free_ports, spawn, stop
from holdgate.scheduler.up.home import redis_secret
from holdgate.scheduler.up.kubernetes import SERVICE, sentinel_lines
from holdgate.scheduler.up.lock import locked
from holdgate.scheduler.up.plan import HOST
from holdgate.scheduler.up.provision import Provisioned, provision
from holdgate.scheduler.up.ready import Ready
from holdgate.scheduler.up.redisusers import (
    READING,
    REDIS_ACCESS,
    REPLICA,
    SENTINELS,
    SERVERS_ACCESS,
    SETUP,
    WRITING,
    digest_of,
)
from holdgate.scheduler.up.reload import apply
from holdgate.scheduler.up.servers import IDLE_S, RedisConfig, find_redis_server, redis_server, write_private
from support.waiting import eventually_sync

SOURCES = Path(str(resources.files("holdgate.scheduler")))
STATEFUL = ("api", "dispatcher", "output-gate")
REFUSED = r"(?i)no permissions|unknown command|can't run this command|can't access|no perm"
SECRET = "hg:{acme}:job:job_1"
FOREIGN = (
    *(
        "CONFIG SET appendfsync no",
        "CONFIG REWRITE",
        "CONFIG RESETSTAT",
        "DEBUG SLEEP 0",
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
    ),
    *(
        "SCAN 0",
        "DBSIZE",
        "SHUTDOWN NOSAVE",
        "ACL LIST",
        "ACL WHOAMI",
        "ACL SETUSER x on",
        "CLIENT LIST",
        "CLIENT PAUSE 1",
    ),
    *("CLIENT KILL ID 1", "MONITOR", "REPLICAOF NO ONE", "SLAVEOF NO ONE", "PSYNC ? -1", "MIGRATE h 1 hg:x 0 1"),
    *("DUMP hg:x", "RESTORE hg:x 0 x", "SCRIPT FLUSH", "SCRIPT KILL", "MODULE LIST", "SAVE", "BGSAVE", "BGREWRITEAOF"),
    *("SWAPDB 0 1", "RENAME hg:x hg:y", "COPY hg:x hg:y", "MOVE hg:x 1", "OBJECT ENCODING hg:x", "RANDOMKEY"),
    *("SUBSCRIBE x", "PUBLISH x y", "CLUSTER RESET", "CLUSTER FAILOVER", "FAILOVER", "LATENCY DOCTOR", "SLOWLOG GET"),
    *(f"CONFIG GET {name}" for name in ("masterauth", "requirepass", "tls-key-file-pass", "appendfsync", "*")),
    *("MEMORY STATS", "WAITAOF 1 0 0", "FUNCTION LIST", "SENTINEL MASTERS"),
)
"""Some are of newer servers: there, too, nobody may."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Provisioned:
    return provision(tmp_path_factory.mktemp("home") / "data", SystemClock())


def following(made: Provisioned) -> tuple[str, ...]:
    """What a server says of itself to its primary, as the chart has it."""
    return (f"masteruser {REPLICA}", f"masterauth {made.passwords[redis_secret(REPLICA)]}")


@pytest.fixture(scope="module")
def server(made: Provisioned, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisConfig]:
    """Redis with the users that `holdgate up` gives it."""
    folder = tmp_path_factory.mktemp("redis")
    config = replace(made.redis_config(free_port()), data_dir=folder / "data", more=following(made))
    child = redis_server(config, folder / "redis.conf").start(folder / "log")
    yield config
    stop(child)


@contextlib.contextmanager
def connected(server: RedisConfig, user: str | None, password: str | None) -> Iterator[redis.Redis]:
    with contextlib.closing(
        redis.Redis(host=server.host, port=server.port, username=user, password=password)
    ) as client:
        yield client


def said(server: RedisConfig, user: str | None, password: str | None) -> bytes:
    """What the server answers to a stranger's AUTH and PING. By hand: the driver tries again for seconds."""
    words = " ".join(filter(None, ("AUTH", user, password))) if user else "PING"
    reply = b""
    with socket.create_connection((server.host, server.port), timeout=5) as connection:
        connection.sendall(f"{words}\r\nPING\r\n".encode())
        while reply.count(b"\r\n") < 2:
            reply += connection.recv(4096)
    return reply


@contextlib.contextmanager
def as_process(server: RedisConfig, made: Provisioned, name: str) -> Iterator[redis.Redis]:
    with connected(server, name, made.passwords[redis_secret(name)]) as client:
        yield client


def commands_in(folder: Path) -> set[str]:
    """Commands that scripts there call, and that Python there sends."""
    found: set[str] = set()
    for file in folder.rglob("*.lua"):
        found |= set(re.findall(r"\bcall\('([A-Z]+)'", file.read_text("utf-8")))
    for file in folder.rglob("*.py"):
        text = file.read_text("utf-8")
        if ".command(" in text or ".commands(" in text or ".run(" in text:
            found |= set(re.findall(r"[(\[]\s*\"([A-Z]{3,})\",\s", text))
    return {name.lower() for name in found}


def test_processes_may_send_just_what_the_code_sends(server: RedisConfig, made: Provisioned) -> None:
    """No command is missing, none is left over: a script with a new one needs its line here."""
    with connected(server, "operator", server.password) as operator:
        known = {str(name).lower() for name in operator.command()}
    folders = ("state", "dispatch", "gates", "audit", "recovery", "identity", "notify", "api", "cli")
    sent = set().union(*(commands_in(SOURCES / folder) for folder in folders)) & known
    sent -= {"script", "eval", "evalsha", "cluster", "config", "role", "wait", "ping", "xtrim", "sentinel"}
    assert sent == {*READING, *WRITING}


@pytest.mark.parametrize("name", REDIS_ACCESS)
def test_no_process_may_configure_list_drop_or_listen(server: RedisConfig, made: Provisioned, name: str) -> None:
    """Not even with commands that only look."""
    with as_process(server, made, name) as client:
        for command in FOREIGN:
            with pytest.raises(redis.exceptions.ResponseError, match=REFUSED):
                client.execute_command(*command.split())


@pytest.mark.parametrize("name", [*REDIS_ACCESS, REPLICA, SENTINELS])
def test_no_process_gets_a_password_from_the_server(server: RedisConfig, made: Provisioned, name: str) -> None:
    """By no word that it may say: CONFIG answers with those of replicas, in clear."""
    passwords = list(made.passwords.values())
    with as_process(server, made, name) as client:
        for command in ("CONFIG GET masterauth", "CONFIG GET *", "INFO", "INFO everything", "ROLE", "ACL LIST"):
            with contextlib.suppress(redis.exceptions.ResponseError):
                reply = repr(client.execute_command(*command.split()))
                assert not [password for password in passwords if password in reply], command


@pytest.mark.parametrize("name", SERVERS_ACCESS)
def test_who_serves_the_servers_has_no_keys_and_changes_nothing_stored(
    server: RedisConfig, made: Provisioned, name: str
) -> None:
    foreign = ("CONFIG SET appendfsync no", "FLUSHALL", "KEYS *", "ACL SETUSER x on", "SHUTDOWN", "MODULE LIST")
    stored = ("GET hg:x", "SET hg:x 1", "EVAL x 0", "PUBLISH other x", "RESTORE hg:x 0 x", "DUMP hg:x", "SAVE")
    with as_process(server, made, name) as client:
        for command in (*foreign, *stored):
            with pytest.raises(redis.exceptions.ResponseError, match=REFUSED):
                client.execute_command(*command.split())


@pytest.mark.parametrize("name", STATEFUL)
def test_a_script_may_do_no_more_than_who_sent_it(server: RedisConfig, made: Provisioned, name: str) -> None:
    with as_process(server, made, name) as client:
        for inside in ("redis.call('FLUSHALL')", "redis.call('SET', 'other', '1')", "redis.call('KEYS', '*')"):
            with pytest.raises(redis.exceptions.ResponseError, match=REFUSED):
                client.eval(inside, 0)


@pytest.mark.parametrize("name", REDIS_ACCESS)
def test_keys_of_others_are_out_of_reach(server: RedisConfig, made: Provisioned, name: str) -> None:
    with as_process(server, made, name) as client:
        for command in ("GET other", "HGETALL hh:{acme}:job", "SMEMBERS *"):
            if command.split()[0].lower() in REDIS_ACCESS[name].commands:
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.execute_command(*command.split())


def test_the_auditor_reads_trails_and_runs_nothing(server: RedisConfig, made: Provisioned) -> None:
    with as_process(server, made, "api") as api, as_process(server, made, "auditor") as auditor:
        api.hset(SECRET, "payload", "x")
        api.xadd("hg:{acme}:audit", {"e": "1"})
        api.sadd("hg:{index}:tenants", "acme")
        assert auditor.smembers("hg:{index}:tenants") == {b"acme"}
        assert len(auditor.xrange("hg:{acme}:audit")) == 1
        for refused in (
            lambda: auditor.hgetall(SECRET),
            lambda: auditor.hset(SECRET, "payload", "y"),
            lambda: auditor.hdel("hg:{index}:paused", "default"),
            lambda: auditor.hset("hg:{index}:worker:w1", "x", "y"),
            lambda: auditor.eval("return 1", 0),
            lambda: auditor.evalsha("0" * 40, 0),
            lambda: auditor.xadd("hg:{acme}:audit", {"e": "forged"}),
            lambda: auditor.delete("hg:{acme}:audit"),
            lambda: auditor.srem("hg:{index}:tenants", "acme"),
            lambda: auditor.incr("hg:{acme}:seq"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                refused()
        assert auditor.xtrim("hg:{acme}:audit", minid="9999999999999-0", approximate=False) == 1


def test_nobody_comes_in_without_a_user(server: RedisConfig, made: Provisioned) -> None:
    """The server's own `default` is off, passwords belong to their users, and who only looks after it may ask PING."""
    others = made.passwords[redis_secret("dispatcher")]
    strangers = [(None, None), ("default", None), ("default", server.password), ("kernel", "x"), ("api", others)]
    for user, password in strangers:
        assert b"+PONG" not in said(server, user, password), user
    assert b"+PONG" in said(server, "api", made.passwords[redis_secret("api")])
    with connected(server, "operator", server.password) as operator:
        users = [str(user) for user in operator.acl_list()]
    assert not [user for user in users if "nopass" in user and " on " in user]


@pytest.mark.parametrize("name", STATEFUL)
async def test_a_process_connects_loads_its_scripts_and_runs_them(
    server: RedisConfig, made: Provisioned, name: str
) -> None:
    """And what was refused meanwhile is nothing that it wanted."""
    password = made.passwords[redis_secret(name)]
    with connected(server, "operator", server.password) as operator:
        operator.acl_log_reset()
        scripts = await connect_redis(f"redis://{name}:{password}@{server.host}:{server.port}/0")
        try:
            await scripts.run("append", Tenant("trail"), ("test", 1, b"\x80"))
            assert int(await scripts.command("GET", key(Tenant("trail"), "seq"))) >= 1
            with pytest.raises(StateBroken):
                await scripts.command("GET", "other")
        finally:
            await scripts.close()
        assert [entry["object"] for entry in operator.acl_log()] == ["other"]


def test_the_servers_file_of_users_holds_digests_and_no_password(server: RedisConfig, made: Provisioned) -> None:
    texts = "".join(file.read_text() for file in server.data_dir.parent.glob("redis.users"))
    for name, password in made.passwords.items():
        assert password not in texts, name
        assert digest_of(password) in texts, name


async def test_setup_sees_what_processes_do_not(server: RedisConfig, made: Provisioned) -> None:
    """A server that may lose the last second is refused by `holdgate setup`; INFO does not tell a process of it."""
    connections = {
        name: await connect_redis(f"redis://{name}:{made.passwords[redis_secret(name)]}@{server.host}:{server.port}/0")
        for name in (SETUP, "auditor")
    }
    with connected(server, "operator", server.password) as operator:
        try:
            assert await verify_durability(connections[SETUP], None, profile=Profile.STRICT, look=BY_CONFIG) == []
            operator.config_set("appendfsync", "everysec")
            assert await verify_durability(connections["auditor"], None, profile=Profile.STRICT) == []
            with pytest.raises(DurabilityMismatch, match="`appendfsync` is `everysec`"):
                await verify_durability(connections[SETUP], None, profile=Profile.STRICT, look=BY_CONFIG)
            with pytest.raises(DurabilityMismatch, match="does not show how it is set"):
                await verify_durability(connections["auditor"], None, profile=Profile.STRICT, look=BY_CONFIG)
            operator.config_set("maxmemory-policy", "allkeys-lru")
            with pytest.raises(DurabilityMismatch, match="`maxmemory-policy` is `allkeys-lru`"):
                await verify_durability(connections["auditor"], None, profile=Profile.STRICT)
            operator.config_set("appendonly", "no")
            with pytest.raises(DurabilityMismatch, match="`appendonly` is `no`"):
                await verify_durability(connections["auditor"], None, profile=Profile.STRICT)
        finally:
            for name, value in (("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction")):
                operator.config_set(name, value)
            for connection in connections.values():
                await connection.close()


def test_sentinels_move_the_primary_with_their_own_users(made: Provisioned, tmp_path: Path) -> None:
    """As the chart sets them up: replicas and sentinels have just what that takes, and processes just ask."""
    first, second, *watchers = free_ports(4)
    with contextlib.ExitStack() as stack:
        for port in (first, second):
            more = following(made) + ((f"replicaof {HOST} {first}",) if port == second else ())
            config = replace(
                made.redis_config(port),
                data_dir=tmp_path / f"data-{port}",
                more=("repl-diskless-sync yes", "repl-diskless-sync-delay 0", *more),
            )
            child = redis_server(config, tmp_path / f"redis-{port}.conf").start(tmp_path / f"redis-{port}.log")
            stack.callback(stop, child)
        asking, peer = secrets.token_hex(8), secrets.token_hex(8)
        names = {port: secrets.token_hex(20) for port in watchers}
        for port in watchers:
            file = tmp_path / f"sentinel-{port}.conf"
            lines = (
                *(f"bind {HOST}", f"port {port}", f"sentinel monitor {SERVICE} {HOST} {first} 2"),
                *(f"sentinel down-after-milliseconds {SERVICE} 500", f"sentinel failover-timeout {SERVICE} 2000"),
                f"sentinel myid {names[port]}",
                f"sentinel known-replica {SERVICE} {HOST} {second}",
                *(
                    f"sentinel known-sentinel {SERVICE} {HOST} {each} {names[each]}"
                    for each in watchers
                    if each != port
                ),
                *sentinel_lines(made.passwords[redis_secret(SENTINELS)], asking, peer),
            )
            write_private(file, "\n".join((*lines, "")))
            with (tmp_path / f"sentinel-{port}.log").open("ab") as output:
                stack.callback(stop, spawn((find_redis_server(), file, "--sentinel"), output=output))

        def asked(port: int, *call: str) -> Any:
            with contextlib.closing(redis.Redis(host=HOST, port=port, password=asking)) as client:
                return client.execute_command(*call)  # type: ignore[no-untyped-call]

        def is_known(port: int) -> bool:
            with contextlib.suppress(redis.exceptions.ConnectionError):
                shown = asked(port, "SENTINEL", "MASTER", SERVICE)
                facts = dict(zip(shown[::2], shown[1::2], strict=True)) if isinstance(shown, list) else shown
                found = {str(name, "ascii") if isinstance(name, bytes) else name: facts[name] for name in facts}
                return (int(found["num-other-sentinels"]), int(found["num-slaves"])) == (1, 1)
            return False

        assert eventually_sync(lambda: all(map(is_known, watchers)), 20)
        for command in (f"SENTINEL FAILOVER {SERVICE}", f"SENTINEL REMOVE {SERVICE}", "SENTINEL CONFIG GET *"):
            with pytest.raises(redis.exceptions.ResponseError, match=REFUSED):
                asked(watchers[0], *command.split())
        with connected(RedisConfig(first, tmp_path, ""), "operator", made.passwords["redis"]) as operator:
            operator.acl_log_reset()
            with contextlib.suppress(redis.exceptions.ConnectionError):
                operator.shutdown(nosave=True)

        def moved() -> bool:
            with contextlib.suppress(redis.exceptions.ConnectionError):
                _, port = asked(watchers[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
                return int(port) == second
            return False

        assert eventually_sync(moved, 20), (tmp_path / f"sentinel-{watchers[0]}.log").read_text()
        with connected(RedisConfig(second, tmp_path, ""), "operator", made.passwords["redis"]) as operator:
            assert operator.role()[0] == b"master"
            assert operator.acl_log() == []


async def test_who_says_nothing_is_let_go_of_and_processes_do_not_notice(made: Provisioned, tmp_path: Path) -> None:
    """Silent connections that never log in would fill the server for those that have work."""
    config = made.redis_config(free_port())
    assert f"\ntimeout {IDLE_S}\n" in config.text()
    config = replace(config, data_dir=tmp_path / "data", idle_s=1)
    child = redis_server(config, tmp_path / "redis.conf").start(tmp_path / "log")
    try:
        scripts = await connect_redis(
            f"redis://api:{made.passwords[redis_secret('api')]}@{config.host}:{config.port}/0"
        )
        await scripts.commands([("PING",)] * LANES)
        stranger, writer = await asyncio.open_connection(config.host, config.port)
        async with asyncio.timeout(10):
            assert await stranger.read() == b""
        writer.close()
        with connected(config, "operator", made.passwords["redis"]) as operator:
            eventually_sync(lambda: len(operator.client_list()) == 1)
        assert await scripts.commands([("PING",)] * LANES) == [b"PONG"] * LANES
        assert scripts.servings == 0, "it is the server that it was"
        await scripts.close()
    finally:
        stop(child)


def test_the_operators_password_is_exchanged_again_and_again_while_the_system_runs(tmp_path: Path) -> None:
    """How to log in is written down each time; a process that starts meanwhile does not bring the old one back."""
    made = provision(tmp_path / "data", SystemClock())
    home, port = made.home, free_port()
    child = redis_server(made.redis_config(port), home.redis_config_file).start(tmp_path / "log")
    home.nats_config_file.write_text(made.nats_config(1, 2).text())
    ready = Ready(None, home.state_file)
    ready.document = {"redis": made.redis_config(port).url}
    ready.write("control", {})
    try:
        with locked(home):
            for change in (partial(credentials.rotate, public=None), credentials.retire) * 2:
                change(home, "redis")
                apply(home, SystemClock())
                ready.update_pids({})
                with contextlib.closing(
                    redis.Redis.from_url(json.loads(home.state_file.read_text())["redis"])
                ) as client:
                    assert client.acl_whoami() == "operator"
        former = connected(made.redis_config(port), "operator", made.passwords["redis"])
        with former as old, pytest.raises(redis.AuthenticationError):
            old.ping()
    finally:
        stop(child)
