"""What in the log of endings cannot be, or cannot be stored, keeps nothing else from coming back, and leaves no half of
a job."""

from __future__ import annotations

from dataclasses import replace

import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.recovery import Kind
from holdgate.scheduler.recovery.rebuild import SEQ_JUMP_MAX
from holdgate.scheduler.state import endings
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.endings import Ending
from holdgate.scheduler.state.log import Envelope
from holdgate.scheduler.state.restoring import Restoring, Return
from holdgate.scheduler.state.transitions import State
from support.losing import Copy, Keeper
from support.state import TENANT

TOO_MANY = {f"field-{number}": b"" for number in range(6000)}
"""More than a script can hand to one command."""


@pytest.fixture
async def keeper(nc: Nats, scripts: Scripts, streams: None) -> Keeper:
    """Nothing in it but what a first look leaves."""
    keeper = Keeper(scripts, SystemClock().now_ms(), nc=nc)
    await keeper.reconcile()
    return keeper


def ending_of(job_id: str, keeper: Keeper, **changes: object) -> Ending:
    """It succeeded."""
    ending = Ending(TENANT, job_id, 9, State.SUCCEEDED, 1, 1, "", keeper.now_ms, keeper.now_ms)  # type: ignore[arg-type]
    return replace(ending, **changes)  # type: ignore[arg-type]


async def test_a_job_that_cannot_be_stored_leaves_nothing(keeper: Keeper) -> None:
    job = await keeper.let_in()
    view = await keeper.jobs.require(TENANT, job.job_id)
    back = Return(Envelope.of(view, b"{}"), State.SUCCEEDED, ending=ending_of(job.job_id, keeper, result=TOO_MANY))
    await keeper.lose()
    restoring = Restoring(keeper.scripts)
    with pytest.raises(StateBroken):
        await restoring.restore(back, keeper.now_ms)
    assert not await keeper.scripts.command("KEYS", f"*{job.job_id}*")
    assert await restoring.restore(replace(back, ending=ending_of(job.job_id, keeper)), keeper.now_ms)
    assert await keeper.state(job.job_id) is State.SUCCEEDED


@pytest.mark.parametrize("is_there", [True, False])
async def test_an_end_that_cannot_be_stored_keeps_nothing_from_coming_back(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, redis_url: str, is_there: bool
) -> None:
    monkeypatch.setattr(endings, "FIELDS_MAX", len(TOO_MANY))
    poisoned, other = await keeper.let_in(), await keeper.let_in()
    copy = Copy.of(redis_url)
    await keeper.ending_log.publish([ending_of(poisoned.job_id, keeper, result=TOO_MANY)])
    await keeper.run(other.job_id, State.SUCCEEDED)
    await keeper.lose()
    if is_there:
        copy.put_back()
    drift = await keeper.reconcile()
    assert set(drift.named[Kind.BROKEN]) == {f"{TENANT}/{poisoned.job_id}"}
    assert await keeper.state(other.job_id) is State.SUCCEEDED


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_number_that_no_event_can_have_is_not_believed(keeper: Keeper, is_there: bool) -> None:
    """Nor does it give the job an end."""
    first, job = await keeper.ran(State.SUCCEEDED), await keeper.let_in()
    last = await keeper.audit.last_seq(TENANT)
    await keeper.ending_log.publish([ending_of(job.job_id, keeper, seq=last + SEQ_JUMP_MAX + 1)])
    if not is_there:
        await keeper.lose()
    drift = await keeper.reconcile()
    assert drift.counts[Kind.BROKEN] == 1
    assert await keeper.audit.last_seq(TENANT) < SEQ_JUMP_MAX
    assert await keeper.states() == {first: State.SUCCEEDED, job.job_id: State.QUEUED}
