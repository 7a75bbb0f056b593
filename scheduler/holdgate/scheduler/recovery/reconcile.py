"""One look over both records, and what is missing in one put back from the other.

    is the state store set back?    then everybody is told to hand nothing over, and numbers of attempts are left out
    what came since the last look   is it all known? then that is all of the log that is read (see covered)
    endings, jobs                   what the store lost comes back (see rebuild)
    indexes                         what lies in no place is put there (see walk)
    streams                         what the log lost is put there again
    whole                           hand-over may go on

What always holds: any number may look at once, and one that is killed leaves nothing that the next one does not find.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from holdgate.kernel import subjects
from holdgate.kernel.ids import Tenant, new_token
from holdgate.scheduler.errors import LogUnavailable, StateUnavailable
from holdgate.scheduler.recovery.covered import (
    Covered,
    find_covered,
    forget_covered,
    left_to_read,
    mark_begun,
    note_covered,
)
from holdgate.scheduler.recovery.drift import Drift
from holdgate.scheduler.recovery.parts import RecoveryParts
from holdgate.scheduler.recovery.reading import Extent
from holdgate.scheduler.recovery.rebuild import Rebuild
from holdgate.scheduler.recovery.soundness import (
    Whole,
    extents_of,
    is_marked_closed,
    is_restored,
    is_sound,
    lost_streams,
    mark_closed,
    note_extents,
    note_left_out,
    noted_extents,
    say_set_back,
    say_whole,
)
from holdgate.scheduler.recovery.telling import Telling
from holdgate.scheduler.recovery.walk import Walk
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.endings import EndingLog, Endings
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.log import JobLog
from holdgate.scheduler.state.restoring import Restoring
from holdgate.scheduler.state.transitions import TERMINAL, State

log = structlog.get_logger(__name__)

TOLD_WITHIN_S = 60.0
TOLD_LOOK_S = 0.1


async def reconcile(parts: RecoveryParts, *, dry_run: bool, is_set_back: bool = False, reads_all: bool = True) -> Drift:
    """Look at everything; put right what is not, unless `dry_run`. StateUnavailable, LogUnavailable: look again later.

    `is_set_back`: somebody knows already that the store is older than it was. `reads_all`: also what an earlier look
    read of the log; otherwise only where nobody can say that the store still has it.
    """
    started_s = time.monotonic()
    job_log, ending_log = JobLog(parts.nc), EndingLog(parts.nc)
    try:
        drift = await _Look(parts, job_log, ending_log, dry_run=dry_run).run(
            is_set_back=is_set_back, reads_all=reads_all
        )
    finally:
        await job_log.close()
        await ending_log.close()
    drift.took_s = time.monotonic() - started_s
    return drift


class _Look:
    """One run."""

    def __init__(self, parts: RecoveryParts, job_log: JobLog, ending_log: EndingLog, *, dry_run: bool) -> None:
        self._parts = parts
        self._scripts = parts.scripts
        self._jobs = Jobs(parts.scripts)
        self._ending_log = ending_log
        self._mends = not dry_run
        self._token = new_token()
        self._drift = Drift(mended=self._mends)
        self._rebuild = Rebuild(parts, self._drift, ending_log)
        self._walk = Walk(parts, self._drift, job_log)

    async def run(self, *, is_set_back: bool, reads_all: bool) -> Drift:
        began_ms = self._parts.clock.now_ms()
        noted = await noted_extents(self._scripts)
        extents = await extents_of(self._parts)
        lost = lost_streams(noted, extents)
        is_doubtful = is_set_back or await is_restored(self._scripts)
        self._drift.was_lost = is_doubtful or not await is_sound(self._parts)
        if self._drift.was_lost and self._mends:
            await self._close()
        covered = None if reads_all or lost or self._drift.was_lost else await find_covered(self._parts)
        if self._mends:
            await mark_begun(self._parts, self._token)
        self._drift.read_all = covered is None or not await self._knows_rest(covered, extents)
        if self._drift.read_all:
            await self._read_all(extents)
        tenants = sorted({*await self._jobs.tenants(), *self._rebuild.last_seqs})
        for done, tenant in enumerate(tenants):
            self._parts.on_progress("tenants", done, len(tenants))
            await self._walk.mend(tenant)
        await self._mend_log(tenants, lost, extents)
        if self._mends:
            await self._tell(tenants)
            if self._drift.was_lost:
                await asyncio.sleep(self._parts.results_wait_s)
            await self._check_log(extents)
            await note_extents(self._scripts, extents)
            await note_left_out(self._parts, extents)
            if self._drift.was_lost and not await is_marked_closed(self._scripts, self._token):
                raise StateUnavailable("the state store was set back again while it was made good")
            await say_whole(self._scripts, Whole(self._token, began_ms, self._drift.was_lost))
            if not self._drift.mendable:  # what was put back may be lost again
                read_all_ms = began_ms if covered is None or self._drift.read_all else covered.read_all_ms
                await note_covered(self._parts, Covered.of(self._token, read_all_ms, extents))
        return self._drift

    async def _check_log(self, extents: dict[str, Extent]) -> None:
        """What was read is of the streams that are there now: somebody may have made them anew meanwhile."""
        were = {name: (extent.last, extent.created) for name, extent in extents.items()}
        if lost_streams(were, await extents_of(self._parts)):
            raise LogUnavailable("the log was lost while it was read")

    async def _knows_rest(self, covered: Covered, extents: dict[str, Extent]) -> bool:
        """Whether the store knows what came into the log since. Nothing is written: whoever finds something missing
        reads everything."""
        rest = await left_to_read(self._parts, covered, extents)
        if rest is None:
            return False
        found = Drift(mended=False)
        rebuild = Rebuild(self._parts, found, self._ending_log, covered.read_all_ms)
        await rebuild.read_endings(rest[subjects.STREAM_ENDED])
        if rebuild.misses_ends:
            return False
        await rebuild.read_jobs(rest[subjects.STREAM_JOBS])
        if found.mendable:
            return False
        self._drift.add(found)
        return True

    async def _read_all(self, extents: dict[str, Extent]) -> None:
        """Bring back what is in the log and not in the store."""
        if self._mends:
            await forget_covered(self._parts)
        await self._rebuild.read_endings(extents[subjects.STREAM_ENDED])
        if self._mends:
            await self._resume_audit()
        await self._rebuild.read_jobs(extents[subjects.STREAM_JOBS])
        await self._rebuild.settle_rest(sorted({*await self._jobs.tenants(), *self._rebuild.last_seqs}))
        if self._rebuild.returned and not self._drift.was_lost:
            self._drift.was_lost = True  # not the newest was lost, and so was what nobody tells of: starts, votes
            await self._close()

    async def _close(self) -> None:
        """Nobody hands over any more; attempts that the store does not know of may have run."""
        log.critical("the state store is older than the log: nothing is handed over until it is made good",
                     action="state_set_back")  # fmt: skip
        await say_set_back(self._scripts)
        for tenant in await self._jobs.tenants():
            await self._walk.skip_attempts(tenant)
        await mark_closed(self._scripts, self._token)

    async def _resume_audit(self) -> None:
        """No number of an event is given out again that the log knows."""
        restoring, now_ms = Restoring(self._scripts), self._parts.clock.now_ms()
        for tenant, last in self._rebuild.last_seqs.items():
            if await restoring.resume_seq(tenant, last, now_ms):
                log.critical("audit events are missing here", action="audit_resumed", tenant=tenant, after=last)

    async def _mend_log(self, tenants: Sequence[Tenant], lost: set[str], extents: dict[str, Extent]) -> None:
        """Put into the log again what it lost. Ends before jobs: a job that ended must not be there without its end."""
        waiting = [state for state in State if state not in TERMINAL]
        lacks_endings = subjects.STREAM_ENDED in lost
        if lost:
            log.critical("the log lost messages: they are published again", action="log_lost", streams=sorted(lost))
        if lost or (self._drift.read_all and not self._rebuild.has_baseline):
            for tenant in tenants:
                await self._walk.enlist(tenant, counts=lacks_endings)
            if self._mends:
                await self._tell_endings()
                await self._rebuild.mark_baseline()
        elif (
            self._mends
            and self._drift.read_all
            and self._rebuild.is_baseline_old(extents[subjects.STREAM_ENDED].max_age_s)
        ):
            await self._rebuild.mark_baseline()
        for tenant in tenants:
            if subjects.STREAM_JOBS in lost:
                await self._walk.relog(tenant, waiting)
                await self._walk.relog(tenant, TERMINAL)
            else:
                await self._walk.relog_old(tenant, extents[subjects.STREAM_JOBS].max_age_s)

    async def _tell_endings(self) -> None:
        """Until the log was told of all; a dispatcher may be at it. LogUnavailable when that takes too long."""
        endings = Endings(self._scripts, new_token())
        telling = Telling(jobs=self._jobs, endings=endings, ending_log=self._ending_log)
        deadline_s = time.monotonic() + TOLD_WITHIN_S
        while await endings.waiting(await self._jobs.tenants()):
            told = await telling.run_once()
            if time.monotonic() > deadline_s:
                raise LogUnavailable("the log was not told of all endings in time")
            if not told:
                await asyncio.sleep(TOLD_LOOK_S)

    async def _tell(self, tenants: Sequence[Tenant]) -> None:
        """What came back, in the audit trail of each tenant and in the log."""
        trail, now_ms = AuditTrail(self._scripts), self._parts.clock.now_ms()
        for tenant in tenants:
            jobs = self._rebuild.returned[tenant]
            if jobs:
                details = {"jobs": jobs, "last_seq": self._rebuild.last_seqs.get(tenant, 0)}
                await trail.append(tenant, "state.restored", details, now_ms)
        if self._drift.total:
            log.critical(
                "the state store and the log were apart", action="reconciled", **self._drift.as_dict()["drift"]
            )
