"""The state was lost, and results of attempts that it had lie in the stream: no other run, and no forged end."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.kernel import limits
from holdgate.kernel.ids import LeaseToken
from holdgate.kernel.records import Job
from holdgate.scheduler.gates.output.lost import TRIES
from holdgate.scheduler.state.backlog import Picked
from holdgate.scheduler.state.transitions import State
from holdgate.workers.results import RunIdentity, RunOutcome, RunResult, message_of
from support.losing import Keeper
from support.state import TENANT

from .conftest import Gate


@pytest.fixture
async def keeper(gate: Gate) -> Keeper:
    """The world of the gate, with a log; looked over once."""
    keeper = Keeper(gate.world.scripts, gate.world.now_ms, nc=gate.nc)
    await keeper.reconcile()
    return keeper


async def ran(keeper: Keeper, **job: Any) -> tuple[Picked, LeaseToken]:
    """A job of the log whose attempt a worker has."""
    await keeper.let_in(**job)
    [picked] = await keeper.pick(1)
    _, token = await keeper.start(picked)
    return picked, token


async def test_a_result_outlives_a_loss_of_the_state_and_its_job_does_not_run_again(gate: Gate, keeper: Keeper) -> None:
    """Met before the look: it waits for as long as that takes. Met after it: the job ends by it."""
    picked, token = await ran(keeper)
    await gate.report(picked, token, value={"n": 1})
    await keeper.lose()
    service = gate.service()
    for _ in range(2 * TRIES):
        await service.run_once()
        assert await gate.pending() == 1
    await keeper.reconcile()
    while await gate.pending():
        await service.run_once()
    assert await gate.state(picked.job.job_id) is State.SUCCEEDED
    assert (found := await gate.result(picked.job.job_id)) is not None
    assert found.value == b'{"n":1}'
    assert await keeper.pick(9) == []


@pytest.mark.parametrize("retryable", [False, True])
async def test_a_failure_for_good_outlives_a_loss_and_one_to_be_tried_again_is(
    gate: Gate, keeper: Keeper, retryable: bool
) -> None:
    picked, token = await ran(keeper, max_attempts=2)
    await gate.report(picked, token, RunOutcome.FAILED, code="boom", retryable=retryable)
    await keeper.lose()
    await keeper.reconcile()
    service = gate.service()
    while await gate.pending():
        await service.run_once()
    view = await keeper.jobs.require(TENANT, picked.job.job_id)
    assert (view.state, view.code) == ((State.QUEUED, None) if retryable else (State.FAILED, "boom"))


async def test_a_job_that_was_started_again_ends_by_its_new_attempt(gate: Gate, keeper: Keeper) -> None:
    """One that has a worker is not taken from it; the older result is let go of."""
    picked, token = await ran(keeper)
    await keeper.lose()
    await keeper.reconcile()
    [again] = await keeper.pick(9)
    await keeper.start(again)
    await gate.report(picked, token, value="old")
    await gate.judge()
    assert await gate.state(picked.job.job_id) is State.RUNNING
    assert await gate.pending() == 0


@pytest.mark.parametrize("forged", ["pool", "attempt", "held", "after_approval"])
async def test_what_is_said_of_a_job_that_is_back_is_believed_of_little(
    gate: Gate, keeper: Keeper, forged: str
) -> None:
    """Not of a job of another pool, of an attempt that there was none of, or of a job that people decide about."""
    job = await keeper.let_in(
        held=forged in ("held", "after_approval"), pool="other" if forged == "pool" else "default"
    )
    await keeper.lose()
    await keeper.reconcile()
    if forged == "after_approval":
        await keeper.vote(job)
    before = await gate.state(job.job_id)
    service = gate.service()
    await say_that_it_ran(gate, job, attempt=1000 if forged == "attempt" else 1)
    while await gate.pending():
        await service.run_once()
    assert await gate.state(job.job_id) is before


async def say_that_it_ran(gate: Gate, job: Job, attempt: int) -> None:
    """A worker of the pool `default` does, with a token that it made up."""
    identity = RunIdentity(TENANT, job.job_id, attempt, "0" * 32, "permit_1")
    result = RunResult(RunOutcome.SUCCEEDED, 1, 2, b"1")
    headers, body = message_of(identity, result, worker="w1", pool="default", bytes_max=limits.ENVELOPE_BYTES_MAX)
    await gate.publish(headers, body)
