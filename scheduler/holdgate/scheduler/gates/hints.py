"""What gates tell others, so that these look again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from holdgate.scheduler.state.transitions import State


class Hints(Protocol):
    """Tells who waits that there is something to look at; never fails its caller."""

    async def ready(self, tenant: str, pools: Iterable[str]) -> None:
        """Jobs of `tenant` became ready in `pools`."""
        ...

    async def changed(self, tenant: str, job_ids: Iterable[str], state: State) -> None:
        """These jobs came to `state`."""
        ...
