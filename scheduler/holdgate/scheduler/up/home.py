"""The directory of a `holdgate up`: where everything lies. No IO.

DIR/                 0700
  root.json          the signed trust root
  worker-keys.json   public keys that workers pin
  api-keys.json      who may call the API: hashes only
  keys.json          the keys themselves, for the owner of the directory
  webhooks.json      where notices go, if the operator wrote one
  keys/              Ed25519 and X25519 private keys, 0600
  secrets/           seeds of NATS users and passwords, one file each, 0600; in `.pub` what servers know of them
  bundles/           the starter bundle, built and signed
  nats/ redis/ kernel/ audit/    data that must survive
  run/               configuration of the servers, metrics; made again at each start
  logs/              one file a process
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

REDIS = "redis"
"""The operator's password of Redis. Those of processes: see `redis_secret`."""
FINGERPRINT = "fingerprint"
"""Names of files in `secrets/` that are no user's of NATS."""


def redis_secret(process: str) -> str:
    """Name of the file of a process's password of Redis."""
    return f"{REDIS}-{process}"


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below `path`."""

    path: Path

    @property
    def root_file(self) -> Path:
        return self.path / "root.json"

    @property
    def worker_keys_file(self) -> Path:
        return self.path / "worker-keys.json"

    @property
    def api_keys_file(self) -> Path:
        return self.path / "api-keys.json"

    @property
    def plain_keys_file(self) -> Path:
        return self.path / "keys.json"

    @property
    def webhooks_file(self) -> Path:
        """The operator's, where there is one: `docs/how-to/notify.md`."""
        return self.path / "webhooks.json"

    @property
    def known_secrets_file(self) -> Path:
        return self.path / "secrets" / "known"

    @property
    def starter_file(self) -> Path:
        return self.path / "bundles" / "starter.bundle"

    @property
    def state_file(self) -> Path:
        """What a running system is: the same as its ready file, and the process id of its supervisor."""
        return self.path / "run" / "up.json"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    @property
    def metrics_dir(self) -> Path:
        return self.path / "run" / "metrics"

    @property
    def nats_config_file(self) -> Path:
        return self.path / "run" / "nats.conf"

    @property
    def redis_config_file(self) -> Path:
        return self.path / "run" / "redis.conf"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder, outermost first."""
        names = ("keys", "secrets", "bundles", "nats", "redis", "kernel", "audit", "run", "run/metrics", "logs")
        return (self.path, *(self.path / name for name in names))

    def key_file(self, name: str) -> Path:
        """A private key."""
        return self.path / "keys" / f"{name}.key"

    def password_file(self, name: str) -> Path:
        """A password."""
        return self.path / "secrets" / name

    def nkey_file(self, user: str) -> Path:
        """The seed of a user of NATS. Where its holder took it elsewhere there is none."""
        return self.path / "secrets" / f"{user}.nkey"

    def public_file(self, user: str) -> Path:
        """What servers take from a user, newest first: public keys for NATS, digests of passwords for Redis."""
        return self.path / "secrets" / f"{user}.pub"

    def former_file(self, user: str) -> Path:
        """The digest of the seed before the newest, for as long as both hold: what scans outputs knows it, too."""
        return self.path / "secrets" / f"{user}.former"

    def log_file(self, name: str) -> Path:
        """What a process wrote to its standard error."""
        return self.path / "logs" / f"{name}.log"
