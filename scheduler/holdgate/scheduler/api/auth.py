"""Who calls: an API key becomes a principal, or the request ends here.

What always holds: tenant, actor, roles and principals come from the key's record and from nowhere else; a header can
only agree with them. Keys are compared by digest, so that time tells nothing about them. A changed file of keys counts
within a second; one that does not load lets nobody in.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import ActorId, Tenant
from holdgate.scheduler.api.keys import KeyRecord, KeysInvalid, Role, read_keys
from holdgate.scheduler.api.problems import Problem

RELOAD_EVERY_MS = 1000
KEY_BYTES_MAX = 512


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
        self.failure: str | None = None

    def principal_of(self, key: bytes) -> Principal | None:
        """The holder of `key`; None when there is none. Problem `keys_unavailable` when the file does not load."""
        self._reload_if_changed()
        if self.failure is not None:
            raise Problem("keys_unavailable")
        digest = hashlib.sha256(key).digest()
        found = self._found.get(digest.hex())
        if found is None or not hmac.compare_digest(found[0], digest):
            return None
        return found[1]

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
            self._found = _by_digest(read_keys(self._path))
            self._stamp = stamp
            self.failure = None
        except (OSError, KeysInvalid) as error:
            self._found = {}
            self._stamp = None
            self.failure = str(error)


def authenticate(headers: Iterable[tuple[bytes, bytes]], keys: ApiKeys) -> Principal:
    """The caller of a request; Problem `unauthenticated` or `tenant_mismatch`.

    The key is in `X-API-Key` or in `Authorization: Bearer`; both at once must agree, so that a proxy and an
    application behind it cannot see two callers. `X-Tenant-ID` is optional and must be the key's tenant.
    """
    key: bytes | None = None
    tenant: bytes | None = None
    for name, value in headers:
        if name == b"x-api-key":
            key = _same(key, value.strip())
        elif name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer":
                key = _same(key, token.strip())
        elif name == b"x-tenant-id":
            if tenant is not None and tenant != value:
                raise Problem("tenant_mismatch", "`X-Tenant-ID` is given twice")
            tenant = value
    if not key or len(key) > KEY_BYTES_MAX:
        raise Problem("unauthenticated", "send an API key as `X-API-Key` or `Authorization: Bearer`")
    principal = keys.principal_of(key)
    if principal is None:
        raise Problem("unauthenticated", "the API key is not known, or it was revoked")
    if tenant is not None and tenant != principal.tenant.encode():
        raise Problem("tenant_mismatch", "`X-Tenant-ID` is not the tenant of the key")
    return principal


def _same(one: bytes | None, other: bytes) -> bytes:
    if one is not None and one != other:
        raise Problem("unauthenticated", "two different API keys are given")
    return other


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
