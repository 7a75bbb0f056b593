"""From the log to a worker: what is handed over, in what order, and to whom."""

from __future__ import annotations

from holdgate.scheduler.state.transitions import State
from support.dispatching import Stage, job_of, permit_of


async def test_a_job_reaches_the_worker_with_a_permit_for_exactly_it(stage: Stage) -> None:
    worker = stage.worker()
    job_id = await stage.submit()
    (delivery,) = await worker.ask()
    permit, job = permit_of(delivery), job_of(delivery)
    assert job.job_id == job_id
    assert (permit.job_id, permit.job_hash, permit.attempt) == (job_id, job.job_hash(), 1)
    assert (permit.worker, permit.pool) == (worker.name, worker.pool)
    view = await stage.view(job_id)
    assert (view.state, view.worker, view.permit_id) == (State.RUNNING, worker.name, permit.permit_id)
