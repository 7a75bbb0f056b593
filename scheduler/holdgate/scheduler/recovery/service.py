"""The keeper of a dispatcher: knows whether the state store is sound, and looks over everything when it is not.

    watch      each second, and as soon as a connection is new: was the store set back, did the log lose messages?
    reconcile  at the start and each hour: everything is looked over, by one dispatcher at a time

What always holds: from the moment on in which the store may be another one until it was looked at, and, where it was
set back, until everything came back, this dispatcher hands nothing over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import structlog

from holdgate.kernel.ids import Tenant, new_token
from holdgate.scheduler import metrics
from holdgate.scheduler.recovery.drift import Drift, Kind
from holdgate.scheduler.recovery.parts import RecoveryParts
from holdgate.scheduler.recovery.reconcile import reconcile
from holdgate.scheduler.recovery.soundness import (
    Epochs,
    extents_of,
    is_sound,
    knows_told,
    lost_streams,
    note_extents,
    noted_extents,
    say_kept,
    whole_ms,
)
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.connection import INDEX
from holdgate.scheduler.state.endings import Ending

log = structlog.get_logger(__name__)

CLAIM = f"{INDEX}:reconciling"
CLAIM_MS = 15_000
CLAIM_RENEW_S = 5.0
SETTLE_TRIES = 8
"""Connections are made when they are used: after a server began anew, one look makes them all."""
LOG_LOOKS = 5
"""The log is looked at with each so many looks at the store."""


@dataclass(slots=True)
class _Standing:
    """What this process knows of the store."""

    is_watched: bool = False
    is_open: bool = True
    was_set_back: bool = False
    servings: int = -1
    """Of the connections, when the store was last found sound."""
    sound_ms: int = 0
    looks: int = 0
    has_lost_log: bool = False


class Recovery:
    """`watch_once` and `reconcile_once` are duties; `is_open` is asked before each hand-over."""

    def __init__(self, parts: RecoveryParts, told: Callable[[], Mapping[Tenant, Ending]] = dict) -> None:
        """`told`: the newest endings that this dispatcher told the log of since it was asked last."""
        self._parts = parts
        self._told = told
        self._scripts = parts.scripts
        self._epochs = Epochs(parts.scripts)
        self._owner = new_token()
        self._looking = asyncio.Lock()
        self._now = _Standing()

    def start(self) -> None:
        """From now on closed until the store was looked at."""
        self._now.is_watched, self._now.is_open = True, False

    def is_open(self) -> bool:
        """Whether the store is known to have all that was told, over the connections of now."""
        if not self._now.is_watched:
            return True  # nobody serves here yet
        return self._now.is_open and self._now.servings == self._scripts.servings

    def doubt(self) -> None:
        """Somebody met a job of the log that the store does not have."""
        self._now.servings = -1

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
        if await self._epochs.count() or not await knows_told(self._parts, self._told()):
            now.was_set_back = True
        if now.servings != servings and not now.was_set_back:
            now.was_set_back = not await is_sound(self._parts)
        whole = await whole_ms(self._scripts)
        if now.was_set_back and whole is not None and whole > now.sound_ms and await is_sound(self._parts):
            now.was_set_back = False  # another dispatcher has made it good since
        if now.was_set_back or whole is None:
            self._close()
            if not await self._look(is_set_back=now.was_set_back):
                return
            now.was_set_back = False
        self._open(servings)

    async def reconcile_once(self) -> None:
        """Look over everything, unless another dispatcher is at it."""
        await self._look(is_set_back=False)

    async def _resume_audit(self) -> None:
        """What the auditor asks for, who knows which events were archived."""
        trail = AuditTrail(self._scripts)
        for tenant, (archived, first) in (await trail.set_back()).items():
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

    async def _look(self, *, is_set_back: bool) -> bool:
        """Whether a look came to its end; False where another dispatcher is at it."""
        waited = self._looking.locked()
        async with self._looking:
            if waited and not is_set_back and await whole_ms(self._scripts) is not None:
                return True  # the other duty of this dispatcher has just done it
            async with self._claimed() as has_claim:
                if not has_claim:
                    return False
                drift = await reconcile(self._parts, dry_run=False, is_set_back=is_set_back)
        tell_metrics(drift, self._parts.clock.now_ms())
        return True

    @contextlib.asynccontextmanager
    async def _claimed(self) -> AsyncIterator[bool]:
        """One dispatcher at a time: several would do no harm, only the same work."""
        taken = await self._scripts.command("SET", CLAIM, self._owner, "PX", CLAIM_MS, "NX")
        if taken is None:
            yield False
            return
        async with asyncio.TaskGroup() as tasks:
            renewing = tasks.create_task(self._renew())
            try:
                yield True
            finally:
                renewing.cancel()
        await self._scripts.command("DEL", CLAIM)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(CLAIM_RENEW_S)
            await self._scripts.command("SET", CLAIM, self._owner, "PX", CLAIM_MS)

    def _close(self) -> None:
        if self._now.is_open:
            log.critical("nothing is handed over: the state store may lack what was told", action="recovery_closed")
        self._now.is_open = False
        metrics.STATE_SET_BACK.set(1)

    def _open(self, servings: int) -> None:
        if not self._now.is_open:
            log.info("the state store is whole", action="recovery_open")
        self._now.is_open, self._now.servings = True, servings
        self._now.sound_ms = self._parts.clock.now_ms()
        metrics.STATE_SET_BACK.set(0)


def tell_metrics(drift: Drift, now_ms: int) -> None:
    """What the last look found, for alerts."""
    for kind in Kind:
        metrics.RECONCILE_DRIFT.labels(str(kind)).set(drift.counts[kind])
    metrics.RECONCILE_LAST.set(now_ms / 1000)
    metrics.RECONCILE_SECONDS.set(drift.took_s)
    metrics.INTAKE_RESTORED.inc(drift.counts[Kind.MISSING] + drift.counts[Kind.MISSING_ENDED])
