"""Delegations over HTTP: an approver lets a named person vote for them."""

from __future__ import annotations

import re
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.grants import DelegationId
from holdgate.kernel.ids import ActorId
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.forms import members_of, reason_of, text_of, texts_of, time_of
from holdgate.scheduler.api.paging import page_of, page_reply
from holdgate.scheduler.api.routes.approvals import approver_of
from holdgate.scheduler.api.shapes import time_or_none
from holdgate.scheduler.errors import DelegationNotFound
from holdgate.scheduler.gates.delegations import DelegationForm, DelegationView
from holdgate.scheduler.identity.keys import Role

DELEGATION_ID = re.compile(r"delegation_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")


async def list_delegations(call: Call) -> Reply:
    """`GET /delegations`: operators and auditors see all; others those they gave or were given"""
    page = page_of(call.query, DELEGATION_ID)
    caller, store = call.principal, call.deps.delegations
    after: str | None = None
    if caller.has(Role.OPERATOR, Role.AUDITOR):
        found, after = await store.listed(caller.tenant, page.limit, page.after)
    else:
        found = await store.of(caller.tenant, caller.actor)
    views = [call.deps.delegation_gate.view(caller.tenant, item) for item in found]
    now_ms = call.deps.clock.now_ms()
    return reply_json(page_reply([delegation_row(view, now_ms) for view in views if view is not None], after))


async def give_delegation(call: Call) -> Reply:
    """`POST /delegations`"""
    body = members_of(call.json, required={"delegate", "roles", "until", "reason"})
    form = DelegationForm(
        delegate=ActorId(text_of(body, "delegate", 128)),
        roles=texts_of(body, "roles", limits.TAGS_MAX),
        expires_ms=time_of(body, "until", call.deps.clock.now_ms(), limits.DELEGATION_S_MAX),
        reason=reason_of(body),
    )
    view = await call.deps.delegation_gate.give(approver_of(call), form)
    return reply_json(delegation_row(view, call.deps.clock.now_ms()), 201)


async def revoke_delegation(call: Call) -> Reply:
    """`DELETE /delegations/{delegation_id}`: by who gave it, or an operator"""
    text = call.path["delegation_id"]
    if DELEGATION_ID.match(text) is None:
        raise DelegationNotFound
    caller = call.principal
    view = await call.deps.delegation_gate.revoke(
        caller.tenant, DelegationId(text), by=caller.actor, anyones=caller.has(Role.OPERATOR)
    )
    return reply_json(delegation_row(view, call.deps.clock.now_ms()))


def delegation_row(view: DelegationView, now_ms: int) -> dict[str, Any]:
    """A delegation as lists show it."""
    record = view.record
    status = "revoked" if view.revoked_ms is not None else "expired" if now_ms >= record.expires_ms else "active"
    return {
        "delegation_id": record.delegation_id,
        "status": status,
        "delegator": record.delegator,
        "delegate": record.delegate,
        "roles": list(record.roles),
        "reason": record.reason,
        "given_at": rfc3339(record.issued_ms),
        "expires_at": rfc3339(record.expires_ms),
        "revoked_at": time_or_none(view.revoked_ms),
        "revoked_by": view.revoked_by,
    }
