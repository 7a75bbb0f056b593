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
from holdgate.scheduler.up.home import FINGERPRINT, REDIS, redis_secret
from holdgate.scheduler.up.provision import Provisioned
from holdgate.scheduler.up.redisusers import REDIS_ACCESS, users_text
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
SENTINEL, ROUTES = "redis-sentinel", "nats-routes"
"""Files of what servers say to each other."""


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
    sentinel, routes = (secret_in(home.password_file(name), entropy) for name in (SENTINEL, ROUTES))
    secrets: dict[str, dict[str, str]] = {name: {} for name in (*LOGINS, "auditor", "nats", "redis")}
    for name, user in LOGINS.items():
        secrets[name]["nats"] = home.nkey_file(user).read_text()
    for name in SIGNERS:
        secrets[name]["key"] = home.key_file(name).read_text()
    for name in REDIS_ACCESS:
        secrets[name] |= {"redis": f"{provisioned.passwords[redis_secret(name)]}\n", "sentinel": f"{sentinel}\n"}
    known = f"{home.known_secrets_file.read_text()}{sentinel}\n{routes}\n"
    secrets["api"] |= {"known": known, "api-keys.json": home.api_keys_file.read_text()}
    secrets["output-gate"] |= {"known": known, "fingerprint": home.password_file(FINGERPRINT).read_text()}
    secrets["worker"]["worker-keys.json"] = home.worker_keys_file.read_text()
    secrets["nats"] |= {
        "accounts.conf": provisioned.nats_config(NATS_PORT, MONITOR_PORT).accounts_text(),
        # No line end: it stands in the middle of an address.
        "routes": routes,
    }
    secrets["redis"] |= _redis(provisioned, sentinel)
    return secrets


def _redis(provisioned: Provisioned, sentinel: str) -> Mapping[str, str]:
    password = provisioned.passwords[REDIS]
    return {
        "redis.users": users_text(provisioned.redis_config(REDIS_PORT).users),
        "redis.conf": f"masteruser {OPERATOR_USER}\nmasterauth {password}\n",
        "sentinel.conf": f"sentinel auth-user {SERVICE} {OPERATOR_USER}\nsentinel auth-pass {SERVICE} {password}\n"
        f"requirepass {sentinel}\nsentinel sentinel-pass {sentinel}\n",
        "sentinel": sentinel,
    }
