"""Injects faults step by step, heals them whatever happens, and keeps count."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random  # noqa: TID251  seeded by the schedule

from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import HoldgateError
from holdgate.scheduler.torture.bends import Bends
from holdgate.scheduler.torture.check import Closed, Probed
from holdgate.scheduler.torture.cluster import Cluster, Topology
from holdgate.scheduler.torture.cluster.topology import kind_of
from holdgate.scheduler.torture.faults import CATALOG, CannotBreak, Fault
from holdgate.scheduler.torture.history import Event, History, Kind
from holdgate.scheduler.torture.probe import Probe
from holdgate.scheduler.torture.schedule import Pace, Step

HARNESS = "harness"
INJECT_TIMEOUT_S = 90.0
IDLE = "did nothing"
SPARE = {"kernel": 2, "api": 2, "dispatcher": 2, "output-gate": 2, "worker": 2, "auditor": 1, "nats": 3, "sentinel": 3}
"""How many of a kind there must be so that one may be away; an auditor writes down later what happened meanwhile."""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of a fault: how often, and how long it took until the system worked again, or that it did not.
    `idle`: how often nothing came of it, as far as it could tell. `served_s`, `stopped`: how long it took while it held
    until a job went through, or how often none did; of faults that came alone."""

    fault: str
    times: int
    recovery_s: tuple[float, ...]
    not_recovered: int
    idle: int = 0
    served_s: tuple[float, ...] = ()
    stopped: int = 0


class Breaker:
    """The faults of one torture."""

    def __init__(self, cluster: Cluster, history: History, clock: Clock) -> None:
        self.bends: list[Bends] = []
        self.closed: list[Closed] = []
        self.probed: list[Probed] = []
        self.not_run: dict[str, str] = {}
        self.problems: list[str] = []
        self._cluster = cluster
        self._history = history
        self._clock = clock
        self._times: Counter[str] = Counter()
        self._recovery: defaultdict[str, list[float]] = defaultdict(list)
        self._lasting: Counter[str] = Counter()
        self._idle: Counter[str] = Counter()
        self._served: defaultdict[str, list[float]] = defaultdict(list)
        self._without: Counter[str] = Counter()
        self._number = 0

    @property
    def ended(self) -> Counter[str]:
        """How often each member was ended here."""
        return Counter({name: member.ends for name, member in self._cluster.members.items()})

    async def step(self, step: Step, probe: Probe, pace: Pace) -> str:
        """Inject, hold, heal, wait until it works again; in words."""
        rng = Random(step.seed)  # noqa: S311  a schedule is to be repeatable
        made: list[tuple[int, Fault, str, int]] = []
        tried: list[Fault] = []
        try:
            for name in step.faults:
                fault = CATALOG[name].make()
                tried.append(fault)
                target = await self._inject(fault, rng)
                if target is not None:
                    made.append((self._number, fault, target, self._clock.now_ms()))
            if made:
                await self._hold(step.hold_s, made, probe, pace)
        finally:
            until_ms = self._clock.now_ms()
            # At once: what one took away another's processes may need before they start.
            await asyncio.gather(*map(self._heal, tried))
        if not made:
            return "; ".join(f"{name} not run: {self.not_run.get(name, 'see the end')}" for name in step.faults)
        self._note(made, until_ms)
        shown = ", ".join(f"{fault.name} ({target}; {fault.did or IDLE})" for _, fault, target, _ in made)
        return f"{shown}, {step.hold_s:.1f} s: {await self._recovered(made, probe, pace)}"

    async def _hold(self, hold_s: float, made: list[tuple[int, Fault, str, int]], probe: Probe, pace: Pace) -> None:
        """Let them be; a single one until it is seen whether the service goes on without what it broke."""
        if len(made) > 1:
            await asyncio.sleep(hold_s)
            return
        _, fault, target, _ = made[0]
        must = goes_on(self._cluster.topology, fault.name, target)
        for_s = max(hold_s, pace.noticed_s) if must else hold_s
        seconds, _ = await asyncio.gather(probe.recovered_s(for_s, without=target), asyncio.sleep(hold_s))
        self.probed.append(Probed(f"{fault.name} ({target})", must, seconds, for_s, probe.said))
        if seconds is None:
            self._without[fault.name] += 1
        else:
            self._served[fault.name].append(seconds)

    def times(self, name: str) -> int:
        """How often a fault was injected."""
        return self._times[name]

    def rows(self) -> Iterator[Row]:
        """One for each fault that was injected."""
        for name in CATALOG:
            if self._times[name]:
                recovery_s, idle = tuple(self._recovery[name]), self._idle[name]
                served_s, stopped = tuple(self._served[name]), self._without[name]
                yield Row(name, self._times[name], recovery_s, self._lasting[name], idle, served_s, stopped)

    async def _inject(self, fault: Fault, rng: Random) -> str | None:
        try:
            async with asyncio.timeout(INJECT_TIMEOUT_S):
                target = await fault.inject(self._cluster, rng)
        except CannotBreak as why:
            self.not_run[fault.name] = str(why)
            return None
        except (HoldgateError, OSError, TimeoutError) as error:
            self.problems.append(f"{fault.name} could not be injected: {type(error).__name__}: {error}")
            return None
        self._number += 1
        self._times[fault.name] += 1
        data = {"fault": self._number, "name": fault.name, "target": target}
        self._history.record(Event(self._clock.now_ms(), HARNESS, Kind.FAULT, data))
        return target

    async def _heal(self, fault: Fault) -> None:
        try:
            async with asyncio.timeout(INJECT_TIMEOUT_S):
                await fault.heal()
        except (HoldgateError, CannotBreak, OSError, TimeoutError) as error:
            self.problems.append(f"{fault.name} could not be healed: {type(error).__name__}: {error}")

    def _note(self, made: list[tuple[int, Fault, str, int]], until_ms: int) -> None:
        for number, fault, _, since_ms in made:
            self.bends += fault.bends
            if CATALOG[fault.name].closes:
                self.closed.append(Closed(since_ms, until_ms, fault.name))
            bent = [
                {"bend": str(each.bend), "since_ms": each.since_ms, "until_ms": each.until_ms, "who": each.who}
                for each in fault.bends
            ]
            self._idle[fault.name] += not fault.did
            data = {"fault": number, "name": fault.name, "did": fault.did or IDLE, "bends": bent}
            self._history.record(Event(self._clock.now_ms(), HARNESS, Kind.HEALED, data))

    async def _recovered(self, made: list[tuple[int, Fault, str, int]], probe: Probe, pace: Pace) -> str:
        seconds = await probe.recovered_s(pace.recovery_timeout_s)
        for _, fault, _, _ in made:
            if seconds is None:
                self._lasting[fault.name] += 1
            else:
                self._recovery[fault.name].append(seconds)
        if seconds is None:
            names = ", ".join(fault.name for _, fault, _, _ in made)
            self.problems.append(
                f"{pace.recovery_timeout_s:.0f} s after {names} no job went through every API: {probe.said}"
            )
            return "does not work again"
        return f"works again after {seconds:.1f} s"


def goes_on(topology: Topology, fault: str, target: str) -> bool:
    """Whether the service must, while `target` alone is broken: enough others are there. Nobody stands in for a Redis:
    where each replica confirms, nothing is confirmed without it."""
    if not CATALOG[fault].one:
        return False
    if target not in topology.members():
        return topology.nats >= SPARE["nats"]
    kind = kind_of(target)
    return kind in SPARE and sum(kind_of(name) == kind for name in topology.members()) >= SPARE[kind]
