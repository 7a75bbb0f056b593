"""What the overview counts is what happened."""

from __future__ import annotations

from holdgate.kernel.ids import Tenant
from holdgate.kernel.records import Verdict
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.stats import KEPT_S, WINDOWS, KernelSample, Stats
from holdgate.scheduler.state.transitions import State
from support.state import TENANT, World, make_decision, make_job

HOUR = WINDOWS["1h"]


async def _now(world: World, scripts: Scripts) -> dict[str, int]:
    """Counters of the running minute."""
    return (await Stats(scripts).read(TENANT, HOUR, world.now_ms))[-1].counts


async def test_every_submit_is_counted_once_by_its_verdict(world: World, scripts: Scripts) -> None:
    """Also one that was denied; a repeat of a submit is none."""
    job = make_job(world.now_ms)
    for _ in range(2):
        await world.accept(job)
    await world.accept(verdict=Verdict.ALLOW_WITH_CONSTRAINTS)
    await world.held()
    denied = make_job(world.now_ms)
    await world.jobs.deny(denied, make_decision(denied, Verdict.DENY), code="denied", now_ms=world.now_ms)
    found = await _now(world, scripts)
    assert found == {
        "decision:allow": 1,
        "decision:allow_with_constraints": 1,
        "decision:require_approval": 1,
        "decision:deny": 1,
        "ended:denied": 1,
    }


async def test_a_run_counts_its_start_its_end_and_its_output(world: World, scripts: Scripts) -> None:
    """A verdict that came twice counts once."""
    picked, token = await world.running()
    request = world.finish_request(picked, token, State.SUCCEEDED, verdict={"verdict": "redact", "findings": []})
    for _ in range(2):
        await world.results.finish(TENANT, [request], world.now_ms)
    found = await _now(world, scripts)
    assert found["started"] == found["ended:succeeded"] == found["output:redact"] == 1


async def test_the_wait_for_a_person_is_counted_when_it_ends(world: World, scripts: Scripts) -> None:
    """By a release, a rejection, or the expiry; not while it goes on, and not when the job is cancelled."""
    released, rejected, cancelled = [await world.held() for _ in range(3)]
    world.pass_ms(4_000)
    assert "wait_ms" not in await _now(world, scripts)
    await world.vote(released)
    world.pass_ms(26_500)
    await world.vote(rejected, approve=False)
    await world.jobs.cancel(TENANT, cancelled.job_id, by="me", reason="", now_ms=world.now_ms)
    found = await _now(world, scripts)
    assert (found["wait:5"], found["wait:60"], found["wait_ms"]) == (1, 1, 34_500)
    await world.held()
    world.pass_ms(30 * 24 * 3_600_000)
    await world.approvals.expire(TENANT, world.now_ms)
    assert (await _now(world, scripts))["wait:inf"] == 1


async def test_counts_fall_into_the_minute_of_the_event(world: World, scripts: Scripts) -> None:
    """And steps of a longer window take in several minutes."""
    await world.accept()
    world.pass_ms(60_000)
    await world.accept()
    stats = Stats(scripts)
    hour = await stats.read(TENANT, HOUR, world.now_ms)
    assert [tally.of("decision:allow") for tally in hour[-3:]] == [0, 1, 1]
    day = await stats.read(TENANT, WINDOWS["24h"], world.now_ms)
    assert sum(tally.of("decision:allow") for tally in day) == 2
    assert len(day) == 180


async def test_in_a_step_of_several_minutes_counts_add_up_and_levels_do_not(world: World, scripts: Scripts) -> None:
    """Of the replicas that answered the last number stays."""
    stats, day = Stats(scripts), WINDOWS["24h"]
    world.now_ms -= world.now_ms % (day.step_s * 1000)
    for queued, replicas in ((3, 2), (0, 3)):
        for _ in range(queued):
            await world.queued()
        await stats.sample(TENANT, world.now_ms)
        await stats.sample_kernels(KernelSample(replicas, True, True, True), world.now_ms)
        world.pass_ms(60_000)
    own, system = await stats.read(TENANT, day, world.now_ms), await stats.read_system(day, world.now_ms)
    assert own[-1].counts == {"decision:allow": 3, "level:queued": 3}
    assert system[-1].counts == {"samples": 2, "replicas": 3}
    assert len(own) == len(system) == day.steps


async def test_levels_keep_the_highest_of_the_minute(world: World, scripts: Scripts) -> None:
    """A tenant without jobs leaves nothing in the store."""
    stats = Stats(scripts)
    for _ in range(3):
        await world.queued()
    assert (await stats.sample(TENANT, world.now_ms))["queued"] == 3
    for picked in await world.pick(2):
        await world.start(picked)
    await stats.sample(TENANT, world.now_ms)
    found = await _now(world, scripts)
    assert (found["level:queued"], found["level:running"]) == (3, 2)
    other = Tenant("idle")
    await stats.sample(other, world.now_ms)
    assert await scripts.command("KEYS", "*{idle}*") == []


async def test_another_tenants_counts_are_not_read(world: World, scripts: Scripts) -> None:
    """Each has its own keys."""
    await world.accept()
    others = await Stats(scripts).read(Tenant("other"), HOUR, world.now_ms)
    assert not any(tally.counts for tally in others)


async def test_counters_end_by_themselves(world: World, scripts: Scripts) -> None:
    """A day and an hour after their minute, whether it began with an event, a level or a look at the kernels."""
    await world.held()
    world.pass_ms(60_000)
    await Stats(scripts).sample(TENANT, world.now_ms)
    await Stats(scripts).sample_kernels(KernelSample(1, True, True, True), world.now_ms)
    keys = [name for kind in ("stats", "health") for name in await scripts.command("KEYS", f"*:{kind}:*")]
    assert len(keys) == 3
    for name in keys:
        assert KEPT_S - 60 < await scripts.command("TTL", name) <= KEPT_S


async def test_looks_at_the_kernels_are_counted(world: World, scripts: Scripts) -> None:
    """What was wrong in a minute stays visible when the last look of it found all well."""
    stats = Stats(scripts)
    await stats.sample_kernels(KernelSample(0, False, True, False), world.now_ms)
    await stats.sample_kernels(KernelSample(3, True, False, True), world.now_ms)
    await stats.sample_kernels(KernelSample(3, False, True, True), world.now_ms)
    found = (await stats.read_system(HOUR, world.now_ms))[-1].counts
    assert found == {"samples": 3, "down": 1, "no_policy": 1, "disagreed": 1, "breaker": 1, "replicas": 3}
