"""What many waiting jobs cost: others' submits and their way to a worker, with a few and with very many ready jobs.

Run alone: `python -m bench.queue [jobs]`, 100,000 by default and a million if wanted (4 GB, some minutes). A Redis of
its own on loopback, strict. The jobs are copies of one, made inside Redis, so they have no admission that a kernel
would take: turns, picks and starts are those of the dispatcher, without the kernel and the network.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from bench.decision import NOW_MS, example_job
from bench.replay import own_redis
from holdgate.kernel.ids import JobId, PermitId, Tenant, WorkerId, new_job_id, new_token
from holdgate.kernel.links import Signed
from holdgate.kernel.records import Decision, Job, Phase, Verdict
from holdgate.scheduler.dispatch.fairness import FairShare
from holdgate.scheduler.state.backlog import Backlog, Picked, StartRequest
from holdgate.scheduler.state.connection import Scripts, connect_redis, key
from holdgate.scheduler.state.entry import StateLimits, Submission
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.transitions import State

MANY, FEW = 100_000, 100
COPIES_AT_ONCE = 2_000
SUBMITS = 1_000
ASKS, ASKED = 4, 8
"""Asks under way, and jobs of each."""
PAUSE_S = 0.002
LARGE, SMALL = Tenant("large"), Tenant("small")
POOL = "default"
COPY = """
local P, from, n, now, id = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local job, timeline = redis.call('HGETALL', P .. ':job:' .. id), redis.call('LRANGE', P .. ':timeline:' .. id, 0, -1)
for i = from, from + n - 1 do
  local copy = string.format('job_01900000-0000-7000-8000-%012x', i)
  redis.call('HSET', P .. ':job:' .. copy, unpack(job))
  redis.call('RPUSH', P .. ':timeline:' .. copy, unpack(timeline))
  redis.call('ZADD', P .. ':state:queued', 0, copy)
  redis.call('ZADD', P .. ':backlog:default', now, copy)
end
"""


@dataclass
class Queue:
    """The state, and the turns of one pool."""

    scripts: Scripts
    jobs: Jobs
    backlog: Backlog
    fair: FairShare = field(default_factory=FairShare)

    async def submit(self, tenant: Tenant, job_id: JobId | None = None) -> Job:
        """One ready job."""
        job = replace(example_job(), tenant=tenant, job_id=job_id or new_job_id(NOW_MS), pool=POOL)
        decision = Decision(
            verdict=Verdict.ALLOW,
            reason="",
            snapshot=job.payload_digest,
            job_hash=job.job_hash(),
            phase=Phase.SUBMIT,
            decided_ms=NOW_MS,
        )
        await self.jobs.accept(Submission(job, decision, Signed(b"", "", b""), State.ACCEPTED), NOW_MS)
        await self.backlog.enqueue(tenant, [job.job_id], NOW_MS)
        return job

    async def copy(self, tenant: Tenant, count: int) -> None:
        """So many more, as one that was submitted."""
        job = await self.submit(tenant)
        for first in range(0, count, COPIES_AT_ONCE):
            number = min(COPIES_AT_ONCE, count - first)
            await self.scripts.command("EVAL", COPY, 1, key(tenant), first, number, NOW_MS, job.job_id)

    async def hand_over(self, started: Callable[[Job], None]) -> None:
        """One ask: turns as in the dispatcher. Of the large tenant all go back, so that it has as many as before."""
        shares = self.fair.allot((LARGE, SMALL), ASKED)
        taken = await asyncio.gather(*(self._pick(Tenant(tenant), share) for tenant, share in shares.items()))
        for (tenant, share), picked in zip(shares.items(), taken, strict=True):
            if len(picked) < share:
                self.fair.ran_dry(tenant)
            if tenant == LARGE:
                await self.backlog.put_back(LARGE, picked, waiting_reason="", delay_ms=0, now_ms=NOW_MS)
            else:
                await self.backlog.start(SMALL, [_start(item) for item in picked], NOW_MS)
                for item in picked:
                    started(item.job)

    async def _pick(self, tenant: Tenant, n: int) -> list[Picked]:
        return await self.backlog.pick(tenant, POOL, n, in_flight_max=10**6, now_ms=NOW_MS)


def measure(many: int = MANY) -> dict[str, Any]:
    """With FEW and with `many` ready jobs of the large tenant, p50 and p99: `submit_ms` of its own next jobs,
    `start_ms` of the small tenant's jobs, from their submit to their start; and the memory of one ready job."""
    return asyncio.run(_measure(many))


async def _measure(many: int) -> dict[str, Any]:
    with own_redis() as url:
        scripts = await connect_redis(url, timeout_s=60)
        queue = Queue(scripts, Jobs(scripts, StateLimits(queue_max=0)), Backlog(scripts))
        try:
            await queue.copy(LARGE, FEW)
            few = await _one_state(queue)
            before = await _memory(scripts)
            await queue.copy(LARGE, many)
            bytes_a_job = (await _memory(scripts) - before) / many
            return {"ready": many, "few": few, "many": await _one_state(queue), "bytes_a_job": round(bytes_a_job)}
        finally:
            await scripts.close()


async def _one_state(queue: Queue) -> dict[str, dict[str, float]]:
    submits = [await _taken_ms(lambda: queue.submit(LARGE)) for _ in range(SUBMITS)]
    return {"submit_ms": _quantiles(submits), "start_ms": _quantiles(await _starts(queue))}


async def _starts(queue: Queue) -> list[float]:
    submitted: dict[str, float] = {}
    taken_ms: list[float] = []
    is_over = asyncio.Event()

    def started(job: Job) -> None:
        taken_ms.append((time.perf_counter() - submitted[job.job_id]) * 1000)
        if len(taken_ms) == SUBMITS:
            is_over.set()

    async def ask() -> None:
        while not is_over.is_set():
            await queue.hand_over(started)

    asks = [asyncio.ensure_future(ask()) for _ in range(ASKS)]
    for _ in range(SUBMITS):
        job_id = new_job_id(NOW_MS)
        submitted[job_id] = time.perf_counter()
        await queue.submit(SMALL, job_id)
        await asyncio.sleep(PAUSE_S)
    await asyncio.gather(*asks)
    return taken_ms


def _start(item: Picked) -> StartRequest:
    return StartRequest(
        job_id=item.job.job_id,
        reservation=item.reservation,
        decision=None,
        permit_id=PermitId(new_token()),
        worker=WorkerId("w"),
        pool=POOL,
        token=new_token(),
        attempt=item.attempt,
        lease_ms=30_000,
        topic=item.job.topic,
        fail_open=True,
    )


async def _taken_ms(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


async def _memory(scripts: Scripts) -> int:
    lines = bytes(await scripts.command("INFO", "memory")).decode().splitlines()
    return next(int(line.split(":")[1]) for line in lines if line.startswith("used_memory:"))


def _quantiles(taken_ms: list[float]) -> dict[str, float]:
    ordered = sorted(taken_ms)
    return {"p50": round(ordered[len(ordered) // 2], 3), "p99": round(ordered[len(ordered) * 99 // 100], 3)}


if __name__ == "__main__":
    print(measure(int(sys.argv[1]) if len(sys.argv) > 1 else MANY))
