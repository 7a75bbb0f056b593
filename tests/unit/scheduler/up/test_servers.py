"""Configuration of the embedded servers, as text."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from holdgate.scheduler.errors import ServerUnusable
from holdgate.scheduler.up import servers
from holdgate.scheduler.up.accounts import NatsUser
from holdgate.scheduler.up.servers import NatsConfig, RedisConfig, write_private


def test_nats_listens_on_loopback_and_writes_before_it_confirms() -> None:
    """And carries the largest result."""
    config = NatsConfig(4222, Path("/d"), {"A": (NatsUser("u", "p"),)}, monitor_port=8222)
    text = config.text()
    assert 'listen: "127.0.0.1:4222"' in text
    assert 'http: "127.0.0.1:8222"' in text
    assert "sync_interval: always" in text
    assert "max_payload: 16777216" in text
    assert "sync_interval: 2m" in NatsConfig(1, Path("/d"), {}, strict=False).text()


def test_a_nats_user_without_limits_has_no_permissions_block_and_one_with_limits_has() -> None:
    """None means everything; an empty list means nothing."""
    assert "permissions" not in NatsConfig(1, Path("/d"), {"A": (NatsUser("u", "p"),)}).text()
    text = NatsConfig(1, Path("/d"), {"A": (NatsUser("u", "p", ("a.*",), ()),)}).text()
    assert 'publish: {allow: ["a.*"]}' in text
    assert "subscribe: {allow: []}" in text
    assert "allow_responses" not in text


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_nothing_can_be_smuggled_into_a_configuration(name: str) -> None:
    """A name that would end its quotes is refused."""
    with pytest.raises(ServerUnusable):
        NatsConfig(1, Path("/d"), {"A": (NatsUser(name, "p"),)}).text()


def test_redis_listens_on_loopback_with_a_password_and_keeps_everything() -> None:
    """No eviction: a job that was acknowledged is never dropped for room."""
    text = RedisConfig(6379, Path("/d"), "secret").text()
    for line in ("bind 127.0.0.1", "requirepass secret", "appendonly yes", "appendfsync always"):
        assert line in text.splitlines()
    assert "maxmemory-policy noeviction" in text
    assert "appendfsync everysec" in RedisConfig(1, Path("/d"), "x", strict=False).text()


def test_a_private_file_is_private_from_the_moment_it_exists(tmp_path: Path) -> None:
    """Also when it replaces one that was not."""
    file = tmp_path / "f"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, "new")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == "new"


@pytest.mark.parametrize(
    ("shown", "is_usable"),
    [
        ("nats-server: v2.15.1", True),
        ("nats-server: v2.12.0", True),
        ("nats-server: v2.11.9", False),
        ("nats-server: v3.0.0", True),
        ("what?", False),
    ],
)
def test_a_server_on_the_path_must_be_new_enough(tmp_path: Path, shown: str, is_usable: bool) -> None:
    """An old one would fail later, at the first atomic batch."""
    binary = tmp_path / "nats-server"
    binary.write_text(f"#!/bin/sh\necho '{shown}'\n")
    binary.chmod(0o755)
    if is_usable:
        servers._require_version(str(binary), r"v(\d+)\.(\d+)", servers.NATS_OLDEST)
    else:
        with pytest.raises(ServerUnusable, match=r"2\.12 or later"):
            servers._require_version(str(binary), r"v(\d+)\.(\d+)", servers.NATS_OLDEST)


def test_without_a_binary_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not a traceback of a missing file."""
    monkeypatch.setattr(servers.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(servers.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerUnusable, match=r"holdgate\[embedded\]"):
        servers.find_nats_server()
    with pytest.raises(ServerUnusable, match="apt-get install redis-server"):
        servers.find_redis_server()
