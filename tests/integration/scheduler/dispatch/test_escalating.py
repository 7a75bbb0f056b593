"""Held jobs come up again because time passed: told once, with a hint, and one tenant's trouble is nobody else's."""

from __future__ import annotations

import nats
import pytest

from holdgate.kernel import subjects, wire
from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import ActorId, Tenant
from holdgate.kernel.records import ApprovalRequirement, Job, Outcome, Verdict
from holdgate.scheduler.dispatch.escalating import Escalator
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.metrics import ESCALATED
from holdgate.scheduler.state.connection import connect_redis, key
from holdgate.scheduler.state.entry import Submission
from holdgate.scheduler.state.transitions import State
from support.state import TENANT, World, make_admission, make_decision, make_job

LATER = ApprovalRequirement(rule="a", roles=("release-manager",), escalate_after_s=60)
OTHER = Tenant("other")


async def held(world: World, tenant: Tenant = TENANT) -> Job:
    """A job that escalates after a minute, to whom the rule does not say."""
    job = make_job(world.now_ms, tenant=tenant)
    decision = make_decision(job, Verdict.REQUIRE_APPROVAL, approvals=(LATER,))
    await world.jobs.accept(Submission(job, decision, make_admission(job, Outcome.HELD), State.HELD), world.now_ms)
    return job


class WorldClock(Clock):
    """The world's time."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now_ms(self) -> int:
        """As the test turned it."""
        return self._world.now_ms


async def test_escalation_and_return_are_told_once_with_a_hint(nats_url: str, redis_url: str) -> None:
    scripts, nc = await connect_redis(redis_url), await nats.connect(nats_url)
    try:
        world = World(scripts)
        duty = Escalator(jobs=world.jobs, approvals=world.approvals, hints=Hints(nc), clock=WorldClock(world))
        broken, job = await held(world, OTHER), await held(world)
        await world.scripts.command("HSET", key(OTHER, "approval", broken.job_id), "requirements", b"\xc1")
        await world.approvals.defer(
            TENANT, job.job_id, by=ActorId("ada"), until_ms=world.now_ms + 30_000, reason="r", now_ms=world.now_ms
        )
        hints = await nc.subscribe(subjects.event("*"))
        await nc.flush()
        assert await duty.run_once() == 0
        told: list[str] = []
        before = ESCALATED._value.get()
        for ms in (30_000, 30_000):
            world.pass_ms(ms)
            told.append(str(await duty.run_once()))
            told.append(str(await duty.run_once()))
            hint = await hints.next_msg(timeout=5)
            assert wire.unpack(hint.data) == {"job_id": job.job_id, "state": "held"}
        assert told == ["0", "0", "1", "0"]
        assert ESCALATED._value.get() == before + 1
        kinds = [event["type"] for event in await world.jobs.timeline(TENANT, job.job_id)]
        assert kinds[-3:] == ["approval.deferred", "approval.resumed", "approval.escalated"]
        event = (await world.jobs.timeline(TENANT, job.job_id))[-1]
        assert (event["roles"], event["rules"], event["severity"]) == (["escalation"], ["a"], "medium")
        with pytest.raises(nats.errors.TimeoutError):
            await hints.next_msg(timeout=0.2)
    finally:
        await nc.close()
        await scripts.close()
