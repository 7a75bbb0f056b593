"""The auditor: moves audit events from Redis into the archive, seals them, and only then lets Redis forget them.

What always holds: an event leaves the stream only when it is under a signed seal on disk, and the newest `keep_events`
of a tenant not even then, so that recent ones can be queried; a gap in the stream stops that tenant's archive, loudly,
rather than being sealed over; one auditor writes to a directory. Killed at any moment it goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import structlog

from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ids import NAME, Tenant
from holdgate.kernel.permits import Signer
from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler import metrics
from holdgate.scheduler.audit.archive import DIRECTORY_MODE, FILE_MODE, TenantArchive
from holdgate.scheduler.audit.errors import ArchiveBroken, ArchiveInUse
from holdgate.scheduler.audit.records import declares_gap, is_renumbered
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.jobs import Jobs

log = structlog.get_logger(__name__)

BATCH = 512
BATCHES_MAX = 64
"""Of one tenant in one run: the others wait for it."""
LOCK_FILE = ".lock"
RUN_END_S = 2.0
"""For the tenant whose events are being archived at a stop."""


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """When a segment is sealed (by age or number of events), how often to look, and what stays in Redis."""

    seal_after_s: float = 60.0
    seal_events: int = 10_000
    interval_s: float = 0.5
    keep_events: int = 100_000


class AuditorService:
    """`run_once` archives what is new of every tenant, seals what is due and trims what is sealed."""

    def __init__(
        self,
        scripts: Scripts,
        directory: Path,
        signer: Signer,
        *,
        clock: Clock,
        config: AuditConfig | None = None,
        on_failure: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        self._scripts = scripts
        self._jobs = Jobs(scripts)
        self._trail = AuditTrail(scripts)
        self._directory = directory
        self._signer = signer
        self._clock = clock
        self._config = config or AuditConfig()
        self._archives: dict[Tenant, TenantArchive] = {}
        self._servings: dict[Tenant, int] = {}
        """Of the connections, when a tenant was last compared."""
        self._tasks = TaskSet(on_failure or _ended)
        self._lock: int | None = None
        self._ending = asyncio.Event()

    async def start(self) -> None:
        """Take the directory and begin; ArchiveInUse when another auditor has it."""
        self.open()
        self._ending.clear()
        self._tasks.start(self._run(), "auditor")

    async def stop(self) -> None:
        """End the run under way; what is not sealed yet is sealed by the next auditor. Idempotent.

        The directory is let go of only behind that: a thread may still write there.
        """
        self._ending.set()
        await self._tasks.drain(RUN_END_S)
        self.close()

    def open(self) -> None:
        """Take the directory; ArchiveInUse."""
        self._directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        lock = os.open(self._directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise ArchiveInUse(f"another auditor writes to `{self._directory}`") from error
        self._lock = lock

    def close(self) -> None:
        """Let go of the directory; idempotent."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)
        self._archives.clear()

    async def run_once(self) -> int:
        """How many events were archived. A tenant that fails does not keep the others waiting."""
        archived, lag = 0, 0
        for tenant in await self._jobs.tenants():
            if self._ending.is_set():
                break
            if NAME.match(tenant) is None:
                raise ArchiveBroken("a tenant's name cannot be a directory")
            try:
                archived += await self._archive(tenant)
                lag += await self._trail.last_seq(tenant) - self._archives[tenant].next_seq + 1
            except (HoldgateError, OSError) as error:
                code = error.code if isinstance(error, HoldgateError) else "os_error"
                metrics.AUDIT_FAILURES.labels(code if code in metrics.AUDIT_REASONS else "os_error").inc()
                # Its files may be half written: read them back before the next try.
                self._archives.pop(tenant, None)
                log.critical("audit events are not archived", action="audit_failed", tenant=tenant, code=code,
                             error=str(error))  # fmt: skip
        metrics.AUDIT_LAG.set(lag)
        return archived

    async def _run(self) -> None:
        while not self._ending.is_set():
            try:
                await self.run_once()
            except HoldgateError as error:
                metrics.AUDIT_FAILURES.labels("state_unavailable").inc()
                log.warning("audit events cannot be read", action="audit_failed", code=error.code)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._config.interval_s):
                    await self._ending.wait()

    async def _archive(self, tenant: Tenant) -> int:
        archive = self._archives.get(tenant)
        if archive is None:
            archive = self._archives[tenant] = await asyncio.to_thread(TenantArchive, self._directory, tenant)
        archived = 0
        for _ in range(BATCHES_MAX):
            # What a failover could still forget, nobody was told of: in the archive it would stand for good.
            events = await self._trail.read(tenant, archive.next_seq - 1, BATCH)
            if (events or archived == 0) and await self._was_set_back(tenant, archive, has_new=bool(events)):
                break
            records = [event.as_dict() for event in events]
            if records and records[0]["seq"] > archive.next_seq and declares_gap(records[0]):
                await self._seal(tenant, archive)
                archive.resume(records[0])
                _tell_gap(tenant, records[0])
            archived += await asyncio.to_thread(archive.append, _until_gap(records))
            if self._is_due(archive):
                await self._seal(tenant, archive)
            if len(events) < BATCH and archive.next_seq > (events[-1].seq if events else 0):
                break
        metrics.AUDIT_ARCHIVED.inc(archived)
        return archived

    async def _was_set_back(self, tenant: Tenant, archive: TenantArchive, *, has_new: bool) -> bool:
        """Whether the state store is older than the archive: then a dispatcher is asked to go on behind it.

        Events that it wrote since under numbers that are taken get new ones: nothing of either time is left out.
        """
        last, servings = archive.next_seq - 1, self._scripts.servings
        is_new, self._servings[tenant] = self._servings.get(tenant) != servings, servings
        if last < 1 or (not has_new and not is_new and await self._trail.last_seq(tenant) >= last):
            return False
        newest = await self._trail.read_back(tenant, archive.next_seq, 1)
        if not newest and has_new:
            return False  # trimmed
        if newest and newest[0].seq == last and archive.has(newest[0].as_dict()):
            return False
        first = await self._first_foreign(tenant, archive)
        if has_new and first > last:
            return False  # a dispatcher has said so already: the event that comes next does
        await self._trail.say_set_back(tenant, last, first)
        log.critical("the state store is older than the audit archive", action="audit_set_back", tenant=tenant,
                     archived=last, first=first)  # fmt: skip
        return True

    async def _first_foreign(self, tenant: Tenant, archive: TenantArchive) -> int:
        """The first number up to the archive's last under which the store has another event; behind them without."""
        first = before = archive.next_seq
        while page := await self._trail.read_back(tenant, before, BATCH):
            for event in page:
                if archive.has(event.as_dict()):
                    return first
                first = event.seq
            before = page[-1].seq
        return first

    def _is_due(self, archive: TenantArchive) -> bool:
        if archive.open_since_ms is None:
            return False
        age_ms = self._clock.now_ms() - archive.open_since_ms
        return archive.open_count >= self._config.seal_events or age_ms >= self._config.seal_after_s * 1000

    async def _seal(self, tenant: Tenant, archive: TenantArchive) -> None:
        seal = await asyncio.to_thread(archive.seal, self._signer, self._clock.now_ms())
        if seal is None:
            return
        metrics.AUDIT_SEALED.inc()
        log.info("audit segment sealed", action="audit_sealed", tenant=tenant, first_seq=seal.first_seq,
                 last_seq=seal.last_seq, head=archive.head)  # fmt: skip
        await self._trail.trim(tenant, seal.last_seq - self._config.keep_events)


def _tell_gap(tenant: Tenant, record: dict[str, Any]) -> None:
    """What `record` says of the numbers before it."""
    if is_renumbered(record):
        log.warning("audit events have new numbers: the state store was set back", action="audit_renumbered",
                    tenant=tenant, count=record["renumbered"])  # fmt: skip
        return
    metrics.AUDIT_FAILURES.labels("audit_declared_gap").inc()
    log.critical("audit events are missing for good: the state store was lost", action="audit_declared_gap",
                 tenant=tenant, before=record["seq"])  # fmt: skip


def _until_gap(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those before the first that says that some are missing before it: a segment begins with such a one."""
    for at, (before, record) in enumerate(pairwise(records), start=1):
        if record["seq"] != before["seq"] + 1 and declares_gap(record):
            return records[:at]
    return records


def _ended(name: str, error: BaseException) -> None:
    metrics.AUDIT_FAILURES.labels("os_error").inc()
    log.critical("the auditor ended", action="duty_ended", duty=name, error=repr(error))
