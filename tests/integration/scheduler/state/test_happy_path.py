"""One job through the state, step by step, whatever Redis consists of."""

from __future__ import annotations

import pytest

from holdgate.scheduler.state.backlog import StartKind
from holdgate.scheduler.state.entry import AcceptKind
from holdgate.scheduler.state.results import FinishingClaim, FinishKind
from holdgate.scheduler.state.transitions import State
from support.state import TENANT, World, make_job

pytestmark = pytest.mark.parametrize("scripts", ["single", "sentinel", "cluster"], indirect=True)


async def test_a_job_goes_through_every_step_to_a_readable_result(world: World) -> None:
    """accepted → queued → running → finishing → succeeded, with one event each; the first names what it asks for."""
    job = make_job(world.now_ms, secrets=("db-password",))
    accepted = await world.accept(job)
    assert (accepted.kind, accepted.state) == (AcceptKind.ACCEPTED, State.ACCEPTED)
    assert await world.jobs.outbox_due(TENANT, world.now_ms + 1) == [job.job_id]
    assert await world.backlog.enqueue(TENANT, [job.job_id], world.now_ms) == {job.job_id: "default"}
    assert await world.jobs.outbox_due(TENANT, world.now_ms + 1) == []
    [picked] = await world.pick(5)
    assert picked.job == job
    assert picked.attempt == 1
    started, token = await world.start(picked)
    assert started.kind is StartKind.STARTED
    assert await world.jobs.result(TENANT, job.job_id) is None
    claim = FinishingClaim(job.job_id, 1, token)
    assert await world.results.mark_finishing(TENANT, [claim], world.now_ms) == {job.job_id: FinishKind.FINISHED}
    request = world.finish_request(picked, token, State.SUCCEEDED, value=b'"done"', logs=("a line",))
    [finished] = await world.results.finish(TENANT, [request], world.now_ms)
    assert (finished.kind, finished.state) == (FinishKind.FINISHED, State.SUCCEEDED)
    result = await world.jobs.result(TENANT, job.job_id)
    assert result is not None
    assert (result.value, result.logs) == (b'"done"', ("a line",))
    timeline = await world.jobs.timeline(TENANT, job.job_id)
    assert [event.get("secrets") for event in timeline] == [["db-password"], None, None, None, None]
    types = [event["type"] for event in timeline]
    assert types == ["job.accepted", "job.queued", "job.running", "job.finishing", "job.succeeded"]
    events = await world.audit.read(TENANT, 0)
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert events[0].who["actor"] == "agent"
    assert await world.jobs.tenants() == [TENANT]


async def test_a_held_job_runs_once_released(world: World) -> None:
    """held → queued by a vote, and the start uses the approval up."""
    job = await world.held()
    assert (await world.vote(job)).pool == "default"
    [picked] = await world.pick()
    assert len(picked.votes) == 1
    started, _ = await world.start(picked, approval_required=True)
    assert started.kind is StartKind.STARTED
    assert (await world.approvals.require(TENANT, job.job_id)).status == "consumed"
