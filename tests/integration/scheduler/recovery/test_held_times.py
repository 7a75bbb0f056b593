"""How long people have for a held job that was lost and came back."""

from __future__ import annotations

import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.restoring import ASKED_ANEW_MS
from support.losing import Keeper
from support.state import TENANT


@pytest.mark.usefixtures("streams")
async def test_a_loss_gives_a_held_job_no_more_time_but_to_be_asked_about(nc: Nats, scripts: Scripts) -> None:
    """Its time runs from when it was let in; where that is over, or soon, there is a while in which to vote."""
    keeper = Keeper(scripts, SystemClock().now_ms(), nc=nc)
    await keeper.reconcile()
    job = await keeper.let_in(held=True)
    due_ms = (await keeper.approvals.require(TENANT, job.job_id)).expires_ms
    for passed_ms in (60_000, due_ms - keeper.now_ms):
        keeper.pass_ms(passed_ms)
        await keeper.lose()
        await keeper.reconcile()
        view = await keeper.approvals.require(TENANT, job.job_id)
        assert view.expires_ms == max(due_ms, keeper.now_ms + ASKED_ANEW_MS)
    assert due_ms < view.expires_ms
