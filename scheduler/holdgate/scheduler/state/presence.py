"""Which processes are there: each says so every second, in Redis, so that others can tell who went away.

What always holds: a process that stopped saying so is away after PRESENT_MS, whether it died, hangs or cannot reach
Redis; one that ends in order is gone at once. Nothing is decided by it: it is for `/readyz`, metrics and people.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from holdgate.kernel.clock import Clock
from holdgate.kernel.wire import pack
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import INDEX, Scripts

PROCESSES = f"{INDEX}:processes"
PRESENT_MS = 3_500
"""Three words in a row lost are an absence."""
FORGOTTEN_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Presence:
    """What a process said of itself last. `wrong` names the checks of its `/readyz` that fail."""

    kind: str
    instance: str
    standing: str
    wrong: tuple[str, ...]
    said_ms: int


class Presences:
    """The register; not of a tenant."""

    def __init__(self, scripts: Scripts, clock: Clock) -> None:
        self._scripts = scripts
        self._clock = clock

    async def say(self, kind: str, instance: str, standing: str, wrong: Collection[str]) -> None:
        """`instance` of `kind` is there. StateUnavailable, also where Redis takes no writes."""
        record = {
            "kind": kind,
            "instance": instance,
            "standing": standing,
            "wrong": sorted(wrong),
            "said_ms": self._clock.now_ms(),
        }
        await self._scripts.command("HSET", PROCESSES, f"{kind}/{instance}", pack(record))

    async def leave(self, kind: str, instance: str) -> None:
        """It ends. StateUnavailable."""
        await self._scripts.command("HDEL", PROCESSES, f"{kind}/{instance}")

    async def there(self, kind: str) -> list[Presence]:
        """Those of `kind` that are there now."""
        return [found for found in await self.every() if found.kind == kind]

    async def every(self) -> list[Presence]:
        """All that are there now, by kind and instance. Forgets those that said nothing for an hour."""
        flat = await self._scripts.glimpse("HGETALL", PROCESSES)
        found = {flat[at]: _presence(flat[at + 1]) for at in range(0, len(flat), 2)}
        now_ms = self._clock.now_ms()
        old = [name for name, said in found.items() if said is None or now_ms - said.said_ms > FORGOTTEN_MS]
        if old:
            await self._scripts.command("HDEL", PROCESSES, *old)
        present = [said for said in found.values() if said is not None and now_ms - said.said_ms <= PRESENT_MS]
        return sorted(present, key=lambda said: (said.kind, said.instance))


def _presence(data: bytes) -> Presence | None:
    """None: of another version, or broken; it says nothing to us."""
    try:
        record = encoding.unpack_stored(data)
        return Presence(
            kind=str(record["kind"]),
            instance=str(record["instance"]),
            standing=str(record["standing"]),
            wrong=tuple(map(str, record["wrong"])),
            said_ms=int(record["said_ms"]),
        )
    except (StateBroken, KeyError, TypeError, ValueError):
        return None
