"""What is known of a person who is not asking now: the roles that the records of their API keys give them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from holdgate.kernel.ids import ActorId, Tenant
from holdgate.scheduler.identity.keys import Role
from holdgate.scheduler.state.approvals import CastVote, VoteNow

RolesNow: TypeAlias = Callable[[Tenant, ActorId], frozenset[str] | None]
"""The roles that a person's enabled keys hold now; None where no key was ever theirs (they sign in elsewhere)."""


def keyed_of(roles: tuple[str, ...], now: frozenset[str] | None) -> tuple[str, ...]:
    """Those of `roles` that the person's keys give."""
    return tuple(role for role in roles if now is not None and role in now)


def still_held(roles: tuple[str, ...], now: frozenset[str] | None, *, keyed: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `roles` that are not known to be lost since: `keyed` are those that keys gave.

    A role that a provider gave is kept, unless its holder had keys as well and has none by now.
    """
    if keyed and not now:
        return ()
    return tuple(role for role in roles if role not in keyed or (now is not None and role in now))


def votes_by(roles_now: RolesNow) -> VoteNow:
    """How votes on record count, by the keys that `roles_now` knows."""
    return lambda tenant, vote: vote_now(vote, roles_now(tenant, vote.approver))


def vote_now(vote: CastVote, now: frozenset[str] | None) -> CastVote:
    """The vote as it counts while `now` is what the approver's keys give: void once they may approve no more.

    It counts for the roles that they still hold; whose they are is another's in somebody's stead, and the root's where
    the vote is signed with a key of one's own.
    """
    held = still_held((*vote.roles, Role.APPROVER), now, keyed=vote.keyed)
    if Role.APPROVER not in held:
        return replace(vote, is_void=True)
    if vote.own_key or vote.on_behalf_of is not None:
        return vote
    return replace(vote, roles=tuple(role for role in vote.roles if role in held))
