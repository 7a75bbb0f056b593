"""Jobs in every state, in the store and in the log, and what a loss does to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import redis
from nats.aio.client import Client as Nats

from holdgate.kernel.ids import JobId, Tenant
from holdgate.kernel.records import Job, Outcome, Verdict
from holdgate.scheduler.recovery import Drift, RecoveryParts, reconcile
from holdgate.scheduler.recovery.telling import Telling
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.endings import EndingLog, Endings
from holdgate.scheduler.state.entry import Idempotency, Submission
from holdgate.scheduler.state.log import Envelope, JobLog
from holdgate.scheduler.state.transitions import State
from support.invariants import dump
from support.state import TENANT, World, make_admission, make_decision, make_job

DAY_S = 24 * 3600


@dataclass
class Keeper(World):
    """A world whose jobs are in the log, too."""

    nc: Nats = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.log = JobLog(self.nc)
        self.ending_log = EndingLog(self.nc)
        self.telling = Telling(jobs=self.jobs, endings=Endings(self.scripts, "keeper"), ending_log=self.ending_log)

    @property
    def parts(self) -> RecoveryParts:
        """Of a recovery at this world's time."""
        return RecoveryParts(
            self.nc, self.scripts, _Clock(self), retention_s=7 * DAY_S, denied_s=DAY_S, quarantine_keep_s=30 * DAY_S
        )

    async def reconcile(self, *, dry_run: bool = False, is_set_back: bool = False, reads_all: bool = True) -> Drift:
        """One look."""
        return await reconcile(self.parts, dry_run=dry_run, is_set_back=is_set_back, reads_all=reads_all)

    async def let_in(
        self, *, held: bool = False, idempotency: Idempotency | None = None, enqueue: bool = True, **changes: object
    ) -> Job:
        """A job as the api lets it in: in the store, in the log, and taken in from there."""
        job = make_job(self.now_ms, **changes)
        verdict, outcome = (Verdict.REQUIRE_APPROVAL, Outcome.HELD) if held else (Verdict.ALLOW, Outcome.ACCEPTED)
        initial = State.HELD if held else State.SCHEDULED if (job.run_at_ms or 0) > self.now_ms else State.ACCEPTED
        decision, admission = make_decision(job, verdict), make_admission(job, outcome)
        await self.jobs.accept(Submission(job, decision, admission, initial, idempotency), self.now_ms)
        await self.log.publish(Envelope(job, decision, admission, initial, self.now_ms, idempotency=idempotency))
        if enqueue:
            await self.backlog.enqueue(TENANT, [job.job_id], self.now_ms)
        return job

    async def ran(self, to_state: State, **changes: object) -> JobId:
        """A job that ran and ended so; the log was told."""
        job = await self.let_in(**changes)  # type: ignore[arg-type]  # what `make_job` takes
        await self.run(job.job_id, to_state)
        return job.job_id

    async def run(self, job_id: JobId, to_state: State) -> None:
        """Run it, and tell the log how it ended."""
        for picked in await self.pick(100):
            if picked.job.job_id != job_id:
                await self.backlog.put_back(TENANT, [picked], waiting_reason="", delay_ms=0, now_ms=self.now_ms)
                continue
            _, token = await self.start(picked)
            request = self.finish_request(picked, token, to_state, value=b'{"out":1}', logs=("line",))
            if to_state is State.QUARANTINED:
                verdict = {"verdict": "quarantine", "findings": [], "sealed_digest": "sha256:" + "0" * 64}
                request = replace(request, value=None, sealed_ref="sha256:box", verdict=verdict)
            await self.results.finish(TENANT, [request], self.now_ms)
        await self.telling.run_once()

    async def states(self) -> dict[JobId, State]:
        """Of every job that the store has."""
        found = await dump(self.scripts, TENANT)
        return {JobId(job_id): found.state(job_id) for job_id in found.jobs}

    async def everything(self) -> dict[str, bytes]:
        """Every key of the store with all that it holds, but for counters that go by themselves."""
        names = sorted(await self.scripts.command("KEYS", "*"))
        return {name.decode(): await self.scripts.command("DUMP", name) for name in names if b"{epoch-" not in name}

    async def lose(self) -> None:
        """Redis is empty."""
        await self.scripts.command("FLUSHDB")


@dataclass
class Copy:
    """What a store held at a moment, to be set back to."""

    url: str
    keys: dict[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, url: str) -> Copy:
        """As it is now."""
        with redis.Redis.from_url(url) as client:
            names = client.keys("*")
            return cls(url, {name: client.dump(name) for name in names})  # type: ignore[union-attr, misc]  # not async

    def put_back(self) -> None:
        """The store is as it was then."""
        with redis.Redis.from_url(self.url) as client:
            client.flushdb()
            for name, value in self.keys.items():
                client.restore(name, 0, value)


async def connect_anew(scripts: Scripts) -> None:
    """Every connection ends; the next ones meet a server that is not known to be the same."""
    scripts._fleet._serving = dict.fromkeys(scripts._fleet._serving, b"another")
    await scripts.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")


@dataclass
class _Clock:
    world: World

    def now_ms(self) -> int:
        """What the world says."""
        return self.world.now_ms


__all__ = ["Copy", "Keeper", "Scripts", "Tenant"]
