"""Delegation: somebody who may release jobs lets a named person vote for them, for a time.

What always holds: nobody delegates what they do not hold themselves, and nothing that was delegated to them; a vote for
somebody else takes a record that the api signed, for this tenant and these two people, that is not over and was not
revoked, and counts only for the roles that the giver still holds; breaking glass is nobody's to pass on.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from holdgate.kernel import limits
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Forged, InvalidInput
from holdgate.kernel.grants import Delegation, DelegationId, new_delegation_id
from holdgate.kernel.ids import ACTOR, ActorId, Tenant, is_same, people_of, person_of
from holdgate.kernel.permits import Signer, open_signed, seal
from holdgate.kernel.standing import BREAK_GLASS_ROLE
from holdgate.scheduler.errors import DelegationForbidden, DelegationNotFound
from holdgate.scheduler.gates.approval.checks import Approver, verify_reason
from holdgate.scheduler.gates.metrics import RECORDS_FORGED
from holdgate.scheduler.gates.people import RolesNow, keyed_of, still_held
from holdgate.scheduler.gates.trust import TrustInForce
from holdgate.scheduler.identity.keys import Role
from holdgate.scheduler.state.delegations import Delegations, StoredDelegation

log = structlog.get_logger("holdgate.gates.delegations")

NOT_DELEGATED = frozenset({*Role, BREAK_GLASS_ROLE}) - {Role.APPROVER}
"""What a role of the API allows is done in one's own name; two people break the glass, and a stand-in is neither."""


@dataclass(frozen=True, slots=True)
class DelegationForm:
    """What is to be delegated, to whom, until when and why."""

    delegate: ActorId
    roles: tuple[str, ...]
    expires_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class DelegationView:
    """A delegation as it is shown: the signed record, and what became of it."""

    record: Delegation
    revoked_ms: int | None
    revoked_by: ActorId | None


@dataclass(frozen=True, slots=True)
class Stead:
    """In whose stead a vote is cast: the roles that it counts for, and the delegations that give them."""

    person: ActorId
    roles: tuple[str, ...]
    delegation_ids: tuple[DelegationId, ...]


class DelegationGate:
    """Gives, revokes and verifies delegations. One per api process."""

    def __init__(
        self, *, delegations: Delegations, signer: Signer, trust: TrustInForce, roles_now: RolesNow, clock: Clock
    ) -> None:
        self._delegations = delegations
        self._signer = signer
        self._trust = trust
        self._roles_now = roles_now
        self._clock = clock

    async def give(self, approver: Approver, form: DelegationForm) -> DelegationView:
        """Let somebody vote for `approver`. DelegationForbidden, DelegationLimit, InvalidInput."""
        verify_reason(form.reason)
        now_ms = self._clock.now_ms()
        _verify_form(approver, form, now_ms)
        roles = tuple(sorted(set(form.roles)))
        record = Delegation(
            delegation_id=new_delegation_id(now_ms),
            tenant=approver.tenant,
            delegator=approver.actor,
            delegate=form.delegate,
            roles=roles,
            reason=form.reason,
            issued_ms=now_ms,
            expires_ms=form.expires_ms,
            keyed=keyed_of(roles, self._roles_now(approver.tenant, approver.actor)),
        )
        await self._delegations.give(record, seal(record, self._signer), now_ms)
        log.info("somebody delegated roles", action="delegation_given", delegation_id=record.delegation_id)
        return DelegationView(record, None, None)

    async def revoke(
        self, tenant: Tenant, delegation_id: DelegationId, *, by: ActorId, anyones: bool
    ) -> DelegationView:
        """End one now: that one gave or was given, or where `anyones` any of the tenant. DelegationNotFound,
        DelegationEnded."""
        stored = await self._delegations.require(tenant, delegation_id)
        if not anyones and person_of(by) not in people_of((stored.delegator, stored.delegate)):
            raise DelegationNotFound
        now_ms = self._clock.now_ms()
        await self._delegations.revoke(tenant, delegation_id, by=by, now_ms=now_ms)
        log.info("a delegation was revoked", action="delegation_revoked", delegation_id=delegation_id)
        view = self.view(tenant, await self._delegations.require(tenant, delegation_id))
        if view is None:
            raise DelegationNotFound  # it is revoked; a record that is not ours is not shown
        return view

    def view(self, tenant: Tenant, stored: StoredDelegation) -> DelegationView | None:
        """What a stored one says, once its signature held; None, and an alarm, where it does not."""
        record = self._opened(tenant, stored)
        return None if record is None else DelegationView(record, stored.revoked_ms, stored.revoked_by)

    async def require_stead(self, approver: Approver, person: ActorId) -> Stead:
        """In which roles of `person` this approver may vote now. DelegationForbidden when in none."""
        now_ms = self._clock.now_ms()
        now = self._roles_now(approver.tenant, person)
        roles: set[str] = set()
        used: list[DelegationId] = []
        name = person
        for stored in await self._delegations.of(approver.tenant, approver.actor):
            are_named = is_same(stored.delegator, person) and is_same(stored.delegate, approver.actor)
            if not are_named or stored.revoked_ms is not None:
                continue
            record = self._opened(approver.tenant, stored)
            if record is None or not record.issued_ms <= now_ms < record.expires_ms:
                continue
            if held := set(still_held(record.roles, now, keyed=record.keyed)) - NOT_DELEGATED:
                roles |= held
                used.append(record.delegation_id)
                name = record.delegator
        if not roles or is_same(person, approver.actor):
            raise DelegationForbidden(f"`{person}` has delegated nothing to you that holds now")
        return Stead(name, tuple(sorted(roles)), tuple(used))

    def _opened(self, tenant: Tenant, stored: StoredDelegation) -> Delegation | None:
        trust = self._trust()
        try:
            if trust is None:
                raise Forged("no root is in force", code="no_root")
            record = open_signed(stored.signed, Delegation, trust.api)
            bound = (record.delegation_id, record.tenant, record.delegator, record.delegate, record.expires_ms)
            if bound != (stored.delegation_id, tenant, stored.delegator, stored.delegate, stored.expires_ms):
                raise Forged("the record is of another delegation", code="other_delegation")
        except Forged as error:
            RECORDS_FORGED.labels("delegation").inc()
            log.critical("a delegation is not what the api signed", action="delegation_forged",
                         delegation_id=stored.delegation_id, tenant=tenant, code=error.code)  # fmt: skip
            return None
        return record


def _verify_form(approver: Approver, form: DelegationForm, now_ms: int) -> None:
    if ACTOR.match(form.delegate) is None:
        raise InvalidInput("`delegate` is not the name of a person")
    if is_same(form.delegate, approver.actor):
        raise DelegationForbidden("nobody delegates to themselves")
    if not form.roles:
        raise InvalidInput("`roles` names none")
    # The roles of the caller are those of their key or session: what was delegated to them is not among these.
    lacking = sorted(set(form.roles) - set(approver.roles))
    if lacking:
        raise DelegationForbidden(f"you do not hold `{lacking[0][:64]}` yourself")
    kept = sorted(set(form.roles) & NOT_DELEGATED)
    if kept:
        raise DelegationForbidden(f"`{kept[0]}` cannot be delegated")
    if not now_ms < form.expires_ms <= now_ms + limits.DELEGATION_S_MAX * 1000:
        raise InvalidInput(f"`until` must be within the next {limits.DELEGATION_S_MAX // 86400} days")
