"""A tenant with much that waits takes no more of the workers than one with little, counted and not timed."""

from __future__ import annotations

from collections import Counter

from holdgate.kernel.ids import Tenant
from holdgate.scheduler import metrics
from holdgate.scheduler.dispatch.board import ReadyBoard
from holdgate.scheduler.dispatch.scan import OTHERS, POOLS_KEPT, POOLS_NAMED_MAX, TENANTS_NAMED_MAX, Scan
from holdgate.scheduler.state.connection import Scripts, key
from holdgate.scheduler.state.entry import AcceptKind
from holdgate.scheduler.state.transitions import State
from support.dispatching import Stage, gathered, job_of
from support.state import POOL, START_MS, TENANT, World, make_job
from support.waiting import Eventually

MANY, FEW, N = 100, 12, 4
POOLS_MAX = 64
"""As in `accept.lua`."""
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


async def test_pools_that_a_tenant_makes_up_are_bounded_and_forgotten(scripts: Scripts) -> None:
    """Neither what is kept of them, nor what is shown, nor what each look costs grows with the names."""
    metrics.BACKLOG.clear()
    world = World(scripts, START_MS)
    names = [f"p{number}" for number in range(POOLS_MAX)]
    jobs = [await world.queued(pool=name) for name in names]
    refused = await world.accept(make_job(world.now_ms, pool="one-more"))
    assert refused.kind is AcceptKind.TOO_MANY_POOLS
    assert (await world.accept(make_job(world.now_ms, pool=names[0]))).kind is AcceptKind.ACCEPTED
    board = ReadyBoard()
    scan = Scan(jobs=world.jobs, backlog=world.backlog, board=board)
    await scan.run_once()
    (shown,) = metrics.BACKLOG.collect()
    found = {sample.labels["pool"]: sample.value for sample in shown.samples}
    assert (len(found), found[OTHERS]) == (POOLS_NAMED_MAX + 1, POOLS_MAX - POOLS_NAMED_MAX)
    for job_id in jobs[1:]:
        await world.jobs.cancel(TENANT, job_id, by="agent", reason="", now_ms=world.now_ms)
    assert await world.jobs.forget_pools(TENANT) == POOLS_MAX - 1
    assert await world.backlog.pools(TENANT) == {names[0]: 1}
    await scan.run_once()
    assert not board.has_ready(names[1])
    assert (await world.accept(make_job(world.now_ms, pool="one-more"))).kind is AcceptKind.ACCEPTED


async def test_a_look_forgets_pools_without_jobs_and_a_job_that_comes_back_brings_its_pool(
    scripts: Scripts,
) -> None:
    """A dead letter that an operator takes up again lies where dispatchers look."""
    world = World(scripts, START_MS)
    picked, token = await world.running(max_attempts=1)
    await world.results.finish(TENANT, [world.finish_request(picked, token, State.FAILED)], world.now_ms)
    for number in range(1, POOLS_KEPT + 1):
        job_id = await world.queued(pool=f"p{number}")
        await world.jobs.cancel(TENANT, job_id, by="agent", reason="", now_ms=world.now_ms)
    await Scan(jobs=world.jobs, backlog=world.backlog, board=ReadyBoard()).run_once()
    assert await world.backlog.pools(TENANT) == {}
    await world.jobs.retry(TENANT, picked.job.job_id, by="operator", now_ms=world.now_ms)
    assert await world.backlog.pools(TENANT) == {POOL: 1}


async def test_a_job_whose_time_comes_brings_its_pool_back(scripts: Scripts) -> None:
    """One that a loss brought back may wait in a pool that was forgotten since."""
    world = World(scripts, START_MS)
    job = make_job(world.now_ms, run_at_ms=world.now_ms + 1_000)
    await world.accept(job, initial=State.SCHEDULED)
    await scripts.command("DEL", key(TENANT, "pools"))
    await world.backlog.promote_due(TENANT, world.pass_ms(1_000))
    assert await world.backlog.pools(TENANT) == {POOL: 1}


async def test_a_pool_for_which_a_worker_asks_is_shown_by_name(scripts: Scripts) -> None:
    """Whatever names jobs made up before."""
    metrics.BACKLOG.clear()
    world, board = World(scripts, START_MS), ReadyBoard()
    for number in range(POOLS_NAMED_MAX + 1):
        await world.queued(pool=f"a{number:02}")
    await world.queued(pool="z")
    await board.wait("z", 0)
    await Scan(jobs=world.jobs, backlog=world.backlog, board=board).run_once()
    (shown,) = metrics.BACKLOG.collect()
    assert {"z", OTHERS} <= {sample.labels["pool"] for sample in shown.samples}


async def _queued(stage: Stage, tenant: Tenant, count: int, eventually: Eventually) -> None:
    """So many ready jobs."""
    await gathered(*(stage.submit(tenant=tenant) for _ in range(count)))

    async def are_ready() -> bool:
        return (await stage.backlog.pools(tenant)).get(POOL, 0) >= count

    await eventually(are_ready)
