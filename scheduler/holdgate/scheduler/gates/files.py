"""Files that a run left, once they may be read: kept under their digest, listed with the result.

What always holds: only what a verdict let through comes here; a list names no file that was not kept before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdgate.scan.output import Artifact
from holdgate.scheduler.state.log import PayloadStore


async def kept_files(store: PayloadStore, files: Sequence[Artifact]) -> list[dict[str, Any]]:
    """Keep `files`; the list that goes into the result's record. LogUnavailable."""
    return [
        {
            "name": each.name,
            "media_type": each.media_type,
            "bytes": len(each.data),
            "digest": await store.put(each.data),
        }
        for each in files
    ]
