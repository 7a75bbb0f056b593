"""Files for a system whose servers and processes are containers: what `compose.yaml` mounts.

The same directory as `holdgate up` makes, and beside it the configuration of NATS and Redis as they run in containers.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from holdgate.scheduler.up.provision import Provisioned
from holdgate.scheduler.up.redisusers import users_text
from holdgate.scheduler.up.reload import ACCOUNTS_FILE, with_accounts
from holdgate.scheduler.up.servers import rewrite_private, write_private

DATA = Path("/data")
"""Where the images of NATS and Redis keep theirs."""
ANY_HOST = "0.0.0.0"  # noqa: S104  inside a container; compose.yaml publishes none of these ports
NATS_PORT = 4222
MONITOR_PORT = 8222
REDIS_PORT = 6379
REDIS_USERS = Path("/run/secrets/redis-users")
"""Where compose.yaml mounts `redis.users`."""


def write_container_files(provisioned: Provisioned) -> Path:
    """The configuration of both servers, with their users, and the file for `docker compose --env-file`; returns that.

    What an operator wrote into `nats.conf` before its accounts, such as TLS, stays.
    """
    home = provisioned.home
    nats = replace(provisioned.nats_config(NATS_PORT, MONITOR_PORT), host=ANY_HOST, data_dir=DATA)
    users = provisioned.redis_config(REDIS_PORT)
    redis = replace(users, host=ANY_HOST, data_dir=DATA, users_file=REDIS_USERS)
    for name, text in {
        "nats.conf": with_accounts(home.path / "nats.conf", nats),
        ACCOUNTS_FILE: nats.accounts_text(),
        "redis.conf": redis.text(),
        "redis.users": users_text(redis.users),
    }.items():
        rewrite_private(home.path / name, text)
    environment = home.path / "compose.env"
    lines = {
        "HOLDGATE_DIR": str(home.path),
        "HOLDGATE_PINS": provisioned.root_pins,
        "HOLDGATE_UID": str(os.getuid()),
        "HOLDGATE_GID": str(os.getgid()),
    }
    write_private(environment, "".join(f"{name}={value}\n" for name, value in lines.items()))
    return environment
