"""Users of NATS and Redis in a directory: made, exchanged, taken away."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.nkeys import Nkey
from holdgate.scheduler.errors import Misconfigured, NotFound
from holdgate.scheduler.up import credentials
from holdgate.scheduler.up.containers import write_container_files
from holdgate.scheduler.up.home import Home
from holdgate.scheduler.up.lock import locked
from holdgate.scheduler.up.provision import provision
from holdgate.scheduler.up.redisusers import digest_of
from holdgate.scheduler.up.reload import apply, existing, with_accounts


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return provision(tmp_path / "d", SystemClock()).home


def configuration(home: Home) -> str:
    return provision(home.path, SystemClock()).nats_config(1, 0).text()


def test_the_configuration_of_nats_holds_public_keys_and_no_seed(home: Home) -> None:
    text = configuration(home)
    for key in credentials.nkeys(home):
        assert f'nkey: "{key.public}"' in text
        assert key.seed not in text
    assert "password" not in text


def test_a_pool_gets_an_account_of_its_own_and_keeps_its_key(home: Home) -> None:
    credentials.add_pool(home, "gpu", None)
    key = credentials.nkey_of(home, "worker-gpu")
    text = configuration(home)
    assert '"WORKERS-gpu" {' in text
    assert text.count("limits: {max_connections: 1536, max_subscriptions: 65536}") == 2, "of each pool: they share"
    assert text.count("jetstream: enabled") == 1, "workers have no streams"
    assert key.public in text
    assert credentials.pools(home) == ("default", "gpu")
    assert stat.S_IMODE(home.nkey_file("worker-gpu").stat().st_mode) == 0o600
    assert digest_of(key.seed) in home.known_secrets_file.read_text()
    assert credentials.nkey_of(home, "worker-gpu") == key
    credentials.remove_pool(home, "gpu")
    assert "gpu" not in configuration(home)
    assert not home.nkey_file("worker-gpu").exists()


def test_a_key_that_its_holder_made_never_lies_in_the_directory(home: Home) -> None:
    theirs = Nkey.generate()
    credentials.add_pool(home, "gpu", theirs.public)
    assert theirs.public in configuration(home)
    assert not home.nkey_file("worker-gpu").exists()
    with pytest.raises(Misconfigured):
        credentials.nkey_of(home, "worker-gpu")


@pytest.mark.parametrize("pool", ["", "GPU", "a.b", "a*", ">", "-a", "a b", "x" * 64, "a\n"])
def test_a_name_that_would_be_another_subject_is_no_pool(home: Home, pool: str) -> None:
    with pytest.raises(InvalidInput):
        credentials.add_pool(home, pool, None)


def test_while_a_key_is_exchanged_both_hold_and_then_the_newer_alone(home: Home) -> None:
    old = credentials.nkey_of(home, "kernel")
    credentials.rotate(home, "kernel", None)
    new = credentials.nkey_of(home, "kernel")
    assert old.public in configuration(home)
    assert new.public in configuration(home)
    with pytest.raises(InvalidInput, match="retire"):
        credentials.rotate(home, "kernel", None)
    credentials.retire(home, "kernel")
    assert old.public not in configuration(home)
    assert credentials.accepted(home, "kernel") == (new.public,)


def test_a_seed_whose_newer_key_is_elsewhere_goes_when_it_is_retired(home: Home) -> None:
    credentials.rotate(home, "worker-default", Nkey.generate().public)
    assert home.nkey_file("worker-default").exists()
    credentials.retire(home, "worker-default")
    assert not home.nkey_file("worker-default").exists()


def test_a_password_of_redis_is_exchanged_in_the_same_way(home: Home) -> None:
    old = home.password_file("redis-api").read_text().strip()
    credentials.rotate(home, "redis-api", None)
    new = provision(home.path, SystemClock()).passwords["redis-api"]
    (user,) = [user for user in credentials.redis_users(home) if user.name == "api"]
    assert user.digests == (digest_of(new), digest_of(old))
    credentials.retire(home, "redis-api")
    (user,) = [user for user in credentials.redis_users(home) if user.name == "api"]
    assert user.digests == (digest_of(new),)
    with pytest.raises(InvalidInput):
        credentials.rotate(home, "redis-api", Nkey.generate().public)


@pytest.mark.parametrize("user", ["redis-api", "redis", "api"])
def test_what_scans_outputs_knows_a_credential_for_as_long_as_it_holds(home: Home, user: str) -> None:
    """The one before the newest is still a login."""
    file = home.password_file(user) if user.startswith("redis") else home.nkey_file(user)
    old = digest_of(file.read_text().strip())
    credentials.rotate(home, user, None)
    apply(home, SystemClock())
    new = digest_of(file.read_text().strip())
    assert {f"sha256:{old}", f"sha256:{new}"} <= set(home.known_secrets_file.read_text().split())
    credentials.retire(home, user)
    apply(home, SystemClock())
    known = home.known_secrets_file.read_text()
    assert old not in known
    assert new in known


def test_processes_of_a_system_that_was_killed_are_not_told_anything(home: Home) -> None:
    """Their ids may be those of others by now."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        state = {"pids": {"nats": [other.pid]}, "redis": "redis://127.0.0.1:1/0"}
        home.state_file.write_text(json.dumps(state))
        home.lock_file.touch()
        assert apply(home, SystemClock()) == []
        other.communicate(b"\n", timeout=10)
    assert other.returncode == 0
    home.state_file.write_text(json.dumps({**state, "pids": {}}))
    with locked(home), pytest.raises(redis.ConnectionError):
        apply(home, SystemClock())


def test_what_is_not_there_is_said(home: Home, tmp_path: Path) -> None:
    for wrong in (lambda: credentials.retire(home, "nobody"), lambda: credentials.remove_pool(home, "gpu")):
        with pytest.raises(NotFound, match="holdgate users list"):
            wrong()
    with pytest.raises(InvalidInput):
        credentials.remove_pool(home, "default")
    with pytest.raises(InvalidInput, match="check sum"):
        credentials.add_pool(home, "gpu", Nkey.generate().seed[:56])
    with pytest.raises(Misconfigured, match="no directory"):
        existing(tmp_path)


def test_what_an_operator_wrote_before_the_accounts_stays(home: Home, tmp_path: Path) -> None:
    """Such as TLS."""
    file = tmp_path / "nats.conf"
    made = provision(home.path, SystemClock())
    file.write_text("tls: {cert_file: mine}\n" + made.nats_config(1, 0).text())
    credentials.add_pool(home, "gpu", None)
    text = with_accounts(file, provision(home.path, SystemClock()).nats_config(1, 0))
    assert text.startswith("tls: {cert_file: mine}\n")
    assert text.count("accounts {") == 1
    assert "WORKERS-gpu" in text


def test_files_of_containers_follow_the_users(home: Home) -> None:
    """The accounts alone are the end of the whole configuration."""
    write_container_files(provision(home.path, SystemClock()))
    credentials.add_pool(home, "gpu", None)
    (left,) = apply(home, SystemClock())
    assert "HUP nats" in left
    whole, accounts = ((home.path / name).read_text() for name in ("nats.conf", "accounts.conf"))
    assert whole.endswith(accounts)
    assert "WORKERS-gpu" in accounts
    credentials.rotate(home, "redis-api", None)
    apply(home, SystemClock())
    line = next(line for line in (home.path / "redis.users").read_text().splitlines() if line.startswith("user api "))
    assert line.count(" #") == 2
