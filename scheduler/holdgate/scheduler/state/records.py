"""Which form everything in the state store has: one number for all that carries none of its own.

Packed records say their version themselves (`kernel.wire`); lists, sets, plain fields and what scripts make do not, and
hold only together. What always holds: a process that does not know the form neither reads nor writes.
"""

from __future__ import annotations

from holdgate.scheduler.errors import RecordsNewer, StateBroken
from holdgate.scheduler.state.connection import INDEX, Scripts

VERSION = 1
KEY = f"{INDEX}:records"


async def verify_records(scripts: Scripts) -> None:
    """RecordsNewer where a newer release has been at work here. Idempotent."""
    found = await scripts.glimpse("GET", KEY)
    if found is None:
        return
    try:
        version = int(found)
    except ValueError as error:
        raise StateBroken(f"`{KEY}` is no number") from error
    if version > VERSION:
        raise RecordsNewer(
            f"the state store holds records of version {version}; this release knows {VERSION}: start a newer one"
        )


async def mark_records(scripts: Scripts) -> None:
    """Say in the store which form it has from now on; older releases that ask refuse to start then."""
    await verify_records(scripts)
    await scripts.command("SET", KEY, VERSION)
