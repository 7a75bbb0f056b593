"""Changed users take effect: files of containers are written anew, the servers of a running `holdgate up` are told.

What always holds: connections of users that did not change go on; one that was taken away is cut off by the server.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

from holdgate.kernel.clock import Clock
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.up.home import Home
from holdgate.scheduler.up.lock import is_running
from holdgate.scheduler.up.provision import Provisioned, provision
from holdgate.scheduler.up.ready import replace
from holdgate.scheduler.up.redisusers import users_text
from holdgate.scheduler.up.servers import ACCOUNTS, NatsConfig, rewrite_private

NATS_FILE, ACCOUNTS_FILE, REDIS_USERS_FILE = "nats.conf", "accounts.conf", "redis.users"
"""Of containers: see `containers`. The accounts alone are for a `nats.conf` of one's own that includes them."""
TIMEOUT_S = 5.0


def existing(directory: Path) -> Home:
    """The directory of a system; Misconfigured when it is none."""
    home = Home(directory.absolute())
    if not home.root_file.exists():
        raise Misconfigured(f"`{directory}` is no directory of `holdgate up` or `holdgate provision`")
    return home


def apply(home: Home, clock: Clock) -> list[str]:
    """What is left to do for an operator, in words."""
    made = provision(home.path, clock)
    left = []
    if (home.path / NATS_FILE).exists():
        _rewrite(made, home.path / NATS_FILE, home.path / REDIS_USERS_FILE)
        rewrite_private(home.path / ACCOUNTS_FILE, made.nats_config(0, 0).accounts_text())
        left.append("containers: `docker compose kill -s HUP nats`, and restart `redis`")
    if is_running(home) and home.state_file.exists():
        _rewrite(made, home.nats_config_file, home.redis_config_file.with_suffix(".users"))
        _tell(made)
    return left


def with_accounts(file: Path, config: NatsConfig) -> str:
    """The text in `file` with the accounts of `config`; all of it from `config` where there is no file yet."""
    if not file.exists():
        return config.text()
    head, found, _ = file.read_text().partition(ACCOUNTS)
    if not found:
        raise Misconfigured(f"`{file}` has no accounts; move it away, and it is made anew")
    return head + config.accounts_text()


def _rewrite(made: Provisioned, nats_file: Path, redis_file: Path) -> None:
    rewrite_private(nats_file, with_accounts(nats_file, made.nats_config(0, 0)))
    rewrite_private(redis_file, users_text(made.redis_config(0).users))


def _tell(made: Provisioned) -> None:
    """The servers of the running `holdgate up` read their users again; how to log in from now on is in its state."""
    state = json.loads(made.home.state_file.read_text())
    for pid in state["pids"].get("nats", ()):
        os.kill(int(pid), signal.SIGHUP)
    newest = made.redis_config(int(state["redis"].rpartition(":")[2].partition("/")[0])).url
    _load_users(state["redis"], newest)
    replace(made.home.state_file, {**state, "redis": newest})


def _load_users(*urls: str) -> None:
    """As whom the server lets in: it may know the newest password already, or not yet."""
    import redis

    for at, url in enumerate(dict.fromkeys(urls), start=1):
        with contextlib.closing(redis.Redis.from_url(url, socket_timeout=TIMEOUT_S)) as client:
            try:
                client.acl_load()
            except redis.AuthenticationError:
                if at == len(set(urls)):
                    raise
            else:
                return
