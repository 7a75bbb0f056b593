"""Redis dies in the middle of a hundred votes: nothing is released that is not on record, and what was told is."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from pathlib import Path

from holdgate.kernel.records import ApprovalRequirement, Job, Outcome, Verdict
from holdgate.scheduler.errors import ApprovalDuplicateVote, ApprovalResolved, StateUnavailable
from holdgate.scheduler.state.approvals import ApprovalStatus, VoteResult
from holdgate.scheduler.state.connection import Scripts, connect_redis
from holdgate.scheduler.state.entry import Submission
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.up.children import stop
from holdgate.scheduler.up.servers import redis_server
from support.invariants import dump, verify
from support.servers import configs
from support.state import TENANT, World, make_admission, make_decision, make_job
from support.waiting import eventually

JOBS = 34
VOTERS = ("ada", "bob", "cid")
PAIR = ApprovalRequirement(rule="a", roles=("release-manager",), quorum=2)
DIES_AFTER = 40
"""Votes that were answered before Redis is killed."""
AT_ONCE = 16
"""Votes under way: fewer than come after the kill, so that some surely meet a dead server."""


async def held(world: World) -> Job:
    """A job that takes two votes."""
    job = make_job(world.now_ms)
    decision = make_decision(job, Verdict.REQUIRE_APPROVAL, approvals=(PAIR,))
    await world.jobs.accept(Submission(job, decision, make_admission(job, Outcome.HELD), State.HELD), world.now_ms)
    return job


async def test_votes_while_redis_dies_are_recorded_whole_or_not_at_all(tmp_path: Path) -> None:
    _, config = configs(tmp_path)
    server = redis_server(config, tmp_path / "redis.conf")
    process = server.start(tmp_path / "redis.log")
    try:
        scripts = await connect_redis(config.url, timeout_s=2)
        world = World(scripts)
        jobs = [await held(world) for _ in range(JOBS)]
        answered = asyncio.Event()
        told: dict[tuple[str, str], VoteResult | Exception] = {}
        room = asyncio.Semaphore(AT_ONCE)

        async def vote(job: Job, voter: str) -> None:
            async with room:
                try:
                    told[job.job_id, voter] = await world.vote(job, voter)
                except (StateUnavailable, ApprovalResolved) as error:
                    told[job.job_id, voter] = error
            if len(told) == DIES_AFTER:
                process.send_signal(signal.SIGKILL)
                process.wait()
                answered.set()

        await asyncio.gather(*(vote(job, voter) for voter in VOTERS for job in jobs))
        assert answered.is_set()
        assert any(isinstance(answer, StateUnavailable) for answer in told.values())
        await scripts.close()
        process.wait()
        process = server.start(tmp_path / "redis-again.log")
        again = await _connected(config.url)
        await _verify(World(again, world.now_ms), jobs, told)
        await again.close()
    finally:
        stop(process)


async def _connected(url: str) -> Scripts:
    found: list[Scripts] = []

    async def is_there() -> bool:
        try:
            found.append(await connect_redis(url))
        except StateUnavailable:
            return False
        return True

    await eventually(is_there, 20, why="Redis is back")
    return found[0]


async def _verify(world: World, jobs: list[Job], told: dict[tuple[str, str], VoteResult | Exception]) -> None:
    verify(await dump(world.scripts, TENANT))
    for job in jobs:
        view = await world.approvals.require(TENANT, job.job_id)
        recorded = {vote.approver for vote in view.votes}
        answers = {voter: told[job.job_id, voter] for voter in VOTERS}
        promised = {voter for voter, answer in answers.items() if isinstance(answer, VoteResult)}
        assert promised <= recorded, "a vote that was confirmed is gone"
        events = Counter(event["type"] for event in await world.jobs.timeline(TENANT, job.job_id))
        state = await world.state(job.job_id)
        is_released = view.status is ApprovalStatus.RELEASED
        assert is_released == (len(recorded) == PAIR.quorum) == (state is State.QUEUED)
        assert (events["approval.vote"], events["approval.released"]) == (len(recorded), int(is_released))
        if not is_released:
            await _goes_on(world, job)


async def _goes_on(world: World, job: Job) -> None:
    """What was not answered is sent again: it counts once, whether it had arrived or not."""
    for voter in VOTERS[: PAIR.quorum]:
        with contextlib.suppress(ApprovalDuplicateVote, ApprovalResolved):
            await world.vote(job, voter)
    view = await world.approvals.require(TENANT, job.job_id)
    assert (view.status, len(view.votes)) == (ApprovalStatus.RELEASED, PAIR.quorum)


async def test_votes_while_redis_hangs_are_told_as_unknown_and_count_once_when_it_is_back(tmp_path: Path) -> None:
    _, config = configs(tmp_path)
    process = redis_server(config, tmp_path / "redis.conf").start(tmp_path / "redis.log")
    try:
        scripts = await connect_redis(config.url, timeout_s=0.5)
        world = World(scripts)
        jobs = [await held(world) for _ in range(JOBS)]
        process.send_signal(signal.SIGSTOP)
        answers = await asyncio.gather(
            *(world.vote(job, voter) for voter in VOTERS for job in jobs), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {StateUnavailable}
        process.send_signal(signal.SIGCONT)
        await scripts.close()
        again = await _connected(config.url)
        fresh = World(again, world.now_ms)
        for job in jobs:
            await _goes_on(fresh, job)
        verify(await dump(again, TENANT))
        events = Counter(event.type for event in await fresh.audit.read(TENANT, 0, 10_000))
        assert (events["approval.released"], events["job.queued"]) == (JOBS, JOBS)
        await again.close()
    finally:
        process.send_signal(signal.SIGCONT)
        stop(process)
