"""The file of API keys: who may call, as whom, in which tenant. Holds hashes, never keys.

What always holds: a key is 32 random bytes, shown once, kept as its SHA-256; the file is replaced in one step and
readable by its owner only; a file that does not load lets nobody in; no key is of the tenant of the system's own audit
trail. Redis plays no part, so whoever writes to Redis
cannot make an identity.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.canonical import canonical_bytes, parse_json
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ACTOR, NAME, SYSTEM, ActorId, Entropy, Tenant

KEY_PREFIX = "hgk_"
KEY_REST = rb"[A-Za-z0-9_-]{43}"
"""What follows the prefix: 32 bytes in base64url, as `issue_key` makes them."""
KEYS_FILE_BYTES_MAX = 4 * 1024 * 1024
KEYS_MAX = 10_000
ACTOR_TYPES = ("agent", "human", "service")


class Role(StrEnum):
    """What a key may do in the API. Keys also hold free names, which rules name as approvers."""

    AGENT = "agent"
    APPROVER = "approver"
    AUTHOR = "author"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key: `sha256` is the hex digest of the whole key text."""

    sha256: str
    key_id: str
    tenant: Tenant
    actor: ActorId
    actor_type: str
    roles: tuple[str, ...]
    principals: tuple[str, ...] = ()
    disabled: bool = False


class KeysInvalid(InvalidInput):
    """the file of API keys does not load"""

    code = "keys_unavailable"


def key_sha256(key: str | bytes) -> str:
    """How a key is kept and found."""
    return hashlib.sha256(key if isinstance(key, bytes) else key.encode()).hexdigest()


def read_keys(path: Path) -> tuple[KeyRecord, ...]:
    """The records of the file; KeysInvalid when it is missing, too large or not of this shape."""
    try:
        with path.open("rb") as file:
            data = file.read(KEYS_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise KeysInvalid(f"the file of API keys cannot be read: {error.strerror}") from error
    if len(data) > KEYS_FILE_BYTES_MAX:
        raise KeysInvalid("the file of API keys is too large")
    try:
        document = parse_json(data)
    except InvalidInput as error:
        raise KeysInvalid(f"the file of API keys: {error}") from error
    if not isinstance(document, dict) or set(document) != {"version", "keys"} or document["version"] != 1:
        raise KeysInvalid("the file of API keys has another shape than `{version: 1, keys: [...]}`")
    items = document["keys"]
    if not isinstance(items, list) or len(items) > KEYS_MAX:
        raise KeysInvalid(f"`keys` must be a list of at most {KEYS_MAX}")
    records = tuple(_record(index, item) for index, item in enumerate(items))
    if len({record.sha256 for record in records}) != len(records):
        raise KeysInvalid("two records have the same `sha256`")
    return records


def write_keys(path: Path, records: Iterable[KeyRecord]) -> None:
    """Replace the file in one step, readable by its owner only."""
    shown = [
        {**asdict(record), "roles": list(record.roles), "principals": list(record.principals)} for record in records
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(canonical_bytes({"version": 1, "keys": shown}))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def issue_key(
    path: Path,
    *,
    tenant: str,
    actor: str,
    roles: Iterable[str],
    actor_type: str = "agent",
    principals: Iterable[str] = (),
    entropy: Entropy = os.urandom,
) -> tuple[str, KeyRecord]:
    """A new key in the file (made when missing): the key's text, to be shown once, and its record.

    `roles` are those of `Role` and free names of approver roles. InvalidInput when a name has the wrong shape.
    """
    key = KEY_PREFIX + base64.urlsafe_b64encode(entropy(32)).rstrip(b"=").decode()
    record = _record(
        0,
        {
            "sha256": key_sha256(key),
            "key_id": "key_" + entropy(8).hex(),
            "tenant": tenant,
            "actor": actor,
            "actor_type": actor_type,
            "roles": sorted(set(roles)),
            "principals": list(principals),
            "disabled": False,
        },
    )
    existing = read_keys(path) if path.exists() else ()
    write_keys(path, (*existing, record))
    return key, record


def revoke_key(path: Path, key_id: str) -> KeyRecord:
    """Disable the key named `key_id`; it stays in the file so that the record of who it was is kept."""
    records = read_keys(path)
    for index, record in enumerate(records):
        if record.key_id == key_id:
            revoked = replace(record, disabled=True)
            write_keys(path, (*records[:index], revoked, *records[index + 1 :]))
            return revoked
    raise InvalidInput(f"no key `{key_id[:64]}`")


def _record(index: int, item: Any) -> KeyRecord:
    def fail(field: str, why: str) -> KeysInvalid:
        return KeysInvalid(f"keys.{index}.{field}: {why}")

    if not isinstance(item, Mapping) or set(item) - set(_CHECKS) or set(_REQUIRED) - set(item):
        raise fail("*", f"must have {', '.join(_REQUIRED)} and nothing unknown")
    for name, value in item.items():
        if not _CHECKS[name](value):
            raise fail(name, "not of the expected shape")
    return KeyRecord(
        **{**item, "roles": tuple(item["roles"]), "principals": tuple(item.get("principals", ()))},
    )


def _names(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= limits.TAGS_MAX and all(_name(item) for item in value)


def _name(value: Any) -> bool:
    return isinstance(value, str) and NAME.match(value) is not None


def _actor(value: Any) -> bool:
    return isinstance(value, str) and ACTOR.match(value) is not None


_REQUIRED = ("sha256", "key_id", "tenant", "actor", "actor_type", "roles")
_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "sha256": lambda value: isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"),
    "key_id": _name,
    "tenant": lambda value: _name(value) and value != SYSTEM,
    "actor": _actor,
    "actor_type": lambda value: value in ACTOR_TYPES,
    "roles": _names,
    "principals": lambda value: (
        isinstance(value, list) and len(value) <= limits.PRINCIPALS_MAX and all(_actor(item) for item in value)
    ),
    "disabled": lambda value: isinstance(value, bool),
}
