"""What operators keep from getting work: pools, and single workers that are to run empty.

What always holds: a pause takes nothing away from who runs already, and no job; it lasts until it is ended, whatever
process restarts. That one was ended is remembered for a while, so that one that is only missing can be told: a state
store that was lost or set back ends no pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from holdgate.kernel.ids import SYSTEM
from holdgate.kernel.wire import pack
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.connection import INDEX, Scripts

KEY = f"{INDEX}:paused"
ENDED_KEPT_MS = 24 * 3600 * 1000
"""A dispatcher looks every second; one that was stopped for longer than this takes what it finds."""


class Paused(StrEnum):
    """Of what kind it is that gets no work."""

    POOL = "pool"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Pause:
    """One of them, since when, by whom and why."""

    kind: Paused
    name: str
    by: str
    reason: str
    since_ms: int
    is_over: bool = False
    """It was ended, at `since_ms`."""


class Pauses:
    """The list; not of a tenant. Each change is in the system's audit trail."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._trail = AuditTrail(scripts)

    async def begin(self, pause: Pause) -> None:
        """From now on; another reason takes the place of the one before."""
        told = {"name": pause.name, "by": pause.by, "reason": pause.reason}
        await self._trail.append(SYSTEM, f"{pause.kind}.paused", told, pause.since_ms)
        await self._scripts.command("HSET", KEY, _field(pause), _record(pause))

    async def end(self, kind: Paused, name: str, *, by: str, now_ms: int) -> bool:
        """Whether it was paused."""
        over = Pause(kind, name, by, "", now_ms, is_over=True)
        found = await self._scripts.command("HGET", KEY, _field(over))
        if found is None or _pause(found).is_over:
            return False
        await self._scripts.command("HSET", KEY, _field(over), _record(over))
        await self._trail.append(SYSTEM, f"{kind}.resumed", {"name": name, "by": by}, now_ms)
        return True

    async def list_pauses(self) -> Sequence[Pause]:
        """All that last, by kind and name."""
        return [pause for pause in await self.known() if not pause.is_over]

    async def known(self) -> Sequence[Pause]:
        """Those that last and those that were ended lately, by kind and name."""
        values = (await self._scripts.command("HGETALL", KEY))[1::2]
        return sorted(map(_pause, values), key=lambda pause: (pause.kind, pause.name))

    async def bring_back(self, pauses: Sequence[Pause]) -> None:
        """They are missing, and nobody ended them."""
        for pause in pauses:
            await self._scripts.command("HSETNX", KEY, _field(pause), _record(pause))

    async def forget(self, pauses: Sequence[Pause]) -> None:
        """They were ended long ago."""
        if pauses:
            await self._scripts.command("HDEL", KEY, *map(_field, pauses))


def _field(pause: Pause) -> str:
    return f"{pause.kind}:{pause.name}"


def _record(pause: Pause) -> bytes:
    told = {"kind": str(pause.kind), "name": pause.name, "by": pause.by, "reason": pause.reason}
    return pack({**told, "since_ms": pause.since_ms, "is_over": pause.is_over})


def _pause(data: bytes) -> Pause:
    record = encoding.unpack_stored(data)
    try:
        return Pause(
            kind=Paused(record["kind"]),
            name=str(record["name"]),
            by=str(record["by"]),
            reason=str(record["reason"]),
            since_ms=int(record["since_ms"]),
            is_over=bool(record["is_over"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise StateBroken("a stored pause cannot be read") from error
