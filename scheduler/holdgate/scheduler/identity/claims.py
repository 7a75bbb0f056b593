"""Who an OpenID provider says somebody is, in our words.

What always holds: a claim that does not parse as one of our names is dropped, and told in the log by its count, never
guessed at; a person has one name however they sign in, so that nobody counts as two approvers; an email address is a
name only where the provider says that it verified it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from holdgate.kernel import limits
from holdgate.kernel.canonical import parse_json
from holdgate.kernel.errors import HoldgateError, InvalidInput
from holdgate.kernel.ids import ACTOR, NAME, SYSTEM, ActorId, Tenant
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.identity.principals import Principal

log = structlog.get_logger("holdgate.identity")
ROLES_FILE_BYTES_MAX = 256 * 1024
EMAIL = "email"
OIDC_KEY_ID = "oidc"
"""What stands where the id of an API key would."""


class SignInRefused(HoldgateError):
    """this sign-in is not accepted; begin again

    `kind` is one of a closed list, for metrics and for the audit trail.
    """

    code = "sign_in_refused"

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Which claims say what. Either `tenant` is set, which all who sign in belong to, or `tenant_claim`.

    `roles` maps the provider's names to ours, and then no other name counts; None takes the names as they are.
    """

    tenant: str = ""
    tenant_claim: str = ""
    actor_claim: str = EMAIL
    roles_claim: str = "roles"
    roles: Mapping[str, tuple[str, ...]] | None = None


def principal_of(claims: Mapping[str, Any], rules: ClaimRules) -> Principal:
    """The person; SignInRefused when tenant, name or roles are missing or not ours."""
    tenant, actor = _tenant(claims, rules), _actor(claims, rules)
    roles = _roles(claims, rules)
    if not roles:
        raise SignInRefused(
            "no_roles", f"`{actor}` has no role here: claim `{rules.roles_claim}` names none; ask an administrator"
        )
    return Principal(OIDC_KEY_ID, tenant, actor, "human", roles, ())


def read_roles(file: Path) -> dict[str, tuple[str, ...]]:
    """The map of roles, `{"their name": ["our-name", …]}`; Misconfigured when it is not one."""
    try:
        with file.open("rb") as opened:
            document = parse_json(opened.read(ROLES_FILE_BYTES_MAX + 1))
    except (OSError, InvalidInput) as error:
        raise Misconfigured(f"cannot read the map of roles `{file}`: {error}") from error
    if not isinstance(document, dict):
        raise Misconfigured(f'`{file}` has another shape than `{{"their name": ["our-name"]}}`')
    found: dict[str, tuple[str, ...]] = {}
    for theirs, ours in document.items():
        if not isinstance(ours, list) or not all(isinstance(name, str) and NAME.match(name) for name in ours):
            raise Misconfigured(f"`{file}`: `{theirs[:64]}` must be a list of role names")
        found[theirs] = tuple(str(name) for name in ours)
    return found


def _tenant(claims: Mapping[str, Any], rules: ClaimRules) -> Tenant:
    name = rules.tenant or _claim(claims, rules.tenant_claim)
    if not isinstance(name, str) or NAME.match(name) is None or name == SYSTEM:
        raise SignInRefused("tenant", f"claim `{rules.tenant_claim}` names no tenant")
    return Tenant(name)


def _actor(claims: Mapping[str, Any], rules: ClaimRules) -> ActorId:
    name = _claim(claims, rules.actor_claim)
    if rules.actor_claim == EMAIL:
        if claims.get("email_verified") is not True:
            raise SignInRefused("actor", "the provider does not say that it verified the email address")
        name = name.lower() if isinstance(name, str) else name  # one mailbox, one name
    if not isinstance(name, str) or ACTOR.match(name) is None:
        raise SignInRefused("actor", f"claim `{rules.actor_claim}` is not a name that can be used here")
    return ActorId(name)


def _roles(claims: Mapping[str, Any], rules: ClaimRules) -> frozenset[str]:
    said = _claim(claims, rules.roles_claim)
    listed = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
    names = [name for name in listed[: limits.TAGS_MAX * 8] if isinstance(name, str)]
    if rules.roles is None:
        kept = [name for name in names if NAME.match(name)]
    else:
        kept = [ours for name in names for ours in rules.roles.get(name, ())]
    roles = frozenset(sorted(set(kept))[: limits.TAGS_MAX])
    if len(kept) < len(listed):
        log.info("roles of a sign-in were left out", action="roles_dropped", given=len(listed), kept=len(roles))
    return roles


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim `name`; where there is none, what the dots in the name lead to, as in `realm_access.roles`."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found
