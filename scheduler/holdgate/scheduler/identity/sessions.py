"""Sessions of the console: who signed in, as a token that the api signed.

What always holds: an identity is made only by an API key or by an OpenID provider, and kept only in a token signed for
the purpose `session` by a key of the api that the root lists; whoever writes to Redis can end sessions but never make
or change one. A session of an API key looks the key up at each request, so that a revoked key is a session that ended.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from holdgate.kernel.canonical import canonical_bytes, parse_json
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Forged, InvalidInput
from holdgate.kernel.ids import ActorId, Entropy, Tenant
from holdgate.kernel.permits import Keyring, Signer
from holdgate.kernel.records import Signed
from holdgate.scheduler.identity.principals import ApiKeys, Principal

DOMAIN = "session"
LIFETIME_S = 8 * 3600
TOKEN_CHARS_MAX = 3800
"""A browser keeps a cookie of 4096 bytes, name and attributes included."""


class SessionKind(StrEnum):
    """By what somebody signed in."""

    KEY = "key"
    OIDC = "oidc"


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in. `csrf` is what every form of it carries; `key_id` is that of the API key, or names the provider."""

    sid: str
    kind: SessionKind
    key_id: str
    tenant: Tenant
    actor: ActorId
    actor_type: str
    roles: tuple[str, ...]
    principals: tuple[str, ...]
    csrf: str
    issued_ms: int
    expires_ms: int

    @property
    def principal(self) -> Principal:
        """Who signed in, as the token says."""
        roles = frozenset(self.roles)
        return Principal(self.key_id, self.tenant, self.actor, self.actor_type, roles, self.principals)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in, with the rights they have now."""

    session: Session
    principal: Principal


class SessionEnded(Forged):
    """nobody is signed in by this token"""

    code = "session_ended"


class Sessions:
    """Opens and checks sessions."""

    def __init__(
        self, signer: Signer, keyring: Callable[[], Keyring | None], keys: ApiKeys, clock: Clock, entropy: Entropy
    ) -> None:
        self._signer = signer
        self._keyring = keyring
        self._keys = keys
        self._clock = clock
        self._entropy = entropy

    async def open(self, principal: Principal, kind: SessionKind) -> tuple[str, Session]:
        """Sign `principal` in: the token and what is in it."""
        now_ms = self._clock.now_ms()
        session = Session(
            sid="ses_" + self._entropy(16).hex(),
            kind=kind,
            key_id=principal.key_id,
            tenant=principal.tenant,
            actor=principal.actor,
            actor_type=principal.actor_type,
            roles=tuple(sorted(principal.roles)),
            principals=principal.principals,
            csrf=self._entropy(16).hex(),
            issued_ms=now_ms,
            expires_ms=now_ms + LIFETIME_S * 1000,
        )
        return _token_of(self._signer.sign(DOMAIN, canonical_bytes(_plain(session)))), session

    async def visitor(self, token: str) -> Visitor:
        """Who is signed in by `token`; SessionEnded when nobody is."""
        session = self._session_of(token)
        if not session.issued_ms - 60_000 <= self._clock.now_ms() < session.expires_ms:
            raise SessionEnded("the session has expired")
        return Visitor(session, self._present(session))

    def _session_of(self, token: str) -> Session:
        keyring = self._keyring()
        if keyring is None:
            raise SessionEnded("the trust root has expired")
        try:
            return _session(parse_json(keyring.verify(DOMAIN, _signed_of(token))))
        except InvalidInput as error:
            raise SessionEnded("the token is not one of ours") from error
        except Forged as error:
            raise SessionEnded("the token is not one of ours") from error

    def _present(self, session: Session) -> Principal:
        if session.kind is SessionKind.OIDC:
            return session.principal
        found = self._keys.principal_by_id(session.key_id)
        if found is None or (found.tenant, found.actor) != (session.tenant, session.actor):
            raise SessionEnded("the API key was revoked")
        return found


def _token_of(signed: Signed) -> str:
    return ".".join((_text(signed.body), signed.key, _text(signed.signature)))


def _signed_of(token: str) -> Signed:
    parts = token.split(".")
    if len(token) > TOKEN_CHARS_MAX or len(parts) != 3:
        raise Forged("not a session token")
    try:
        return Signed(body=_bytes(parts[0]), key=parts[1], signature=_bytes(parts[2]))
    except (binascii.Error, ValueError) as error:
        raise Forged("not a session token") from error


def _session(body: Any) -> Session:
    if not isinstance(body, dict) or body.keys() != {item.name for item in fields(Session)}:
        raise Forged("not a session")
    try:
        values: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in body.items()}
        values["kind"] = SessionKind(body["kind"])
        return Session(**values)
    except (TypeError, ValueError) as error:
        raise Forged("not a session") from error


def _plain(session: Session) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(session).items()}


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
