"""Sessions of the console: who signed in, as a token that the api signed.

What always holds: an identity is made only by an API key or by an OpenID provider, and kept only in a token signed for
the purpose `session` by a key of the api that the root lists; whoever writes to Redis can end sessions but never make
or change one. A session of an API key looks the key up at each request, so that a revoked key is a session that ended.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Forged
from holdgate.kernel.ids import ActorId, Entropy, Tenant, uuid7
from holdgate.scheduler.errors import SessionNotFound
from holdgate.scheduler.identity.principals import ApiKeys, Principal
from holdgate.scheduler.identity.tokens import TokenKeys
from holdgate.scheduler.state.sessions import LiveSessions, SessionView

DOMAIN = "session"
LIFETIME_S = 8 * 3600
PREFIX = "ses_"
SESSION_ID = re.compile(r"ses_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
CLOCKS_APART_MS = 60_000
"""How far the clocks of two api processes may be apart."""
BROWSER_CHARS_MAX = 200


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
    """Opens, checks and ends sessions. StateUnavailable from each of them: then nobody is signed in."""

    def __init__(self, signing: TokenKeys, live: LiveSessions, keys: ApiKeys, clock: Clock, entropy: Entropy) -> None:
        self.signing = signing
        self._live = live
        self._keys = keys
        self._clock = clock
        self._entropy = entropy

    async def open(self, principal: Principal, kind: SessionKind, browser: str = "") -> tuple[str, Session]:
        """Sign `principal` in: the token and what is in it. `browser` is what it says of itself, for lists."""
        now_ms = self._clock.now_ms()
        session = self._new(principal, kind, now_ms)
        token = self.signing.seal(DOMAIN, _plain(session))
        shown = {"kind": str(kind), "key_id": session.key_id, "browser": browser[:BROWSER_CHARS_MAX]}
        view = SessionView(session.sid, session.actor, now_ms, session.expires_ms, shown)
        await self._live.open(
            session.tenant,
            view,
            now_ms=now_ms,
            expired_before=PREFIX + uuid7(now_ms - LIFETIME_S * 1000, bytes),
            details={"actor": session.actor, "session": session.sid, "kind": str(kind), "key_id": session.key_id},
        )
        return token, session

    async def visitor(self, token: str, *, counts: bool = True) -> Visitor:
        """Who is signed in by `token`; SessionEnded when nobody is.

        `counts` False: what a page does by itself, which keeps no session alive that nobody uses.
        """
        session = self._session_of(token)
        now_ms = self._clock.now_ms()
        if not session.issued_ms - CLOCKS_APART_MS <= now_ms < session.expires_ms:
            raise SessionEnded("the session has expired")
        principal = self._present(session)
        if not await self._live.is_live(session.tenant, session.sid, now_ms, counts=counts):
            raise SessionEnded("the session was ended, or nobody used it for a while")
        return Visitor(session, principal)

    async def sign_out(self, session: Session) -> None:
        """End one's own session; nothing when it is over already."""
        told = {"actor": session.actor, "session": session.sid}
        with contextlib.suppress(SessionNotFound):
            await self._live.end(
                session.tenant, session.sid, event="session.ended", details=told, now_ms=self._clock.now_ms()
            )

    async def revoke(self, by: Principal, sid: str, *, anybodys: bool) -> None:
        """End a session of `by`, or of anybody in their tenant; SessionNotFound."""
        told = {"actor": by.actor, "session": sid}
        owner = "" if anybodys else by.actor
        now_ms = self._clock.now_ms()
        await self._live.end(by.tenant, sid, event="session.revoked", details=told, now_ms=now_ms, actor=owner)

    async def list_live(
        self, tenant: Tenant, actor: str | None, limit: int, before: str | None
    ) -> tuple[list[SessionView], str | None]:
        """Sessions of `actor`, or of everybody; the newest first, and where to go on."""
        return await self._live.list_live(tenant, actor, limit, before)

    def _new(self, principal: Principal, kind: SessionKind, now_ms: int) -> Session:
        return Session(
            sid=PREFIX + uuid7(now_ms, self._entropy),
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

    def _session_of(self, token: str) -> Session:
        try:
            return _session(self.signing.open(DOMAIN, token))
        except Forged as error:
            raise SessionEnded("the token is not one of ours") from error

    def _present(self, session: Session) -> Principal:
        if session.kind is SessionKind.OIDC:
            return session.principal
        found = self._keys.principal_by_id(session.key_id)
        if found is None or (found.tenant, found.actor) != (session.tenant, session.actor):
            raise SessionEnded("the API key was revoked")
        return found


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
