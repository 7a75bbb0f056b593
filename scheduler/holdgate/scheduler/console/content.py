"""What submitters and workers wrote, fetched as far as a page can carry it.

What always holds: no page asks for more of a payload or a value than its bound, nor for those of many jobs at once;
what is too large to be shown is told of, with the command that shows it. One large job holds up nobody else's page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdgate.scheduler.console.tree import Tree, tree_of
from holdgate.scheduler.console.visit import ApiProblem, Visit

PAYLOAD_BYTES_MAX = 128 * 1024
"""Of one job on a page of its own."""
PICKED_BYTES_MAX = 16 * 1024
"""Of one job among many."""
ALL_PICKED_BYTES_MAX = 256 * 1024
"""Of all of them together."""
PICKED_AT_ONCE = 4
PICKED_LINES_MAX = 40
PICKED_CHARS_MAX = 2_000
"""Of the payload of one job among many; of its labels, too."""
LOG_LINES_MAX = 500
LOG_CHARS_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Picked:
    """A held job among others: what the API says of it, and its labels and payload with secrets masked."""

    item: Mapping[str, Any]
    shown: str
    labels: Tree | None
    payload: Tree | None
    too_large: bool


async def facts_of(visit: Visit, job_id: str) -> dict[str, Any]:
    """A held job without its payload. ApiProblem."""
    found: dict[str, Any] = await visit.get(f"/approvals/{job_id}", payload_bytes_max="0")
    return found


async def masked_of(visit: Visit, job_id: str, bytes_max: int = PAYLOAD_BYTES_MAX) -> dict[str, Any]:
    """What its submitter wrote, with secrets masked; the payload only where it is no longer than that. ApiProblem."""
    found: dict[str, Any] = await visit.get(f"/approvals/{job_id}/masked", payload_bytes_max=str(bytes_max))
    return found


async def picked_of(visit: Visit, picked: Sequence[tuple[str, str]]) -> tuple[list[Picked], list[str]]:
    """The held jobs of these ids, each with what the queue showed of it, a few at a time; and the ids of those that are
    not as they were submitted."""
    found: list[Picked] = []
    altered: list[str] = []
    left = ALL_PICKED_BYTES_MAX
    for start in range(0, len(picked), PICKED_AT_ONCE):
        some = picked[start : start + PICKED_AT_ONCE]
        bytes_max = min(PICKED_BYTES_MAX, left // len(some))
        for one, used in await asyncio.gather(*(_picked(visit, job_id, shown, bytes_max) for job_id, shown in some)):
            left -= used
            found += [one] if isinstance(one, Picked) else []
            altered += [one] if isinstance(one, str) else []
    return found, altered


async def _picked(visit: Visit, job_id: str, shown: str, bytes_max: int) -> tuple[Picked | str | None, int]:
    """With how much of its payload was fetched; None when it is gone, its id when it was altered."""
    try:
        item = await facts_of(visit, job_id)
        masked = await masked_of(visit, job_id, bytes_max)
    except ApiProblem as problem:
        return (job_id if problem.code == "approval_altered" else None), 0
    # Of a hundred jobs it is much to keep, and the page shows none of it.
    item.pop("job")
    known, too_large = masked["shown"], bool(masked["payload_left_out"])
    if known is None:
        return Picked(item, shown, None, None, too_large), bytes_max
    labels = tree_of(known["labels"], PICKED_LINES_MAX + 1, PICKED_CHARS_MAX)
    tree = None if too_large else tree_of(known["payload"], PICKED_LINES_MAX, PICKED_CHARS_MAX)
    return Picked(item, shown, labels, tree, too_large), 0 if too_large else int(masked["payload_bytes"] or 0)


def log_lines(logs: Sequence[str]) -> list[str]:
    """The first lines of a log, as far as a page carries them."""
    shown: list[str] = []
    left = LOG_CHARS_MAX
    for line in logs[:LOG_LINES_MAX]:
        if left <= 0:
            break
        shown.append(line[:left])
        left -= len(line)
    return shown
