"""Counters of the last day: what the scripts count, and what is looked at now and then.

What always holds: a tenant reads its own counters alone; health of the kernel is of the whole system and tells nothing
of tenants; nothing here outlives a day and an hour; reading is bounded by the window.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.state.connection import INDEX, Scripts
from holdgate.scheduler.state.counters import LEVELS, MINUTE_MS, Tally

KEPT_S = 90_000
"""A day, which is the longest window, and an hour; `STATS_KEPT_S` of the scripts."""
MINUTES_AT_ONCE = 60
"""Read by one call of a script, so that others' calls get in between."""
SYSTEM_STATS = f"{INDEX}:health"
_SYSTEM = Tenant("index")
"""Names the slot of INDEX. `health` is nobody's counter, so a tenant of that name would not mix with it."""


@dataclass(frozen=True, slots=True)
class KernelSample:
    """What was found when somebody looked how the kernels are."""

    replicas: int
    has_policy: bool
    agree: bool
    breaker_closed: bool


@dataclass(frozen=True, slots=True)
class Window:
    """A time to be shown: `steps` of `step_s`, each of whole minutes."""

    step_s: int
    steps: int

    def starts_ms(self, now_ms: int) -> list[int]:
        """When each step begins; the last one has begun and not ended."""
        step_ms = self.step_s * 1000
        last = now_ms // step_ms * step_ms
        return [last - step_ms * back for back in reversed(range(self.steps))]


WINDOWS: Mapping[str, Window] = {"1h": Window(60, 60), "6h": Window(120, 180), "24h": Window(480, 180)}


class Stats:
    """Writes what is looked at, reads everything."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def sample(self, tenant: Tenant, now_ms: int) -> dict[str, int]:
        """Keep how many jobs of `tenant` wait and run now, where that is more than before in this minute."""
        found = await self._scripts.run("sample", tenant, (now_ms, *LEVELS))
        return dict(zip(LEVELS, map(int, found), strict=True))

    async def sample_kernels(self, sample: KernelSample, now_ms: int) -> None:
        """Count one look at the kernels."""
        minute = f"{SYSTEM_STATS}:{now_ms // MINUTE_MS}"
        seen = {
            "samples": True,
            "down": sample.replicas == 0,
            "no_policy": sample.replicas > 0 and not sample.has_policy,
            "disagreed": not sample.agree,
            "breaker": not sample.breaker_closed,
        }
        await self._scripts.commands(
            [
                *(("HINCRBY", minute, name, 1) for name, is_so in seen.items() if is_so),
                ("HSET", minute, "replicas", sample.replicas),
            ]
        )
        # By itself, once the key is there: calls under way together have no order.
        await self._scripts.command("EXPIRE", minute, KEPT_S)

    async def read(self, tenant: Tenant, window: Window, now_ms: int) -> list[Tally]:
        """A tally for each step of `window`, the oldest first."""
        return await self._read(tenant, "stats", window, now_ms)

    async def read_system(self, window: Window, now_ms: int) -> list[Tally]:
        """The same of what is of no tenant."""
        return await self._read(_SYSTEM, "health", window, now_ms)

    async def _read(self, owner: Tenant, which: str, window: Window, now_ms: int) -> list[Tally]:
        starts = window.starts_ms(now_ms)
        a_step = window.step_s * 1000 // MINUTE_MS
        together = max(1, MINUTES_AT_ONCE // a_step)
        parts = await asyncio.gather(
            *(
                self._scripts.run(
                    "read_stats",
                    owner,
                    (which, starts[at] // MINUTE_MS, a_step, min(together, len(starts) - at)),
                )
                for at in range(0, len(starts), together)
            )
        )
        return [_tally(fields) for part in parts for fields in part]


def _tally(fields: list[bytes]) -> Tally:
    return Tally({name.decode(): int(value) for name, value in zip(fields[::2], fields[1::2], strict=True)})
