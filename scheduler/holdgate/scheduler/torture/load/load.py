"""Clients that send at a rate whatever the system does: what a slow or broken system is not spared.

What always holds: what is done, and when, is drawn from the seed; every exchange is in the history; at most
`IN_FLIGHT_MAX` operations are open at once, and those that were left out for it are counted in the history.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random  # noqa: TID251  this is where the seed becomes chance
from typing import Any

from holdgate.bundles.keys import load_signer
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.torture.history import History, Kind
from holdgate.scheduler.torture.load.acts import ACT_WEIGHTS, ACTS, Acts
from holdgate.scheduler.torture.load.kinds import KINDS, WEIGHTS
from holdgate.scheduler.torture.load.known import Known
from holdgate.scheduler.torture.load.submitting import Submitting
from holdgate.scheduler.torture.load.voice import Line, Voice
from holdgate.scheduler.torture.planted import Planted

IN_FLIGHT_MAX = 200
"""Each may wait until its time limit when nobody answers."""
SUBMITS = 0.5
"""Share of submits among the operations."""
PUBLISH_EVERY_S = 12.0
RETRY_S = 20.0
SETTLE_PAUSE_S = 0.5
PREFIXES = ("", "other-")
"""How the names of the keys of each tenant begin."""
CALLERS = ("agent", "agent2", "lead", "approver", "approver2", "operator", "auditor", "author")
SUBMITTERS = ("agent", "agent2", "lead")
UNJUDGED = "finishing"
OPEN_STATES = ("accepted", "held", "scheduled", "queued", "running", UNJUDGED)


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
        self.tenants = facts.tenants
        self.left_out = 0
        self._rate = rate
        self._chance = Random(seed)  # noqa: S311  a load is to be repeatable
        of_calls = Random(f"{seed} calls")  # noqa: S311  the same
        self._line = Line(facts.api_urls, history, clock, Planted.of(seed), of_calls, time.monotonic)
        known, retry_s = Known(), RETRY_S
        prefixes = dict(zip(facts.tenants, PREFIXES, strict=True))
        self._voices = {
            f"{prefix}{who}": Voice(self._line, f"{prefix}{who}", tenant, facts.keys[f"{prefix}{who}"], retry_s=retry_s)
            for tenant, prefix in prefixes.items()
            for who in CALLERS
            if f"{prefix}{who}" in facts.keys
        }
        self._submitting = Submitting(known, self._chance, clock)
        self._acts = Acts(self._voices, prefixes, known, self._chance, load_signer(facts.author_key_file))
        self._tasks = TaskSet(self._on_failure)
        self.failures: list[BaseException] = []

    async def publish(self) -> None:
        """The first version of each tenant's bundle, or the next: before `run`, for nothing is allowed without it."""
        for tenant in self.tenants:
            await self._acts.publish(tenant)

    async def run(self, until: asyncio.Event) -> None:
        """Until `until` is set; then waits for the operations that are open and returns."""
        started_s, beats = time.monotonic(), 0
        next_s, publish_s = 0.0, PUBLISH_EVERY_S
        while not until.is_set():
            now_s = time.monotonic() - started_s
            if now_s < next_s:
                await _until(until, next_s - now_s)
                continue
            next_s += self._chance.expovariate(self._rate)
            beats += 1
            self._start(self._next())
            if now_s >= publish_s:
                publish_s += PUBLISH_EVERY_S
                self._start(self._acts.publish(self._chance.choice(self.tenants)))
        await self._drain()
        self._line.record("load", Kind.NOTE, {"operations": beats, "left_out": self.left_out})

    async def settle(self, timeout_s: float, open_states: Sequence[str] = OPEN_STATES) -> bool:
        """After the faults: release what is held, wait until nothing is open; whether that came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled(open_states)
        except TimeoutError:
            return False
        return True

    async def _settled(self, open_states: Sequence[str]) -> None:
        while True:
            try:
                if not await self._open_jobs(open_states):
                    await self._look_at_all()
                    return
            except HoldgateError:
                pass  # a part is away, still: it is looked at again
            await asyncio.sleep(SETTLE_PAUSE_S)

    async def close(self) -> None:
        """End what is open, close the connections."""
        await self._tasks.close()
        await self._line.close()

    def _next(self) -> Coroutine[Any, Any, None]:
        chance = self._chance
        tenant = chance.choice(self.tenants)
        if chance.random() < SUBMITS:
            [kind] = chance.choices(KINDS, WEIGHTS)
            names = [name for name in SUBMITTERS if self._name(tenant, name) in self._voices]
            return self._submitting.submit(self._voices[self._name(tenant, chance.choice(names))], kind)
        [(act, _)] = chance.choices(ACTS, ACT_WEIGHTS)
        return act(self._acts, tenant)

    def _name(self, tenant: str, who: str) -> str:
        return self._acts.prefixes[tenant] + who

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= IN_FLIGHT_MAX:
            self.left_out += 1
            work.close()
            return
        self._tasks.start(_refused_is_fine(work), "operation")

    async def _drain(self) -> None:
        while len(self._tasks):  # noqa: ASYNC110  nobody tells when a set is empty; each ends by its own time limits
            await asyncio.sleep(SETTLE_PAUSE_S)

    async def _open_jobs(self, open_states: Sequence[str]) -> int:
        """How many jobs have not ended yet, once what is held was decided about."""
        count = 0
        for tenant in self.tenants:
            count += await self._acts.decide_all(tenant)
            operator = self._acts.voice(tenant, "operator")
            for state in open_states:
                page = await operator.say("list", operator.operations.list_jobs(state=state, limit=1))
                count += len(page.items)
        return count

    async def _look_at_all(self) -> None:
        """Every job as it ended, page by page: what a reader of the day after sees."""
        for tenant in self.tenants:
            operator, cursor = self._acts.voice(tenant, "operator"), None
            while True:
                page = await operator.say("list", operator.operations.list_jobs(limit=200, cursor=cursor))
                cursor = page.next_cursor
                if cursor is None:
                    break

    def _on_failure(self, _name: str, error: BaseException) -> None:
        self.failures.append(error)


async def _refused_is_fine(work: Coroutine[Any, Any, None]) -> None:
    """What the API says no to is in the history."""
    try:
        await work
    except HoldgateError:
        return


async def _until(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
