"""Pages of an index, newest first. Its members are ids that begin with their time, all with the same score."""

from __future__ import annotations

from holdgate.scheduler.state.connection import Scripts


async def newest(scripts: Scripts, index: str, limit: int, cursor: str | None) -> tuple[list[str], str | None]:
    """At most `limit` ids of `index` that are older than `cursor`; and the cursor of the next page, None at the end."""
    start = "+" if cursor is None else f"({cursor}"
    found = await scripts.command("ZREVRANGEBYLEX", index, start, "-", "LIMIT", 0, limit + 1)
    ids = [member.decode() for member in found[:limit]]
    return ids, ids[-1] if len(found) > limit else None
