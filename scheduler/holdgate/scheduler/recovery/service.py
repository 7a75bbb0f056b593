"""The keeper of a dispatcher: knows whether the state store is sound, and looks over everything when it is not.

    watch      each second, and as soon as a connection is new: was the store set back, did the log lose messages?
    reconcile  at the start and each hour: everything is looked over, by one dispatcher at a time

What always holds: from the moment on in which the store may be another one until it was looked at, and, where it was
set back, until everything came back, this dispatcher hands nothing over.
"""

from __future__ import annotations

import asyncio
import math
import time
from asyncio import sleep
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import structlog

from holdgate.kernel.ids import JobId, Tenant, new_token
from holdgate.scheduler import metrics
from holdgate.scheduler.errors import LogUnavailable, StateUnavailable
from holdgate.scheduler.recovery.claim import claimed
from holdgate.scheduler.recovery.drift import Drift, Kind
from holdgate.scheduler.recovery.parts import RecoveryParts
from holdgate.scheduler.recovery.reconcile import reconcile
from holdgate.scheduler.recovery.soundness import (
    Epochs,
    extents_of,
    find_whole,
    is_sound,
    knows_started,
    knows_told,
    lost_streams,
    note_extents,
    noted_extents,
    say_kept,
)
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.endings import Ending
from holdgate.scheduler.state.presence import Presences

log = structlog.get_logger(__name__)

SETTLE_TRIES = 8
"""Connections are made when they are used: after a server began anew, one look makes them all."""
LOG_LOOKS = 5
"""The log is looked at with each so many looks at the store."""


OTHERS_LOOK_S = 1.5
"""Within so long every dispatcher looks. What one handed over a moment ago only that one can say to be lost: the others
wait for its word before they hand over to a server that may be another one."""
DOUBT_S = 10.0
"""Between two looks that were made because somebody doubted."""
AUDITED_S = 60.0
"""So long after a loss was made good the auditor may still find its events missing."""
FOUND_SHOWN_S = 600.0
"""What a look found is shown for so long at least: whoever reads metrics comes by a few times a minute."""
COUNT_S = 1.0
"""So often a look asks whether the store was set back meanwhile."""
LOG_AGAIN_S = 0.5
LOG_AWAY_S = 120.0
"""So long a look waits for the log, and goes on where it was."""
DOUBTS_MAX = 10_000
"""Jobs remembered as doubted; those of before are met again."""


@dataclass(slots=True)
class _Standing:
    """What this process knows of the store. `stale`: of the last whole look, when it was noticed that the store was set
    back: a copy may have one, too."""

    is_watched: bool = False
    is_open: bool = True
    was_set_back: bool = False
    stale: str | None = None
    servings: int = -1
    """Of the connections, when the store was last found sound."""
    met: int = -1
    met_s: float = -math.inf
    """Of the connections, when they were last found new."""
    good_s: float = -math.inf
    """When a loss was last made good."""
    looks: int = 0
    has_lost_log: bool = False
    started: dict[tuple[Tenant, JobId], int] = field(default_factory=dict)
    """What was handed over since the store was last found to keep what is written."""
    told: dict[Tenant, Ending] = field(default_factory=dict)


@dataclass(slots=True)
class _Doubts:
    """Jobs of the log that somebody did not find. Looks are numbered in the order in which they began."""

    are_open: bool = False
    looked_s: float = -math.inf
    began: int = 0
    ended: int = 0
    since: dict[tuple[Tenant, JobId], int] = field(default_factory=dict)


@dataclass(slots=True)
class _LookNow:
    """The one that is under way. `log_s`: when the log answered last, `counted_s`: when the store was asked last
    whether it was set back."""

    is_hourly: bool
    log_s: float
    counted_s: float


class Recovery:
    """`watch_once` and `reconcile_once` are duties; `is_open` is asked before each hand-over."""

    def __init__(self, parts: RecoveryParts, told: Callable[[], Mapping[Tenant, Ending]] = dict) -> None:
        """`told`: the newest endings that this dispatcher told the log of since it was asked last."""
        self._parts = replace(parts, pause=self._pause, wait=self._wait_for_log)
        self._told = told
        self._scripts = parts.scripts
        self._epochs = Epochs(parts.scripts)
        self._presences = Presences(parts.scripts, parts.clock)
        self._owner = new_token()
        self._looking = asyncio.Lock()
        self._now = _Standing()
        self._doubts = _Doubts()
        self._look_now = _LookNow(False, -math.inf, -math.inf)
        self._found_s: dict[Kind, float] = {}

    def start(self) -> None:
        """From now on closed until the store was looked at."""
        self._now.is_watched, self._now.is_open = True, False

    def is_open(self) -> bool:
        """Whether the store is known to have all that was told, over the connections of now."""
        if not self._now.is_watched:
            return True  # nobody serves here yet
        return self._now.is_open and self._now.servings == self._scripts.servings

    def note_started(self, tenant: Tenant, job_id: JobId, attempt: int) -> None:
        """It is handed over. No log knows it: this process does."""
        if self._now.is_watched:
            self._now.started[tenant, job_id] = attempt

    def doubt(self, tenant: Tenant, job_id: JobId) -> bool:
        """Somebody met a job of the log that the store does not have; whether a look since then left it so."""
        if len(self._doubts.since) >= DOUBTS_MAX:
            self._doubts.since.clear()
        since = self._doubts.since.get((tenant, job_id))
        if since is None:
            self._doubts.since[tenant, job_id] = self._doubts.began
            self._doubts.are_open = True
            self._now.servings = -1
        elif self._doubts.ended > since:
            del self._doubts.since[tenant, job_id]
            return True
        return False

    async def watch_once(self) -> None:
        """Look whether the store was set back; if so, make it good, unless another dispatcher is at it.

        StateUnavailable, LogUnavailable: closed, where nothing is known.
        """
        for _ in range(SETTLE_TRIES):
            servings = self._scripts.servings
            await self._watch_store(servings)
            if servings == self._scripts.servings:
                break  # else a connection was made meanwhile
        if self.is_open():
            await self._resume_audit()
            await self._watch_log()

    async def _watch_store(self, servings: int) -> None:
        now = self._now
        if await self._went_back(servings):
            await self._note_set_back()
        if now.was_set_back and await self._is_made_good():
            now.was_set_back, now.good_s = False, time.monotonic()
        has_doubt = self._doubts.are_open and time.monotonic() - self._doubts.looked_s >= DOUBT_S
        if now.was_set_back or has_doubt or await find_whole(self._scripts) is None:
            self._close()
            if not await self._look(is_set_back=now.was_set_back):
                return
            if servings != self._scripts.servings:
                await self._note_set_back()  # what the look put back may be gone again
                return
            now.was_set_back, now.good_s = False, time.monotonic()
        if not await self._waits_for_others(servings):
            self._open(servings)

    async def _note_set_back(self) -> None:
        found = await find_whole(self._scripts)
        self._now.was_set_back, self._now.stale = True, None if found is None else found.token

    async def _went_back(self, servings: int) -> bool:
        """Whether the store lacks something that was told, or handed over. What was handed over before the count is
        lost only together with it."""
        now = self._now
        started, now.started = now.started, {}
        now.told.update(self._told())
        is_over = False
        try:
            went_back = await self._epochs.count() or not await knows_told(self._parts, now.told)
            now.told = {}
            if not went_back and now.servings != servings:
                went_back = not (await knows_started(self._parts, started) and await is_sound(self._parts))
            is_over = went_back or servings == self._scripts.servings
            return went_back
        finally:
            if not is_over:  # not known yet, or asked of a server that may be another one by now
                now.started = {**started, **now.started}

    async def _is_made_good(self) -> bool:
        """Whether a look began since that took the store for one that was set back, and came to its end."""
        found = await find_whole(self._scripts)
        is_new = found is not None and found.after_loss and found.token != self._now.stale
        return is_new and await is_sound(self._parts)

    async def _waits_for_others(self, servings: int) -> bool:
        """Whether another dispatcher may know of something that is lost, and did not look yet."""
        now = self._now
        if now.met != servings:
            now.met, now.met_s = servings, -math.inf if now.met < 0 else time.monotonic()
        if time.monotonic() - now.met_s >= OTHERS_LOOK_S:
            return False
        return len(await self._presences.there("dispatcher")) > 1

    async def reconcile_once(self) -> None:
        """Look over what came since the last look, or everything, unless another dispatcher is at it."""
        await self._look(is_set_back=False, is_hourly=True)

    async def _pause(self, took_s: float) -> None:
        """Half of the time is for those who hand over, while anybody does. StateUnavailable where the store is not the
        one any more that the look began with: it is looked at from the beginning."""
        self._look_now.log_s = time.monotonic()
        await self._check_store()
        if self.is_open():
            await sleep(took_s)

    async def _wait_for_log(self, error: LogUnavailable) -> None:
        """A look goes on where it was, for what it put back is there: or it ends, for all that."""
        if time.monotonic() - self._look_now.log_s > LOG_AWAY_S:
            raise error
        await sleep(LOG_AGAIN_S)
        await self._check_store()

    async def _check_store(self) -> None:
        look = self._look_now
        if look.is_hourly and (self._now.was_set_back or self._doubts.are_open):
            raise StateUnavailable("a look ends for one that hand-over waits for")
        if time.monotonic() - look.counted_s < COUNT_S:
            return
        look.counted_s = time.monotonic()
        if await self._epochs.count():
            await self._note_set_back()
            raise StateUnavailable("the state store was set back during a look")

    async def _resume_audit(self) -> None:
        """What the auditor asks for, who knows which events were archived: also of a store that was set back while no
        dispatcher was there to see it."""
        trail = AuditTrail(self._scripts)
        behind = await trail.set_back()
        if behind and time.monotonic() - self._now.good_s > AUDITED_S:
            await self._note_set_back()
            self._close()
        for tenant, (archived, first) in behind.items():
            await trail.renumber(tenant, archived, first, self._parts.clock.now_ms())

    async def _watch_log(self) -> None:
        self._now.looks += 1
        if self._now.looks % LOG_LOOKS != 1 and not self._now.has_lost_log:
            return
        await say_kept(self._parts)
        noted = await noted_extents(self._scripts)
        extents = await extents_of(self._parts)
        self._now.has_lost_log = bool(lost_streams(noted, extents))
        if self._now.has_lost_log:
            self._now.has_lost_log = not await self._look(is_set_back=False)
        elif noted:
            await note_extents(self._scripts, extents)

    async def _look(self, *, is_set_back: bool, is_hourly: bool = False) -> bool:
        """Whether a look came to its end; False where another dispatcher is at it."""
        waited = self._looking.locked()
        async with self._looking:
            if (
                waited
                and not self._doubts.are_open
                and (await self._is_made_good() if is_set_back else await find_whole(self._scripts) is not None)
            ):
                return True  # the other duty of this dispatcher has just done it
            async with claimed(self._scripts, self._owner) as has_claim:
                if not has_claim:
                    return False
                self._look_now = _LookNow(is_hourly, time.monotonic(), time.monotonic())
                reads_all = not is_hourly or self._doubts.are_open
                look = reconcile(self._parts, dry_run=False, is_set_back=is_set_back, reads_all=reads_all)
                drift = await self._numbered(look)
        tell_metrics(drift, self._parts.clock.now_ms(), self._found_s, time.monotonic())
        return True

    async def _numbered(self, look: Awaitable[Drift]) -> Drift:
        """A look, and which doubts it settles: those from before it began. Where there are any it reads everything."""
        doubts = self._doubts
        doubts.began += 1
        number, had_doubts, doubts.are_open = doubts.began, doubts.are_open, False
        try:
            drift = await look
        except BaseException:
            doubts.are_open |= had_doubts
            raise
        doubts.ended, doubts.looked_s = number, time.monotonic()
        return drift

    def _close(self) -> None:
        if self._now.is_open:
            log.critical("nothing is handed over: the state store may lack what was told", action="recovery_closed")
        self._now.is_open = False
        metrics.STATE_SET_BACK.set(1)

    def _open(self, servings: int) -> None:
        if not self._now.is_open:
            log.info("the state store is whole", action="recovery_open")
        self._now.is_open, self._now.servings = True, servings
        metrics.STATE_SET_BACK.set(0)


def tell_metrics(drift: Drift, now_ms: int, found_s: dict[Kind, float], now_s: float) -> None:
    """What the last look found, for alerts. `found_s`: when a kind was last found; it is shown for a while, also where
    the next look comes at once and finds nothing."""
    for kind in Kind:
        if drift.counts[kind]:
            found_s[kind] = now_s
        elif now_s - found_s.get(kind, -math.inf) < FOUND_SHOWN_S:
            continue
        metrics.RECONCILE_DRIFT.labels(str(kind)).set(drift.counts[kind])
    metrics.RECONCILE_LAST.set(now_ms / 1000)
    metrics.RECONCILE_SECONDS.set(drift.took_s)
    metrics.INTAKE_RESTORED.inc(drift.counts[Kind.MISSING] + drift.counts[Kind.MISSING_ENDED])
