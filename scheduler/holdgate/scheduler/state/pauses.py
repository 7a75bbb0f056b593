"""What operators keep from getting work: pools, and single workers that are to run empty.

What always holds: a pause takes nothing away from who runs already, and no job; it lasts until it is ended, whatever
process restarts.
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


class Pauses:
    """The list; not of a tenant. Each change is in the system's audit trail."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._trail = AuditTrail(scripts)

    async def begin(self, pause: Pause) -> None:
        """From now on; another reason takes the place of the one before."""
        told = {"name": pause.name, "by": pause.by, "reason": pause.reason}
        await self._trail.append(SYSTEM, f"{pause.kind}.paused", told, pause.since_ms)
        record = pack({**told, "kind": str(pause.kind), "since_ms": pause.since_ms})
        await self._scripts.command("HSET", KEY, f"{pause.kind}:{pause.name}", record)

    async def end(self, kind: Paused, name: str, *, by: str, now_ms: int) -> bool:
        """Whether it was paused."""
        if not int(await self._scripts.command("HDEL", KEY, f"{kind}:{name}")):
            return False
        await self._trail.append(SYSTEM, f"{kind}.resumed", {"name": name, "by": by}, now_ms)
        return True

    async def list_pauses(self) -> Sequence[Pause]:
        """All, by kind and name."""
        values = (await self._scripts.command("HGETALL", KEY))[1::2]
        return sorted(map(_pause, values), key=lambda pause: (pause.kind, pause.name))


def _pause(data: bytes) -> Pause:
    record = encoding.unpack_stored(data)
    try:
        return Pause(
            kind=Paused(record["kind"]),
            name=str(record["name"]),
            by=str(record["by"]),
            reason=str(record["reason"]),
            since_ms=int(record["since_ms"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise StateBroken("a stored pause cannot be read") from error
