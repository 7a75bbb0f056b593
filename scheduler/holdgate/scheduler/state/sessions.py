"""Which sessions of the console live: what can be ended from elsewhere, and what ends by itself when nobody uses it.

What always holds: a session that is not here is over; one that is here says nothing about who anybody is, because that
is in the signed token alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from holdgate.kernel.ids import ActorId, Tenant, person_of
from holdgate.kernel.wire import pack
from holdgate.scheduler.errors import SessionNotFound
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import INDEX, Scripts, key
from holdgate.scheduler.state.newest import newest

IDLE_S = 30 * 60
WRITTEN_EVERY_S = 60
NEVER_MS = 2 * IDLE_S * 1000
"""A session that was not used for so long is over."""
PER_PERSON_MAX = 20


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as lists show it. `shown` is what it was opened with: kind, key_id, browser."""

    sid: str
    actor: ActorId
    seen_ms: int
    expires_ms: int
    shown: Mapping[str, Any]


class LiveSessions:
    """The sessions of all tenants. Ids sort by the time they were opened."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def open(
        self, tenant: Tenant, view: SessionView, *, now_ms: int, expired_before: str, details: Mapping[str, Any]
    ) -> None:
        """Let a new session live. `expired_before`: an id; all sessions with a lower one are over by their age."""
        shown, told = pack(dict(view.shown)), encoding.pack_details(details)
        times = (now_ms, IDLE_S * 1000, view.expires_ms)
        await self._scripts.run(
            "session_open", tenant, (view.sid, *times, view.actor, shown, told, PER_PERSON_MAX, expired_before)
        )
        # The auditor archives the tenants of this list; one in which nobody submitted yet is not in it.
        await self._scripts.command("SADD", f"{INDEX}:tenants", tenant)

    async def is_live(self, tenant: Tenant, sid: str, now_ms: int, *, counts: bool) -> bool:
        """Whether the session lives; `counts`: being asked is being used."""
        args = (sid, now_ms, IDLE_S * 1000, WRITTEN_EVERY_S * 1000 if counts else NEVER_MS)
        (said,) = await self._scripts.run("session_touch", tenant, args)
        return bool(said == b"live")

    async def end(
        self, tenant: Tenant, sid: str, *, event: str, details: Mapping[str, Any], now_ms: int, actor: str = ""
    ) -> None:
        """End a session; SessionNotFound when it is over already, or is not of `actor` where one is named."""
        args = (sid, now_ms, actor, event, encoding.pack_details(details))
        (said,) = await self._scripts.run("session_end", tenant, args)
        if said != b"ended":
            raise SessionNotFound

    async def list_live(
        self, tenant: Tenant, actor: str | None, limit: int, before: str | None
    ) -> tuple[list[SessionView], str | None]:
        """Sessions, the newest first, of `actor` or of everybody; and where to go on."""
        index = key(tenant, "sessions") if actor is None else key(tenant, "sessions_of", person_of(actor))
        sids, following = await newest(self._scripts, index, limit, before)
        found = await self._scripts.commands(
            [("HMGET", key(tenant, "session", sid), "actor", "seen", "expires", "shown") for sid in sids]
        )
        views = [_view(sid, values) for sid, values in zip(sids, found, strict=True) if values[0] is not None]
        return views, following


def _view(sid: str, values: list[bytes]) -> SessionView:
    actor, seen, expires, shown = values
    return SessionView(sid, ActorId(actor.decode()), int(seen), int(expires), encoding.unpack_stored(shown))
