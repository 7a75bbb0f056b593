"""Whether a process can do its work: named checks, looked at again and again, shown at once.

What always holds: who asks never waits for what is asked about, because checks run beside, each within a time limit,
and the answer is what they said last; a check that fails, hangs or raises says so under its name; nothing of it holds
a secret.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

import structlog

from holdgate.kernel import metrics
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.tasks import TaskSet

log = structlog.get_logger("holdgate.readiness")

INTERVAL_S = 1.0
AGAIN_S = 0.2
"""Sooner while something is not well: it is waited for."""
LOOK_S_MAX = 1.0
"""A part that takes longer to say that it is there is not there."""
OK = "ok"
NO_ANSWER = "no answer in time"
SLOW_LOOKS = 2
"""In a row, before that is said: under load an answer may be late once, and a process that calls itself not ready then
makes the load of the others larger."""
LOOKING = "checks"
STARTING = "the process starts"
STOPPING = "the process stops"
SAID_CHARS_MAX = 200


class Standing(StrEnum):
    """What a load balancer makes of a process. DEGRADED: something is away, and what needs it not is served."""

    READY = "ready"
    DEGRADED = "degraded"
    NOT_READY = "not_ready"


@dataclass(frozen=True, slots=True)
class Check:
    """`look` gives None when all is well, else what is wrong. `is_needed`: without it the process is of no use."""

    name: str
    look: Callable[[], Awaitable[str | None]]
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """What the checks said last, by name: `ok` or what is wrong."""

    standing: Standing
    checks: dict[str, str]


class Readiness:
    """Of one process; `name` is its kind, as in metrics."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._checks: list[Check] = []
        self._said: dict[str, str] = {}
        self._slow: dict[str, int] = {}
        self._is_started = False
        self._is_stopping = False
        self._tasks = TaskSet(self._failed)

    def add(self, *checks: Check) -> None:
        """Look at these, too, from the next look on."""
        self._checks += checks

    async def start(self) -> None:
        """The process is started: look at once, and then for ever."""
        self._is_started = True
        await self.look()
        self._tasks.start(self._look_always(), "readiness")

    def stopping(self) -> None:
        """The process ends its work: not ready from now on, whatever the checks say."""
        self._is_stopping = True
        self._measure()

    async def stop(self) -> None:
        """Look no more; idempotent."""
        await self._tasks.close()

    async def look(self) -> None:
        """Run every check once, all at the same time."""
        checks = tuple(self._checks)
        said = await asyncio.gather(*(_said(check) for check in checks))
        found = {check.name: self._settled(check.name, text) for check, text in zip(checks, said, strict=True)}
        for name, text in found.items():
            if text != self._said.get(name, OK):
                log.warning("a check changed", action="check_changed", check=name, said=text)
        self._said = found
        self._measure()

    def _settled(self, name: str, text: str) -> str:
        """`text`, but what was said before where there was no answer, until that is so again and again."""
        self._slow[name] = self._slow.get(name, 0) + 1 if text == NO_ANSWER else 0
        return self._said.get(name, OK) if 0 < self._slow[name] < SLOW_LOOKS else text

    def is_known_away(self, name: str) -> bool:
        """Whether what `name` looks at said that it is not well, or is known to be away: more than a late answer."""
        return self._said.get(name, OK) not in (OK, NO_ANSWER)

    def report(self) -> Report:
        """What was found last. Takes no time."""
        if not self._is_started:
            return Report(Standing.NOT_READY, {"process": STARTING})
        wrong = {name for name, text in self._said.items() if text != OK}
        needed = {LOOKING, *(check.name for check in self._checks if check.is_needed)}
        if self._is_stopping:
            return Report(Standing.NOT_READY, {"process": STOPPING, **self._said})
        if wrong & needed:
            return Report(Standing.NOT_READY, dict(self._said))
        return Report(Standing.DEGRADED if wrong else Standing.READY, dict(self._said))

    async def _look_always(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S if self.report().standing is Standing.READY else AGAIN_S)
            await self.look()

    def _measure(self) -> None:
        metrics.READY.labels(self.name).set(0 if self.report().standing is Standing.NOT_READY else 1)
        metrics.LOOKED_AT.labels(self.name).set_to_current_time()
        for name, text in self._said.items():
            metrics.CHECK_FAILING.labels(self.name, name).set(0 if text == OK else 1)

    def _failed(self, name: str, error: BaseException) -> None:
        """Looking itself failed: what was found before is not true for ever. It is said, and tried again."""
        log.error("checks could not be looked at", action="task_failed", task=name, error=type(error).__name__)
        self._said = {LOOKING: f"cannot be looked at: {type(error).__name__}"}
        metrics.READY.labels(self.name).set(0)
        self._tasks.start(self._look_always(), name)


async def _said(check: Check) -> str:
    """What `check` says in its time."""
    try:
        async with asyncio.timeout(LOOK_S_MAX):
            said = await check.look()
    except TimeoutError:
        said = NO_ANSWER
    except HoldgateError as error:
        said = str(error)
    except Exception as error:  # noqa: BLE001  a check that cannot be made has failed, whatever it met
        said = f"cannot be looked at: {type(error).__name__}"
    return (said or OK)[:SAID_CHARS_MAX]
