"""What is known of a person who is not asking now: the roles that the records of their API keys give them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from holdgate.kernel.ids import ActorId, Tenant

RolesNow: TypeAlias = Callable[[Tenant, ActorId], frozenset[str] | None]
"""The roles that a person's enabled keys hold now; None where no key was ever theirs (they sign in elsewhere)."""


def are_keyed(roles: tuple[str, ...], now: frozenset[str] | None) -> bool:
    """Whether the person's keys give all of `roles`: then these count as long as the keys do."""
    return now is not None and now.issuperset(roles)


def still_held(roles: tuple[str, ...], now: frozenset[str] | None, *, keyed: bool) -> tuple[str, ...]:
    """Those of `roles` that are not known to be lost since. Whoever got them by signing in elsewhere keeps them."""
    return tuple(role for role in roles if now is not None and role in now) if keyed else roles
