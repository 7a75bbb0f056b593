"""Held jobs by how much harm their rules think they could do, and among equals by what expires first.

What always holds: a bounded part is looked at, that which expires first; what is held beyond it follows by expiry, so
that everything is listed once. A job whose record cannot be read stands with the gravest, where it is seen.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import msgpack

from holdgate.kernel.ids import Tenant
from holdgate.kernel.records import Severity
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.approvals.demands import severity_of
from holdgate.scheduler.state.connection import Scripts, key

WINDOW_MAX = 12_000
"""How many are put in order. Reading so many takes some ten milliseconds."""
READ_AT_ONCE = 1000
MARKS = {Severity.CRITICAL: "0", Severity.HIGH: "1", Severity.MEDIUM: "2", Severity.LOW: "3"}
"""In marks of lists, and in their order."""

Place = tuple[str, int, str]
"""Of `MARKS`, when it expires, which job."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was put in order; `last` by expiry is set where more is held beyond it."""

    places: tuple[Place, ...]
    last: tuple[int, str] | None

    def after(self, place: Place, size: int) -> tuple[list[Place], bool]:
        """The next ones, and whether there are no more."""
        start = bisect_right(self.places, place)
        return list(self.places[start : start + size]), start + size >= len(self.places)


async def read_window(scripts: Scripts, tenant: Tenant) -> Window:
    """What is held by now, as far as it is looked at."""
    rows = await scripts.command("ZRANGE", key(tenant, "approvals_due"), 0, WINDOW_MAX, "WITHSCORES")
    due = [(int(float(score)), job_id.decode()) for job_id, score in zip(rows[::2], rows[1::2], strict=True)]
    kept = due[:WINDOW_MAX]
    pieces = [kept[start : start + READ_AT_ONCE] for start in range(0, len(kept), READ_AT_ONCE)]
    known: dict[bytes, str] = {}
    places: list[Place] = []
    # Piece by piece, so that other calls have their turn in between.
    for piece in pieces:
        records = await scripts.command("HMGET", key(tenant, "held"), *(job_id for _, job_id in piece))
        places += [(_mark(record, known), *spot) for record, spot in zip(records, piece, strict=True)]
    return Window(tuple(sorted(places)), kept[-1] if len(due) > WINDOW_MAX else None)


def _mark(record: bytes | None, known: dict[bytes, str]) -> str:
    """Of what is kept of a held job. Many are held by the same rules: these are read once."""
    try:
        _, packed, _ = msgpack.unpackb(record or b"", raw=True)
        if packed not in known:
            known[packed] = MARKS[severity_of(encoding.unpack_requirements(packed))]
        return known[packed]
    except (StateBroken, ValueError, TypeError):
        return MARKS[Severity.CRITICAL]
