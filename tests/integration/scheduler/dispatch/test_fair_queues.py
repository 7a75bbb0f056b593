"""A tenant with much that waits takes no more of the workers than one with little, counted and not timed."""

from __future__ import annotations

from collections import Counter

from holdgate.kernel.ids import Tenant
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.scan import OTHERS, TENANTS_NAMED_MAX
from holdgate.scheduler.state.connection import Scripts
from support.dispatching import Stage, gathered, job_of
from support.state import POOL, TENANT, World
from support.waiting import Eventually

MANY, FEW, N = 100, 12, 4
SMALL = Tenant("small")


async def test_few_jobs_behind_many_of_another_tenant_have_every_other_turn(
    stage: Stage, eventually: Eventually
) -> None:
    """Also for many asks that are small, and however much the other has."""
    await _queued(stage, TENANT, MANY, eventually)
    first = await stage.worker().ask(n=N)
    assert [job_of(item).tenant for item in first] == [TENANT] * N
    await _queued(stage, SMALL, FEW, eventually)
    await stage.dispatcher.scan.run_once()
    handed: Counter[str] = Counter()
    for _ in range(2 * FEW // N):
        handed.update(job_of(item).tenant for item in await stage.worker().ask(n=N))
    assert handed == {SMALL: FEW, TENANT: FEW}


async def test_a_metric_names_no_more_than_so_many_tenants(stage: Stage, scripts: Scripts) -> None:
    metrics.TENANT_BACKLOG.clear()  # of other tests in this process
    world = World(scripts, stage.clock.now_ms())
    for number in range(TENANTS_NAMED_MAX + 2):
        await world.queued(tenant=Tenant(f"t{number}"))
    await stage.dispatcher.scan.run_once()
    (shown,) = metrics.TENANT_BACKLOG.collect()
    found = {sample.labels["tenant"]: sample.value for sample in shown.samples}
    assert len(found) <= TENANTS_NAMED_MAX + 1
    assert found[OTHERS] >= 2


async def _queued(stage: Stage, tenant: Tenant, count: int, eventually: Eventually) -> None:
    """So many ready jobs."""
    await gathered(*(stage.submit(tenant=tenant) for _ in range(count)))

    async def are_ready() -> bool:
        return (await stage.backlog.pools(tenant)).get(POOL, 0) >= count

    await eventually(are_ready)
