"""What is told of loading policy: the last problems, events, metrics, and who wants to know. No IO.

What always holds: what goes wrong is in status, in a metric and an event; what may go wrong at every look is told once,
and stays in status as long as it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from holdgate.bundles import metrics
from holdgate.bundles.events import ACCEPTED, DROPPED, REFUSED, Events
from holdgate.kernel.clock import Clock, rfc3339
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.trust import DroppedBundle

log = structlog.get_logger("holdgate.bundles")

MESSAGE_CHARS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Problem:
    """The last thing that went wrong."""

    at_ms: int
    bundle: str
    code: str
    message: str

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return {"at": rfc3339(self.at_ms), "bundle": self.bundle, "code": self.code, "message": self.message}


class Report:
    """Of one kernel. `problem` is the last one with what it decides by, `store_problem` why the store is away."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._callbacks: list[Callable[[], None]] = []
        self._told: dict[str, tuple[object, str]] = {}
        self.events = Events(clock)
        self.problem: Problem | None = None
        self.store_problem: Problem | None = None

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every swap and every event."""
        self._callbacks.append(callback)

    def changed(self) -> None:
        """Tell everybody who wants to know."""
        for callback in self._callbacks:
            callback()

    def accepted(self, name: str, version: int) -> None:
        """A bundle is in force; without a name, a root."""
        self.events.add(ACCEPTED, name, version=version)
        what = "a bundle" if name else "a root"
        log.info(f"{what} is in force", action="policy.reload", bundle=name, version=version)

    def refused(self, name: str, error: HoldgateError) -> None:
        """Something does not hold."""
        self._note(name, error, REFUSED)

    def dropped(self, problems: Mapping[str, HoldgateError], before: Iterable[DroppedBundle]) -> None:
        """Bundles do not hold any more; of those dropped `before` for the same reason was told."""
        known = {(bundle.name, bundle.code) for bundle in before}
        for name, error in problems.items():
            if (name, error.code) not in known:
                self._note(name, error, DROPPED)

    def standing(self, what: str, error: HoldgateError, *, about: object = None) -> None:
        """What may go wrong at every look."""
        if self._told.get(what) != (about, error.code):
            self._told[what] = (about, error.code)
            self.refused("", error)
        self.problem = self._problem_of("", error)

    def over(self, what: str, code: str | None = None) -> None:
        """It does not go wrong any more; a problem of `code` is none then."""
        if self._told.pop(what, None) is not None and self.problem is not None and self.problem.code == code:
            self.problem = None

    def failed(self, error: Exception) -> None:
        """Something that nobody thought of, at a look."""
        self.problem = Problem(self._clock.now_ms(), "", "internal_error", type(error).__name__)
        metrics.RELOADS.labels("rejected").inc()
        metrics.count_refused("internal_error")

    def store_away(self, error: HoldgateError) -> None:
        """The store did not answer; what is in force stays."""
        metrics.RELOADS.labels("unavailable").inc()
        self.store_problem = self._problem_of("", error)
        log.warning("the bundle store is away; the policy in force stays", action="policy.store", error=str(error))

    def _note(self, name: str, error: HoldgateError, kind: str) -> None:
        self.problem = self._problem_of(name, error)
        metrics.count_refused(error.code)
        self.events.add(kind, name, code=error.code, message=str(error))
        log.error("a bundle does not hold", action="policy.reload", bundle=name, kind=kind, code=error.code)
        self.changed()

    def _problem_of(self, name: str, error: HoldgateError) -> Problem:
        return Problem(self._clock.now_ms(), name, error.code, str(error)[:MESSAGE_CHARS_MAX])
