"""Makes the directory of a `holdgate up`: keys, passwords, the signed root, API keys, the starter bundle.

What always holds: what exists is never made anew, so that a second start finds the same keys; folders have mode 0700
and private files 0600 from the moment they exist. All keys lie together here because one person owns the whole system;
in production each lies with its process, and the root and author keys with people.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import structlog

from holdgate.bundles import format as bundle_format
from holdgate.bundles.chain import parse_chain, sign_root
from holdgate.bundles.keys import generate, generate_quarantine, load_quarantine, load_signer
from holdgate.bundles.root import AuthorKey, Pins, Root, RootKeys
from holdgate.kernel.clock import Clock, rfc3339
from holdgate.kernel.ids import Entropy
from holdgate.kernel.login import Login
from holdgate.kernel.permits import Signer
from holdgate.kernel.standing import BREAK_GLASS_ROLE, ESCALATION_ROLE
from holdgate.scheduler.identity.keys import issue_key, key_sha256, read_keys
from holdgate.scheduler.up.access import ACCESS, DEMO_POOL, OPERATOR, accounts, worker_user
from holdgate.scheduler.up.credentials import (
    ensure_nkey,
    ensure_password,
    known_digests,
    nats_users,
    nkey_of,
    redis_users,
    secret_in,
)
from holdgate.scheduler.up.home import FINGERPRINT, REDIS, Home, redis_secret
from holdgate.scheduler.up.redisusers import USERS_ACCESS, digest_of
from holdgate.scheduler.up.servers import NatsConfig, RedisConfig, write_private

log = structlog.get_logger("holdgate.up")

TENANT = "default"
SIGNING_KEYS = ("root", "author", "api", "kernel", "dispatcher", "auditor")
ROOT_LIFETIME_S = 365 * 24 * 3600
ROOT_RENEW_BEFORE_S = 30 * 24 * 3600
STARTER_APPROVER_ROLES = ("data-steward", "escalation", "release-manager", "security", "support-lead")
"""Names that rules of the starter bundles ask for, or escalate to. One person owns this system, and is all of them."""

APPROVER_ROLES = ("approver", *STARTER_APPROVER_ROLES, ESCALATION_ROLE, BREAK_GLASS_ROLE)


@dataclass(frozen=True, slots=True)
class Caller:
    """One API key of the directory."""

    actor: str
    actor_type: str
    roles: tuple[str, ...]


CALLERS: Mapping[str, Caller] = {
    "agent": Caller("agent", "agent", ("agent",)),
    "agent2": Caller("agent2", "agent", ("agent",)),
    "approver": Caller("approver", "human", APPROVER_ROLES),
    "approver2": Caller("approver2", "human", APPROVER_ROLES),
    "author": Caller("author", "human", ("author",)),
    "operator": Caller("operator", "human", ("operator",)),
    "auditor": Caller("auditor", "human", ("auditor",)),
    "admin": Caller("admin", "human", ("admin",)),
}


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A directory that a system can be started in."""

    home: Home
    keys: Mapping[str, str]
    """API keys by name."""
    root_pins: str
    passwords: Mapping[str, str]
    """Of users of Redis, `redis` for an operator's, `redis-…` for that of a process."""
    starter: bytes
    """The starter bundle, built and signed."""

    def login(self, user: str) -> Login:
        """`user` at NATS, whose seed lies here."""
        return Login(user, nkey=nkey_of(self.home, user))

    def nats_config(self, port: int, monitor_port: int) -> NatsConfig:
        """Configuration of NATS, with the users that the directory has now."""
        shared = accounts(nats_users(self.home))
        return NatsConfig(port, self.home.path / "nats", shared, monitor_port=monitor_port)

    def redis_config(self, port: int) -> RedisConfig:
        """Configuration of Redis, with the users that the directory has now."""
        return RedisConfig(port, self.home.path / "redis", self.passwords[REDIS], users=redis_users(self.home))


def provision(path: Path, clock: Clock, *, entropy: Entropy = os.urandom) -> Provisioned:
    """Make what is missing below `path`. KeyUnsafe when somebody else may read a key."""
    home = Home(path.absolute())
    for folder in home.folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.path.chmod(0o700)
    signers = {name: _signer(home.key_file(name), name, entropy) for name in SIGNING_KEYS}
    quarantine = _quarantine(home, entropy)
    for user in (*ACCESS, worker_user(DEMO_POOL), OPERATOR):
        ensure_nkey(home, user, entropy)
    passwords = {name: ensure_password(home, name, entropy) for name in (REDIS, *map(redis_secret, USERS_ACCESS))}
    fingerprint = secret_in(home.password_file(FINGERPRINT), entropy)
    _root(home, signers, quarantine, clock)
    _worker_keys(home, signers)
    keys = _api_keys(home, entropy)
    known = "".join(f"sha256:{digest}\n" for digest in known_digests(home))
    write_private(home.known_secrets_file, known + known_text((fingerprint, *keys.values())))
    pins = Pins(frozenset({signers["root"].name}), 1)
    return Provisioned(home, keys, str(pins), passwords, _starter(home, signers["author"]))


def known_text(secrets: Iterable[str]) -> str:
    """The file that whoever scans finds them by, and cannot use: a digest a line."""
    return "".join(f"sha256:{digest_of(secret)}\n" for secret in secrets)


def _signer(file: Path, kind: str, entropy: Entropy) -> Signer:
    return load_signer(file) if file.exists() else generate(file, kind, entropy=entropy)


def _quarantine(home: Home, entropy: Entropy) -> bytes | None:
    """Its public half; None where the root names one whose private half was taken elsewhere."""
    file = home.key_file("quarantine")
    if file.exists():
        return bytes(load_quarantine(file).public_key)
    return None if home.root_file.exists() else generate_quarantine(file, entropy=entropy)


def _root(home: Home, signers: Mapping[str, Signer], quarantine: bytes | None, clock: Clock) -> None:
    """The first root, or the next version of one that ends soon; an owner's changes to it are kept."""
    now_ms = clock.now_ms()
    expires = rfc3339(now_ms + ROOT_LIFETIME_S * 1000)
    signer = signers["root"]
    if not home.root_file.exists():
        root = _first_root(signers, quarantine, expires)
        write_private(home.root_file, sign_root(root, [signer]).decode())
        return
    present = parse_chain(home.root_file.read_bytes())
    if present.root.expires_ms - now_ms > ROOT_RENEW_BEFORE_S * 1000:
        return
    if present.root.root != RootKeys(keys=[signer.public_key.hex()], threshold=1):
        log.warning("the root ends soon and is not ours to renew", action="root.renew", expires=present.root.expires)
        return
    renewed = present.root.model_copy(update={"version": present.root.version + 1, "expires": expires})
    write_private(home.root_file, sign_root(renewed, [signer], after=present).decode())


def _first_root(signers: Mapping[str, Signer], quarantine: bytes | None, expires: str) -> Root:
    return Root(
        version=1,
        expires=expires,
        root=RootKeys(keys=[signers["root"].public_key.hex()], threshold=1),
        authors=[AuthorKey(name="author", public_key=signers["author"].public_key.hex())],
        api_keys=[signers["api"].public_key.hex()],
        kernel_keys=[signers["kernel"].public_key.hex()],
        dispatcher_keys=[signers["dispatcher"].public_key.hex()],
        auditor_keys=[signers["auditor"].public_key.hex()],
        quarantine_key=None if quarantine is None else quarantine.hex(),
    )


def _worker_keys(home: Home, signers: Mapping[str, Signer]) -> None:
    root = parse_chain(home.root_file.read_bytes()).root
    pinned = {
        "kernel_keys": [signers["kernel"].public_key.hex()],
        "dispatcher_keys": [signers["dispatcher"].public_key.hex()],
        "approver_keys": [{"actor": approver.actor, "public_key": approver.public_key} for approver in root.approvers],
    }
    write_private(home.worker_keys_file, _shown(pinned))


def _api_keys(home: Home, entropy: Entropy) -> dict[str, str]:
    """The keys of CALLERS; one whose record is gone from the file of hashes is issued anew."""
    plain: dict[str, str] = json.loads(home.plain_keys_file.read_text()) if home.plain_keys_file.exists() else {}
    known = {record.sha256 for record in read_keys(home.api_keys_file)} if home.api_keys_file.exists() else set()
    missing = [name for name in CALLERS if name not in plain or key_sha256(plain[name]) not in known]
    for name in missing:
        caller = CALLERS[name]
        plain[name], _ = issue_key(
            home.api_keys_file,
            tenant=TENANT,
            actor=caller.actor,
            actor_type=caller.actor_type,
            roles=caller.roles,
            entropy=entropy,
        )
    if missing:
        write_private(home.plain_keys_file, _shown(plain))
    return plain


def _starter(home: Home, author: Signer) -> bytes:
    """Built anew at each start, because a new release may carry new rules; signed by this directory's author."""
    with resources.as_file(resources.files("holdgate.bundles") / "starter" / "demo") as directory:
        signed = bundle_format.sign_bundle(bundle_format.build_bundle(directory), author)
    home.starter_file.write_bytes(signed)
    return signed


def _shown(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"  # noqa: TID251  a file for people; nothing of it is hashed or signed
