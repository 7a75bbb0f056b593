"""Losses of a moment: what no log knows of is known to the dispatcher that handed it over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel import subjects
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.backup.state import mark_restored
from holdgate.scheduler.errors import LogUnavailable, StateUnavailable
from holdgate.scheduler.recovery import Drift, service
from holdgate.scheduler.recovery.claim import CLAIM
from holdgate.scheduler.recovery.service import Recovery
from holdgate.scheduler.state.audit import SET_BACK
from holdgate.scheduler.state.connection import Scripts, key
from holdgate.scheduler.state.presence import Presences
from holdgate.scheduler.state.transitions import State
from support.losing import Copy, Keeper, connect_anew
from support.state import TENANT, make_job


@pytest.fixture
async def keeper(nc: Nats, scripts: Scripts, streams: None) -> Keeper:
    """Nothing in it but what a first look leaves."""
    keeper = Keeper(scripts, SystemClock().now_ms(), nc=nc)
    await keeper.reconcile()
    return keeper


@pytest.fixture
async def recovery(keeper: Keeper) -> Recovery:
    """Of a dispatcher that found the store sound."""
    recovery = Recovery(keeper.parts, keeper.telling.take_told)
    recovery.start()
    await recovery.watch_once()
    assert recovery.is_open()
    return recovery


async def meet_another(keeper: Keeper, recovery: Recovery) -> None:
    """A server that may be another one."""
    await connect_anew(keeper.scripts)
    for _ in range(200):
        try:
            await keeper.scripts.command("PING")
        except StateUnavailable:
            continue
        if not recovery.is_open():
            return
    raise AssertionError("the connections were not made anew")


async def test_an_attempt_that_the_store_forgot_is_not_given_out_again(
    keeper: Keeper, recovery: Recovery, redis_url: str
) -> None:
    """Started since the last look: no counter is behind, and no log has it."""
    await keeper.let_in(max_attempts=2)
    copy = Copy.of(redis_url)
    [picked] = await keeper.pick(9)
    await keeper.start(picked)
    recovery.note_started(TENANT, picked.job.job_id, picked.attempt)
    copy.put_back()
    await meet_another(keeper, recovery)
    await recovery.watch_once()
    assert recovery.is_open()
    [again] = await keeper.pick(9)
    assert again.attempt > picked.attempt


async def test_what_another_dispatcher_counts_hides_nothing(keeper: Keeper, recovery: Recovery, redis_url: str) -> None:
    other = Recovery(keeper.parts)
    other.start()
    await other.watch_once()
    copy = Copy.of(redis_url)
    await recovery.watch_once()
    [] = await keeper.pick(9)
    job = await keeper.let_in(max_attempts=2)
    copy.put_back()
    await other.watch_once()
    await recovery.watch_once()
    assert await keeper.state(job.job_id) is State.QUEUED, "brought back"


async def test_a_copy_that_says_that_it_is_whole_is_not_believed(
    keeper: Keeper, recovery: Recovery, redis_url: str
) -> None:
    """It was made good once, by a clock that was ahead by an hour."""
    keeper.pass_ms(3_600_000)
    await keeper.reconcile(is_set_back=True)
    keeper.pass_ms(-3_600_000)
    await keeper.let_in(max_attempts=2)
    copy = Copy.of(redis_url)
    await recovery.watch_once()
    [picked] = await keeper.pick(9)
    await keeper.start(picked)
    copy.put_back()
    await recovery.watch_once()
    [again] = await keeper.pick(9)
    assert again.attempt > picked.attempt


async def test_what_another_dispatcher_made_good_is_not_looked_at_twice(
    keeper: Keeper, recovery: Recovery, redis_url: str
) -> None:
    await keeper.let_in(max_attempts=2)
    copy = Copy.of(redis_url)
    await recovery.watch_once()
    copy.put_back()
    await keeper.scripts.command("SET", CLAIM, "another")
    await recovery.watch_once()
    assert not recovery.is_open()
    await keeper.reconcile()
    await recovery.watch_once()
    assert not recovery.is_open(), "that look did not know that the store was set back"
    await keeper.reconcile(is_set_back=True)
    await recovery.watch_once()
    assert recovery.is_open()


async def test_a_job_that_somebody_missed_comes_back_though_newer_ones_are_there(
    keeper: Keeper, recovery: Recovery
) -> None:
    lost, ran = await keeper.let_in(), await keeper.let_in(max_attempts=2)
    await keeper.let_in()
    await keeper.scripts.command("DEL", key(TENANT, "job", lost.job_id))
    assert not recovery.doubt(TENANT, lost.job_id)
    assert not recovery.is_open()
    await recovery.watch_once()
    assert recovery.is_open()
    assert await keeper.state(lost.job_id) is State.QUEUED
    [picked] = [item for item in await keeper.pick(9) if item.job.job_id == ran.job_id]
    assert picked.attempt > 2, "nobody knows what else was lost"


async def test_a_job_that_a_look_left_out_is_doubted_no_more(keeper: Keeper, recovery: Recovery) -> None:
    """It is forgotten: to ask for it for ever would keep the intake from all others."""
    job_id = await keeper.ran(State.SUCCEEDED)
    assert not recovery.doubt(TENANT, job_id)
    assert not recovery.doubt(TENANT, job_id), "nobody looked yet"
    await recovery.watch_once()
    assert recovery.doubt(TENANT, job_id)
    assert recovery.is_open()


async def test_a_look_that_fails_lets_others_look(
    keeper: Keeper, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_args: object, **_options: object) -> None:
        raise LogUnavailable("another leader")

    monkeypatch.setattr(service, "reconcile", fails)
    with pytest.raises(LogUnavailable):
        await recovery.reconcile_once()
    assert await keeper.scripts.command("GET", CLAIM) is None


async def test_a_look_that_took_too_long_leaves_the_claim_to_its_new_owner(
    keeper: Keeper, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def loses_claim(*_args: object, **_options: object) -> None:
        await keeper.scripts.command("SET", CLAIM, "another")
        raise LogUnavailable("stopped for long")

    monkeypatch.setattr(service, "reconcile", loses_claim)
    with pytest.raises(LogUnavailable):
        await recovery.reconcile_once()
    assert await keeper.scripts.command("GET", CLAIM) == b"another"


async def test_endings_that_could_not_be_asked_about_are_asked_about_again(
    keeper: Keeper, recovery: Recovery, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await keeper.let_in()
    await keeper.run(job.job_id, State.SUCCEEDED)
    asked: list[int] = []

    async def fails(_parts: object, told: dict[object, object]) -> bool:
        asked.append(len(told))
        raise StateUnavailable("failing over")

    monkeypatch.setattr(service, "knows_told", fails)
    for _ in range(2):
        with pytest.raises(StateUnavailable):
            await recovery.watch_once()
    assert asked == [1, 1]


async def test_dispatchers_wait_for_each_other_before_they_trust_a_server(keeper: Keeper, recovery: Recovery) -> None:
    """What one handed over only that one can miss."""
    presences = Presences(keeper.scripts, keeper.parts.clock)
    for name in ("one", "two"):
        await presences.say("dispatcher", name, "up", ())
    await meet_another(keeper, recovery)
    await recovery.watch_once()
    assert not recovery.is_open()

    async def opens() -> None:
        while not recovery.is_open():
            await recovery.watch_once()

    async with asyncio.timeout(10):
        await opens()


async def test_a_server_that_changes_during_a_look_is_looked_at_again(
    keeper: Keeper, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the look put back may be gone again, and the newest be there."""
    reconcile, looks = service.reconcile, []

    async def changes(*args: Any, **options: Any) -> Drift:
        looks.append(options["is_set_back"])
        drift = await reconcile(*args, **options)
        if len(looks) == 1:
            await meet_another(keeper, recovery)
        return drift

    monkeypatch.setattr(service, "reconcile", changes)
    await keeper.lose()
    await recovery.watch_once()
    assert looks[:2] == [True, True]
    assert recovery.is_open()


async def test_what_was_set_back_while_no_dispatcher_was_there_the_auditor_says(keeper: Keeper) -> None:
    await keeper.let_in(max_attempts=2)
    recovery = Recovery(keeper.parts)
    recovery.start()
    await recovery.watch_once()
    await keeper.scripts.command("HSET", SET_BACK, TENANT, f"{await keeper.audit.last_seq(TENANT)} 1")
    await recovery.watch_once()
    assert not recovery.is_open()
    await recovery.watch_once()
    assert recovery.is_open()
    [picked] = await keeper.pick(9)
    assert picked.attempt > 1


async def test_a_restored_state_is_taken_for_one_that_was_set_back_once(keeper: Keeper) -> None:
    await keeper.let_in(max_attempts=2)
    await mark_restored(keeper.scripts.address)
    assert (await keeper.reconcile()).was_lost
    assert not (await keeper.reconcile()).was_lost
    [picked] = await keeper.pick(9)
    assert picked.attempt == 3


async def test_a_newest_message_that_nobody_can_use_says_nothing_about_the_store(keeper: Keeper) -> None:
    await keeper.let_in(max_attempts=2)
    junk = {"Nats-Msg-Id": make_job(1).job_id}
    await keeper.nc.jetstream().publish(subjects.job(TENANT), b"junk", headers=junk)
    assert (await keeper.reconcile()).was_lost, "it might be of a job"
    assert not (await keeper.reconcile()).was_lost
    await keeper.lose()
    assert (await keeper.reconcile()).was_lost
