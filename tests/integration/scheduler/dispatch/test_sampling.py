"""What is looked at now and then: levels of every tenant, and how the kernels are."""

from __future__ import annotations

from prometheus_client import REGISTRY

from holdgate.kernel.breaker import BreakerState
from holdgate.kernel.canonical import digest
from holdgate.kernel.client import ReplicaStatus
from holdgate.kernel.ids import WorkerId
from holdgate.scheduler.dispatch.sampling import sample_of
from holdgate.scheduler.state.stats import WINDOWS, KernelSample, Stats
from holdgate.scheduler.state.workers import Workers, WorkerView
from support.dispatching import Stage


async def _health(stage: Stage) -> dict[str, int]:
    return (await Stats(stage.scripts).read_system(WINDOWS["1h"], stage.clock.now_ms()))[-1].counts


async def test_a_look_finds_the_kernels_that_answer(stage: Stage) -> None:
    """And that none does when none is there: the look itself goes well."""
    before = (await _health(stage)).get("down", 0)
    await stage.dispatcher.sampler.run_once()
    found = await _health(stage)
    assert found["replicas"] == 1
    assert found.get("down", 0) == before
    await stage.kernel.stop()
    await stage.dispatcher.sampler.run_once()
    found = await _health(stage)
    assert (found["replicas"], found["down"]) == (0, before + 1)
    await stage.kernel.start()


async def test_a_look_counts_the_workers_of_each_pool_until_there_is_none(stage: Stage) -> None:
    """A pool that lost its last is shown with none, and not as it was."""
    workers, now_ms = Workers(stage.scripts), stage.clock.now_ms()
    view = WorkerView(
        worker=WorkerId("w-1"), pool="counted", topics=("job.x",), capabilities=(), capacity=1, busy=0, seen_ms=now_ms
    )
    await workers.seen(view, ttl_ms=60_000)
    await stage.dispatcher.sampler.run_once()
    assert REGISTRY.get_sample_value("holdgate_workers_there", {"pool": "counted"}) == 1
    await workers.gone(view.pool, view.worker)
    await stage.dispatcher.sampler.run_once()
    assert REGISTRY.get_sample_value("holdgate_workers_there", {"pool": "counted"}) == 0


def _replica(name: str, snapshot: str, *, policy: bool = True) -> ReplicaStatus:
    return ReplicaStatus(name, digest(snapshot), policy, "", 1, 1, (), {})


def test_kernels_that_decide_by_different_policies_disagree() -> None:
    """One without a policy means that some decisions are denials for want of one."""
    both = sample_of([_replica("a", "x"), _replica("b", "x")], breaker=BreakerState.CLOSED)
    assert both == KernelSample(2, has_policy=True, agree=True, breaker_closed=True)
    assert not sample_of([_replica("a", "x"), _replica("b", "y")], breaker=BreakerState.CLOSED).agree
    assert not sample_of([_replica("a", "x"), _replica("b", "x", policy=False)], breaker=BreakerState.CLOSED).has_policy
    assert not sample_of([_replica("a", "x")], breaker=BreakerState.OPEN).breaker_closed
    assert sample_of([], breaker=BreakerState.CLOSED).replicas == 0
