"""Files for the Helm chart: a folder for each Secret that it names, a file for each key.

What always holds: each component's folder has what that component needs and nothing of another's; what servers share
among themselves is made once and kept, as everything in the directory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from holdgate.kernel.ids import Entropy
from holdgate.kernel.subjects import OPERATOR_USER
from holdgate.scheduler.up.access import DEMO_POOL, worker_user
from holdgate.scheduler.up.containers import MONITOR_PORT, NATS_PORT, REDIS_PORT
from holdgate.scheduler.up.credentials import secret_in
from holdgate.scheduler.up.home import FINGERPRINT, redis_secret
from holdgate.scheduler.up.provision import Provisioned, known_text
from holdgate.scheduler.up.redisusers import (
    REDIS_ACCESS,
    REPLICA,
    SENTINEL_PEERS,
    SENTINEL_READING,
    SENTINELS,
    SETUP,
    RedisUser,
    digest_of,
    users_text,
)
from holdgate.scheduler.up.servers import write_private

FOLDER = "kubernetes"
SERVICE = "holdgate"
"""What the sentinels call the primary."""
SIGNERS = ("kernel", "api", "dispatcher", "auditor")
LOGINS = {
    "kernel": "kernel",
    "api": "api",
    "dispatcher": "dispatcher",
    "output-gate": "output-gate",
    "worker": worker_user(DEMO_POOL),
    "operator": OPERATOR_USER,
}
"""Component, and its user at NATS."""
SENTINEL, SENTINEL_PEER, ROUTES = "sentinel", "sentinel-peer", "nats-routes"
"""Files of what is said to sentinels, and of what servers say to each other."""
PEER = "peer"
"""Who sentinels are to each other."""


def write_secret_files(provisioned: Provisioned, *, entropy: Entropy = os.urandom) -> Path:
    """`kubernetes/COMPONENT/KEY` for every key that the chart asks for; the folder, which is returned."""
    folder = provisioned.home.path / FOLDER
    for component, keys in _secrets(provisioned, entropy).items():
        place = folder / component
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for key, text in keys.items():
            write_private(place / key, text)
    folder.chmod(0o700)
    return folder


def commands(provisioned: Provisioned, folder: Path) -> str:
    """What makes the Secrets and ConfigMaps of these files, and says it again without harm."""
    home = provisioned.home
    made = [f"secret generic {SERVICE}-{place.name} --from-file={place}" for place in sorted(folder.iterdir())]
    made += [
        f"configmap {SERVICE}-root --from-file={home.root_file}",
        f"configmap {SERVICE}-starter --from-file={home.starter_file}",
    ]
    lines = [f"kubectl create {what} --dry-run=client -o yaml | kubectl apply -f -" for what in made]
    return "\n".join([*lines, f"# root.pins: {provisioned.root_pins}"])


def _secrets(provisioned: Provisioned, entropy: Entropy) -> dict[str, dict[str, str]]:
    home = provisioned.home
    names = (SENTINEL, SENTINEL_PEER, ROUTES)
    sentinel, peer, routes = (secret_in(home.password_file(name), entropy) for name in names)
    secrets: dict[str, dict[str, str]] = {name: {} for name in (*LOGINS, "auditor", "nats", "redis")}
    for name, user in LOGINS.items():
        secrets[name]["nats"] = home.nkey_file(user).read_text()
    for name in SIGNERS:
        secrets[name]["key"] = home.key_file(name).read_text()
    for name, user in {**dict(zip(REDIS_ACCESS, REDIS_ACCESS, strict=True)), "operator": SETUP}.items():
        secrets[name] |= {"redis": f"{provisioned.passwords[redis_secret(user)]}\n", "sentinel": f"{sentinel}\n"}
    known = home.known_secrets_file.read_text() + known_text((sentinel, peer, routes))
    secrets["api"] |= {"known": known, "api-keys.json": home.api_keys_file.read_text()}
    secrets["output-gate"] |= {"known": known, "fingerprint": home.password_file(FINGERPRINT).read_text()}
    secrets["worker"]["worker-keys.json"] = home.worker_keys_file.read_text()
    secrets["nats"] |= {
        "accounts.conf": provisioned.nats_config(NATS_PORT, MONITOR_PORT).accounts_text(),
        # No line end: it stands in the middle of an address.
        "routes": routes,
    }
    secrets["redis"] |= _redis(provisioned, sentinel, peer)
    return secrets


def _redis(provisioned: Provisioned, sentinel: str, peer: str) -> Mapping[str, str]:
    return {
        "redis.users": users_text(provisioned.redis_config(REDIS_PORT).users),
        "redis.conf": f"masteruser {REPLICA}\nmasterauth {provisioned.passwords[redis_secret(REPLICA)]}\n",
        "sentinel.conf": "".join(
            f"{line}\n" for line in sentinel_lines(provisioned.passwords[redis_secret(SENTINELS)], sentinel, peer)
        ),
        "sentinel": sentinel,
    }


def sentinel_lines(watching: str, asking: str, peer: str) -> tuple[str, ...]:
    """Who sentinels are to the servers, with the password `watching`; who may ask them; who they are to each other."""
    return (
        f"sentinel auth-user {SERVICE} {SENTINELS}",
        f"sentinel auth-pass {SERVICE} {watching}",
        RedisUser(PEER, (digest_of(peer),), SENTINEL_PEERS).line(),
        RedisUser("default", (digest_of(asking),), SENTINEL_READING).line(),
        f"sentinel sentinel-user {PEER}",
        f"sentinel sentinel-pass {peer}",
    )
