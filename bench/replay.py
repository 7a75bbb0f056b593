"""Decisions a second that a replay gets through: from memory, and read from a Redis of its own.

Run alone: `python -m bench.replay`. About fifteen seconds; the Redis listens on loopback and ends with the measurement.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.decision import NOW_MS, example_job, example_policy
from holdgate.bundles.replay import Recorded, Replay
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import ActorId, Digest, JobId, new_job_id
from holdgate.kernel.links import Signed
from holdgate.kernel.policy import Policy
from holdgate.kernel.records import Job, Phase
from holdgate.scheduler.state.connection import Scripts, connect_redis
from holdgate.scheduler.state.entry import Submission
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.recorded import RecordedDecisions, Wanted
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.up.children import free_ports, stop
from holdgate.scheduler.up.servers import RedisConfig, redis_server

RULES = 1_000
DECISIONS = 200_000
STORED = 20_000
TURNS = 3
TOPICS = ("job.deploy.apply", "job.deploy.plan", "job.app7.run", "job.report.build", "job.exec.shell")


def measure(decisions: int = DECISIONS, stored: int = STORED) -> dict[str, Any]:
    """`replay_per_s` from memory, `replay_stored_per_s` read from Redis; each the best of a few turns."""
    policy = example_policy(RULES)
    jobs = [_job(number) for number in range(1_000)]
    records = [_record(policy, job) for job in jobs]
    return {
        "rules": RULES,
        "replay_per_s": round(max(_from_memory(policy, records, decisions) for _ in range(TURNS))),
        "replay_baseline_per_s": round(max(_from_memory(policy, records, decisions, policy) for _ in range(TURNS))),
        "replay_stored_per_s": round(asyncio.run(_from_redis(policy, stored))),
    }


def _from_memory(policy: Policy, records: list[Recorded], decisions: int, baseline: Policy | None = None) -> float:
    turns = decisions // len(records)
    replay = Replay(policy, baseline=baseline)
    started = time.perf_counter()
    for _ in range(turns):
        replay.feed(records)
    taken_s = time.perf_counter() - started
    if replay.report().decisions != turns * len(records):
        raise RuntimeError("a replay lost decisions")
    return turns * len(records) / taken_s


async def _from_redis(policy: Policy, stored: int) -> float:
    with own_redis() as url:
        scripts = await connect_redis(url)
        try:
            await _fill(scripts, policy, stored)
            return max([await _one_turn(scripts, policy, stored) for _ in range(TURNS)])
        finally:
            await scripts.close()


async def _one_turn(scripts: Scripts, policy: Policy, stored: int) -> float:
    replay = Replay(policy)
    started = time.perf_counter()
    wanted = Wanted(payloads="payload" in policy.reads)
    async for batch in RecordedDecisions(scripts).read(example_job().tenant, wanted):
        replay.feed(batch.records())
    taken_s = time.perf_counter() - started
    report = replay.report()
    if report.decisions != stored or report.unchanged != stored:
        raise RuntimeError(f"of {stored} decisions {report.decisions} came back, {report.unchanged} of them unchanged")
    return stored / taken_s


async def _fill(scripts: Scripts, policy: Policy, stored: int) -> None:
    jobs = Jobs(scripts)
    for start in range(0, stored, 500):
        await asyncio.gather(*(_enter(jobs, policy, _job(number)) for number in range(start, start + 500)))


async def _enter(jobs: Jobs, policy: Policy, job: Job) -> None:
    decision = evaluate(policy, job, now_ms=NOW_MS, phase=Phase.SUBMIT)
    if decision.verdict == "deny":
        await jobs.deny(replace(job, payload=None, prompt=None), decision, code="denied", now_ms=NOW_MS)
    else:
        initial = State.HELD if decision.verdict == "require_approval" else State.ACCEPTED
        await jobs.accept(Submission(job, decision, Signed(b"x", "", b""), initial), NOW_MS)


@contextmanager
def own_redis() -> Iterator[str]:
    """The URL of a strict one on loopback, for the block."""
    with tempfile.TemporaryDirectory(prefix="holdgate-bench-") as folder:
        (port,) = free_ports(1)
        config = RedisConfig(port=port, data_dir=Path(folder) / "redis", password=os.urandom(16).hex())
        server = redis_server(config, Path(folder) / "redis.conf")
        process = server.start(Path(folder) / "redis.log")
        try:
            yield config.url
        finally:
            stop(process)


def _job(number: int) -> Job:
    """Jobs of several topics, teams and actors, some held, some allowed, some denied."""
    return replace(
        example_job(),
        job_id=JobId(new_job_id(NOW_MS + number)),
        topic=TOPICS[number % len(TOPICS)],
        labels={"env": "prod" if number % 3 else "dev", "team": f"team-{number % 50}" if number % 4 else "payments"},
        actor=ActorId(f"actor-{number % 100}"),
    )


def _record(policy: Policy, job: Job) -> Recorded:
    decision = evaluate(policy, job, now_ms=NOW_MS, phase=Phase.SUBMIT, job_hash=Digest(""))
    return Recorded(job, decision.verdict, decision.deciding, NOW_MS)


if __name__ == "__main__":
    print(measure())
