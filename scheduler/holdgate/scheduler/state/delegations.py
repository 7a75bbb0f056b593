"""Delegations of a tenant in Redis: who let whom vote in their roles, and whether it was revoked.

What always holds: what counts is the signed record; Redis says only whether it was revoked, and can make none. A
delegation that ended is shown for a while, and never counts again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.grants import Delegation, DelegationId
from holdgate.kernel.ids import ActorId, Tenant, person_of, uuid7
from holdgate.kernel.links import Signed
from holdgate.scheduler.errors import DelegationEnded, DelegationLimit, DelegationNotFound, StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import Arg, Scripts, key
from holdgate.scheduler.state.newest import newest


@dataclass(frozen=True, slots=True)
class StoredDelegation:
    """A delegation as Redis keeps it. What is in `signed` is not to be believed before it is verified."""

    delegation_id: DelegationId
    signed: Signed
    delegator: ActorId
    delegate: ActorId
    given_ms: int
    expires_ms: int
    revoked_ms: int | None = None
    revoked_by: ActorId | None = None


class Delegations:
    """The store of delegations."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def give(self, record: Delegation, signed: Signed, now_ms: int) -> None:
        """Keep a new one. DelegationLimit when its giver gave, or its receiver was given, as many as one may."""
        kept_until_ms = record.expires_ms + limits.ENDED_KEPT_S * 1000
        details = {
            "delegation_id": record.delegation_id,
            "delegator": record.delegator,
            "delegate": record.delegate,
            "roles": list(record.roles),
            "reason": record.reason,
            "expires_ms": record.expires_ms,
        }
        args: list[Arg] = [
            record.delegation_id,
            now_ms,
            record.delegator,
            record.delegate,
            record.expires_ms,
            encoding.pack_signed(signed),
            kept_until_ms,
            limits.DELEGATIONS_MAX,
            oldest_id("delegation_", now_ms, limits.DELEGATION_S_MAX),
            encoding.pack_details(details),
        ]
        if await self._scripts.run("delegation_give", record.tenant, args) != b"given":
            raise DelegationLimit

    async def revoke(self, tenant: Tenant, delegation_id: DelegationId, *, by: ActorId, now_ms: int) -> None:
        """End it now. DelegationNotFound, DelegationEnded."""
        details = encoding.pack_details({"delegation_id": delegation_id, "by": by})
        reply = await self._scripts.run("delegation_revoke", tenant, (delegation_id, now_ms, by, details))
        if reply == b"unknown":
            raise DelegationNotFound
        if reply != b"revoked":
            raise DelegationEnded

    async def require(self, tenant: Tenant, delegation_id: DelegationId) -> StoredDelegation:
        """The delegation; DelegationNotFound."""
        (found,) = await self._get_many(tenant, [delegation_id])
        if found is None:
            raise DelegationNotFound
        return found

    async def of(self, tenant: Tenant, person: ActorId) -> list[StoredDelegation]:
        """Those that `person` gave or was given and that were not over when Redis last looked."""
        names = (key(tenant, index, person_of(person)) for index in ("delegations_by", "delegations_to"))
        given, got = await self._scripts.commands([("ZRANGE", name, 0, 2 * limits.DELEGATIONS_MAX) for name in names])
        known = await self._known(tenant, [item.decode() for item in (*given, *got)])
        return sorted(known, key=lambda item: item.expires_ms, reverse=True)

    async def listed(
        self, tenant: Tenant, limit: int, cursor: str | None = None
    ) -> tuple[list[StoredDelegation], str | None]:
        """All of the tenant, newest first, and the next cursor."""
        ids, after = await newest(self._scripts, key(tenant, "delegations"), limit, cursor)
        return await self._known(tenant, ids), after

    async def _known(self, tenant: Tenant, ids: Sequence[str]) -> list[StoredDelegation]:
        found = await self._get_many(tenant, [DelegationId(item) for item in ids])
        return [item for item in found if item is not None]

    async def _get_many(self, tenant: Tenant, ids: Sequence[DelegationId]) -> list[StoredDelegation | None]:
        calls = [("HMGET", key(tenant, "delegation", item), *_FIELDS) for item in ids]
        replies = await self._scripts.commands(calls)
        return [None if fields[0] is None else _stored(item, fields) for item, fields in zip(ids, replies, strict=True)]


_FIELDS = ("signed", "delegator", "delegate", "given", "expires", "revoked", "revoked_by")


def oldest_id(prefix: str, now_ms: int, lifetime_s: int) -> str:
    """No record whose id is below this one, and that lives for `lifetime_s` at most, is shown any more."""
    since_ms = now_ms - (lifetime_s + limits.ENDED_KEPT_S) * 1000
    return prefix + uuid7(max(0, since_ms), bytes)


def _stored(delegation_id: DelegationId, fields: list[Any]) -> StoredDelegation:
    signed, delegator, delegate, given, expires, revoked, revoked_by = fields
    try:
        return StoredDelegation(
            delegation_id=delegation_id,
            signed=encoding.unpack_signed(signed),
            delegator=ActorId(delegator.decode()),
            delegate=ActorId(delegate.decode()),
            given_ms=int(given),
            expires_ms=int(expires),
            revoked_ms=int(revoked) if revoked else None,
            revoked_by=ActorId(revoked_by.decode()) if revoked_by else None,
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise StateBroken("a stored delegation cannot be read") from error
