"""How far the last look read the log: the next one begins there.

What always holds: where nobody can say that the store still is the one that was looked at, or only later than then,
everything is read. A store that was set back to before a look has the mark of an earlier one, or none; each tenant has
the mark for itself, since parts of a store may be set back alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from holdgate.kernel import subjects
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import NAME, Tenant
from holdgate.kernel.wire import pack, unpack
from holdgate.scheduler.recovery.parts import RecoveryParts
from holdgate.scheduler.recovery.reading import Extent, first_place, subjects_of
from holdgate.scheduler.state.connection import INDEX, key

COVERED = f"{INDEX}:covered"
READ_ALL_MS = 24 * 3600 * 1000
"""So often everything is read all the same."""
MARK_MS = 2 * READ_ALL_MS
READ_ALL_AGES = 8
"""And several times in the age of the log: what the log of endings says of itself is said again by such a look."""


@dataclass(frozen=True, slots=True)
class Covered:
    """What a look read to its end. `read_all_ms`: when the last one began that read everything; `lasts`: of each
    stream the last message that was read, and when the stream was made."""

    token: str
    read_all_ms: int
    lasts: Mapping[str, tuple[int, str]]

    @classmethod
    def of(cls, token: str, read_all_ms: int, extents: Mapping[str, Extent]) -> Covered:
        """All of these."""
        return cls(token, read_all_ms, {name: (extent.last, extent.created) for name, extent in extents.items()})


async def mark_begun(parts: RecoveryParts, token: str) -> None:
    """Once it is known how far a look will read: what the store knows by then is to be there as long as this is.

    StateUnavailable, LogUnavailable.
    """
    names = [_mark(tenant, token) for tenant in await _tenants(parts)]
    await parts.scripts.commands([("SET", name, 1, "PX", MARK_MS) for name in names])


async def find_covered(parts: RecoveryParts) -> Covered | None:
    """As the last look that came to its end said; None where none did, or nobody can read it. StateUnavailable."""
    found = await parts.scripts.command("GET", COVERED)
    try:
        record = unpack(found or b"")
        lasts = {str(name): (int(last), str(created)) for name, (last, created) in record["lasts"].items()}
        return Covered(str(record["token"]), int(record["read_all_ms"]), lasts)
    except (InvalidInput, AttributeError, KeyError, TypeError, ValueError):
        return None


async def note_covered(parts: RecoveryParts, covered: Covered) -> None:
    """At the end of a look that found nothing lost. StateUnavailable."""
    lasts = {name: list(last) for name, last in covered.lasts.items()}
    await parts.scripts.command(
        "SET", COVERED, pack({"token": covered.token, "read_all_ms": covered.read_all_ms, "lasts": lasts})
    )


async def forget_covered(parts: RecoveryParts) -> None:
    """No look before this one counts any more."""
    await parts.scripts.command("DEL", COVERED)


async def left_to_read(
    parts: RecoveryParts, covered: Covered | None, extents: Mapping[str, Extent]
) -> dict[str, Extent] | None:
    """What came since; None where everything is to be read. StateUnavailable, LogUnavailable."""
    if covered is None or not _is_recent(covered, parts.clock.now_ms(), extents):
        return None
    if any(covered.lasts.get(name, (0, ""))[1] != extent.created for name, extent in extents.items()):
        return None
    if any(covered.lasts[name][0] > extent.last for name, extent in extents.items()):
        return None
    if not await _has_every_tenant(parts, covered):
        return None
    return {
        name: replace(extent, first=max(extent.first, covered.lasts[name][0] + 1)) for name, extent in extents.items()
    }


def _is_recent(covered: Covered, now_ms: int, extents: Mapping[str, Extent]) -> bool:
    ages_ms = [int(extent.max_age_s * 1000) // READ_ALL_AGES for extent in extents.values() if extent.max_age_s]
    return 0 <= now_ms - covered.read_all_ms < min(READ_ALL_MS, *ages_ms, READ_ALL_MS)


async def _has_every_tenant(parts: RecoveryParts, covered: Covered) -> bool:
    """Whether each tenant of the log has the mark, or is newer than it."""
    tenants = await _tenants(parts)
    marks = await parts.scripts.commands([("GET", _mark(tenant, covered.token)) for tenant in tenants])
    bare = [tenant for tenant, mark in zip(tenants, marks, strict=True) if mark is None]
    firsts = await asyncio.gather(
        *(first_place(parts.nc, subjects.STREAM_JOBS, subjects.job(tenant)) for tenant in bare)
    )
    return all(first is None or first > covered.lasts[subjects.STREAM_JOBS][0] for first in firsts)


def _mark(tenant: Tenant, token: str) -> str:
    return key(tenant, "looked", token)


async def _tenants(parts: RecoveryParts) -> list[Tenant]:
    """Of whom the log has jobs."""
    names = [subject.rpartition(".")[2] for subject in await subjects_of(parts.nc, subjects.STREAM_JOBS)]
    return [Tenant(name) for name in names if NAME.match(name)]
