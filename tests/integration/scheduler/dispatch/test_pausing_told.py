"""What is said to somebody who pauses a pool or a worker."""

from __future__ import annotations

import pytest

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import WorkerId
from holdgate.scheduler.cli.pauses import begin, pool_rows, worker_rows
from holdgate.scheduler.state.pauses import Paused, Pauses
from holdgate.scheduler.state.workers import Workers, WorkerView
from support.dispatching import Stage
from support.state import POOL


@pytest.mark.parametrize("kind", Paused)
async def test_a_name_that_nobody_has_is_paused_and_said_to_be_nobody(stage: Stage, kind: Paused) -> None:
    """A slip of the pen must not look like the end of an incident."""
    pauses, workers = Pauses(stage.scripts), Workers(stage.scripts)
    view = WorkerView(WorkerId("w1"), POOL, (), (), 1, 0, SystemClock().now_ms())
    await workers.seen(view, ttl_ms=60_000)
    known = POOL if kind is Paused.POOL else "w1"
    assert "gets nothing more" in (await begin(pauses, workers, kind, known, "broken"))[0]
    assert "is it spelled so" in (await begin(pauses, workers, kind, f"{known}x", "broken"))[0]
    assert {pause.name for pause in await pauses.list_pauses()} == {known, f"{known}x"}


async def test_pools_and_workers_are_rows_with_who_paused_them(stage: Stage) -> None:
    """Also a paused pool that has no workers."""
    pauses, workers = Pauses(stage.scripts), Workers(stage.scripts)
    await workers.seen(WorkerView(WorkerId("w1"), POOL, (), (), 2, 1, SystemClock().now_ms()), ttl_ms=60_000)
    await begin(pauses, workers, Paused.POOL, "empty", "broken")
    await begin(pauses, workers, Paused.WORKER, "w1", "moved")
    pools = {row["pool"]: row for row in await pool_rows(pauses, workers)}
    assert pools[POOL] == {"pool": POOL, "workers": 1, "busy": 1, "capacity": 2, "paused": None}
    assert (pools["empty"]["workers"], pools["empty"]["paused"]["reason"]) == (0, "broken")
    (row,) = await worker_rows(pauses, workers)
    assert (row["worker"], row["busy"], row["paused"]["reason"]) == ("w1", 1, "moved")
