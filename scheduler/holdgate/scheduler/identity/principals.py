"""Who calls, as a record of the system says: an API key becomes a principal, or nobody.

What always holds: tenant, actor, roles and principals come from the key's record and from nowhere else. Keys are
compared by digest, so that time tells nothing about them. A changed file of keys counts within a second; one that does
not load lets nobody in.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import ActorId, Tenant, person_of
from holdgate.scheduler.identity.keys import KeyRecord, KeysInvalid, Role, read_keys

RELOAD_EVERY_MS = 1000


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller, as its key says. `roles` holds API roles and free names of approver roles."""

    key_id: str
    tenant: Tenant
    actor: ActorId
    actor_type: str
    roles: frozenset[str]
    principals: tuple[str, ...]

    def has(self, *roles: Role) -> bool:
        """Whether the caller holds one of `roles`; an admin holds those of the API, but never approver names."""
        return Role.ADMIN in self.roles or not self.roles.isdisjoint(roles)


class ApiKeys:
    """The keys of a file, read again when it changes."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._checked_ms: int | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._found: dict[str, tuple[bytes, Principal]] = {}
        self._by_id: dict[str, Principal | None] = {}
        self._roles: dict[tuple[Tenant, str], frozenset[str]] = {}
        self.failure: str | None = None

    def principal_of(self, key: bytes) -> Principal | None:
        """The holder of `key`; None when there is none. KeysInvalid when the file does not load."""
        self._reload_if_changed()
        if self.failure is not None:
            raise KeysInvalid("the file of API keys does not load")
        digest = hashlib.sha256(key).digest()
        found = self._found.get(digest.hex())
        if found is None or not hmac.compare_digest(found[0], digest):
            return None
        return found[1]

    def is_live(self, sha256: str) -> bool:
        """Whether a key of this digest (hex) lets somebody in. KeysInvalid when the file does not load."""
        self._reload_if_changed()
        if self.failure is not None:
            raise KeysInvalid("the file of API keys does not load")
        found = self._found.get(sha256)
        return found is not None and hmac.compare_digest(found[0], bytes.fromhex(sha256))

    def principal_by_id(self, key_id: str) -> Principal | None:
        """The holder of the key that is named `key_id`; None when it was revoked or when two keys have that name.

        For somebody who has shown the key before. KeysInvalid when the file does not load.
        """
        self._reload_if_changed()
        if self.failure is not None:
            raise KeysInvalid("the file of API keys does not load")
        return self._by_id.get(key_id)

    def roles_of(self, tenant: Tenant, actor: ActorId) -> frozenset[str] | None:
        """The roles that the enabled keys of a person hold together; None where the file has no key of theirs.

        KeysInvalid when the file does not load.
        """
        self._reload_if_changed()
        if self.failure is not None:
            raise KeysInvalid("the file of API keys does not load")
        return self._roles.get((tenant, person_of(actor)))

    def _reload_if_changed(self) -> None:
        now_ms = self._clock.now_ms()
        if self._checked_ms is not None and 0 <= now_ms - self._checked_ms < RELOAD_EVERY_MS:
            return
        self._checked_ms = now_ms
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp and self.failure is None:
                return
            records = read_keys(self._path)
            self._found = _by_digest(records)
            self._roles = _by_person(records)
            self._by_id = _by_id(principal for _, principal in self._found.values())
            self._stamp = stamp
            self.failure = None
        except (OSError, KeysInvalid) as error:
            self._found = {}
            self._by_id = {}
            self._roles = {}
            self._stamp = None
            self.failure = str(error)


def _by_digest(records: Iterable[KeyRecord]) -> dict[str, tuple[bytes, Principal]]:
    return {
        record.sha256: (
            bytes.fromhex(record.sha256),
            Principal(
                key_id=record.key_id,
                tenant=record.tenant,
                actor=record.actor,
                actor_type=record.actor_type,
                roles=frozenset(record.roles),
                principals=record.principals,
            ),
        )
        for record in records
        if not record.disabled
    }


def _by_id(principals: Iterable[Principal]) -> dict[str, Principal | None]:
    found: dict[str, Principal | None] = {}
    for principal in principals:
        found[principal.key_id] = None if principal.key_id in found else principal
    return found


def _by_person(records: Iterable[KeyRecord]) -> dict[tuple[Tenant, str], frozenset[str]]:
    """Whose keys are all disabled holds nothing, which is not the same as having none."""
    found: dict[tuple[Tenant, str], frozenset[str]] = {}
    for record in records:
        person = (record.tenant, person_of(record.actor))
        found[person] = found.get(person, frozenset()) | frozenset(() if record.disabled else record.roles)
    return found
