"""Reading back the decisions by which jobs entered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdgate.bundles.comparison import NO_TERMS, Terms
from holdgate.bundles.replay import Recorded
from holdgate.kernel.calls import NO_POLICY
from holdgate.kernel.ids import Tenant
from holdgate.kernel.records import Constraints, Job, Verdict
from holdgate.scheduler.state import recorded
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.entry import Submission
from holdgate.scheduler.state.recorded import RecordedDecisions, Wanted
from holdgate.scheduler.state.transitions import State
from support.state import TENANT, World, make_admission, make_decision, make_job


async def read(world: World, *, tenant: Tenant = TENANT, **wanted: Any) -> list[Recorded]:
    """All records of `tenant` in one list."""
    batches = RecordedDecisions(world.scripts).read(tenant, Wanted(**wanted))
    return [record async for batch in batches for record in batch.records()]


async def deny(world: World, job: Job) -> None:
    """Refused at the door, as the submit gate does it."""
    bare = replace(job, payload=None, prompt=None)
    await world.jobs.deny(bare, make_decision(bare, Verdict.DENY), code="denied", now_ms=world.now_ms)


async def test_what_is_read_is_what_was_decided_newest_first(world: World) -> None:
    first = make_job(world.now_ms, prompt="please", labels={"team": "red"})
    await world.accept(first)
    held = await world.held()
    denied = make_job(world.now_ms, prompt="please")
    await deny(world, denied)
    found = await read(world)
    assert [record.job.job_id for record in found] == [denied.job_id, held.job_id, first.job_id]
    assert [record.verdict for record in found] == [Verdict.DENY, Verdict.REQUIRE_APPROVAL, Verdict.ALLOW]
    assert found[2].job == first
    assert found[2].rules == ("rule",)
    assert found[2].at_ms == first.created_ms


async def test_of_a_refused_job_payload_and_prompt_are_missing_not_absent(world: World) -> None:
    await deny(world, make_job(world.now_ms, prompt="please"))
    await world.accept(make_job(world.now_ms))
    let_in, refused = await read(world)
    assert refused.missing == {"payload", "prompt"}
    assert let_in.missing == frozenset()
    assert (let_in.job.payload, let_in.job.prompt) == (b'{"n":1}', None)


async def test_a_job_denied_later_keeps_what_it_entered_with(world: World) -> None:
    """Its payload is there, and so is the decision by which it entered."""
    job = await world.held()
    await world.scripts.command("HSET", key(TENANT, "job", job.job_id), "state", "denied")
    (record,) = await read(world)
    assert (record.missing, record.verdict, record.job.payload) == (
        frozenset(),
        Verdict.REQUIRE_APPROVAL,
        b'{"n":1}',
    )


async def test_a_payload_in_the_object_store_is_missing(world: World) -> None:
    job = make_job(world.now_ms, payload=b'{"n":2}').with_payload(None)
    await world.accept(job)
    (record,) = await read(world)
    assert record.missing == {"payload"}


async def test_payloads_are_left_where_nobody_looks_at_them(world: World) -> None:
    await world.accept()
    (record,) = await read(world, payloads=False)
    assert (record.job.payload, record.missing) == (None, frozenset())


async def test_last_and_since_bound_what_is_read(world: World) -> None:
    ids = []
    for _ in range(6):
        job = make_job(world.pass_ms(1000))
        await world.accept(job)
        ids.append(job.job_id)
    assert [record.job.job_id for record in await read(world, last=2)] == ids[:-3:-1]
    since_ms = world.now_ms - 2000
    assert [record.job.job_id for record in await read(world, since_ms=since_ms)] == ids[:-4:-1]


async def test_another_tenants_decisions_are_not_read(world: World) -> None:
    await world.accept()
    assert await read(world, tenant=Tenant("other")) == []


async def test_every_record_comes_once_whatever_the_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "PAGE", 7)
    monkeypatch.setattr(recorded, "BATCH", 3)
    monkeypatch.setattr(recorded, "REPLY_BYTES_MAX", 1)
    ids = []
    for number in range(25):
        job = make_job(world.pass_ms(1))
        ids.append(job.job_id)
        await (deny(world, job) if number % 3 else world.accept(job))
    assert [record.job.job_id for record in await read(world)] == ids[::-1]


async def test_terms_are_read_where_there_are_any(world: World) -> None:
    job = make_job(world.now_ms)
    bound = Constraints(max_runtime_s=60)
    decision = make_decision(job, Verdict.ALLOW_WITH_CONSTRAINTS, constraints=bound)
    await world.jobs.accept(Submission(job, decision, make_admission(job), State.ACCEPTED), world.now_ms)
    await world.accept(make_job(world.pass_ms(1)))
    await world.held()
    terms = [record.terms for record in await read(world)]
    assert NO_TERMS in terms
    assert Terms(constraints=bound) in terms
    assert len(set(map(repr, terms))) == 3


@pytest.mark.parametrize("fail_open", [True, False])
async def test_what_nobody_decided_has_no_verdict(world: World, fail_open: bool) -> None:
    job = make_job(world.now_ms)
    decision = make_decision(job, errors=() if fail_open else (NO_POLICY,))
    submission = Submission(job, decision, make_admission(job), State.ACCEPTED, fail_open=fail_open)
    await world.jobs.accept(submission, world.now_ms)
    (record,) = await read(world)
    assert record.verdict is None


async def test_a_record_that_cannot_be_read_is_counted_and_the_others_are_read(world: World) -> None:
    damaged = make_job(world.now_ms)
    await world.accept(damaged)
    await world.accept(make_job(world.pass_ms(1)))
    await world.scripts.command("HSET", key(TENANT, "job", damaged.job_id), "decision", b"\x00")
    batches = [batch async for batch in RecordedDecisions(world.scripts).read(TENANT, Wanted())]
    assert [(len(list(batch.records())), batch.unreadable) for batch in batches] == [(1, 1)]


async def test_a_job_that_is_forgotten_meanwhile_is_left_out(world: World) -> None:
    job = make_job(world.now_ms)
    await world.accept(job)
    await world.scripts.command("DEL", key(TENANT, "job", job.job_id))
    batches = [batch async for batch in RecordedDecisions(world.scripts).read(TENANT, Wanted())]
    assert [(list(batch.records()), batch.unreadable) for batch in batches] == [([], 0)]
