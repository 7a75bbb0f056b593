"""The log is told how jobs ended: every end once, nothing that no gate let out."""

from __future__ import annotations

import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel import subjects
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.wire import pack, unpack
from holdgate.scheduler.errors import LogUnavailable
from holdgate.scheduler.recovery.telling import Telling
from holdgate.scheduler.state.endings import Ending, EndingLog, Endings
from holdgate.scheduler.state.transitions import State
from support.state import TENANT, World, make_decision, make_job, tell_log

pytestmark = pytest.mark.usefixtures("streams")


def telling(world: World, nc: Nats, owner: str = "one") -> Telling:
    """A duty of a dispatcher."""
    return Telling(jobs=world.jobs, endings=Endings(world.scripts, owner), ending_log=EndingLog(nc, timeout_s=0.3))


async def in_log(nc: Nats) -> list[Ending]:
    """All endings, in order."""
    js = nc.jetstream()
    last = (await js.stream_info(subjects.STREAM_ENDED)).state.last_seq
    messages = [await js.get_msg(subjects.STREAM_ENDED, seq) for seq in range(1, last + 1)]
    return [Ending.unpack(message.data or b"") for message in messages]


async def test_an_end_comes_into_the_log_with_the_result_that_was_let_out(world: World, nc: Nats) -> None:
    picked, token = await world.running()
    request = world.finish_request(picked, token, State.SUCCEEDED, value=b'{"a":1}')
    await world.results.finish(TENANT, [request], world.now_ms)
    assert await telling(world, nc).run_once() == 1
    (ending,) = await in_log(nc)
    assert (ending.job_id, ending.state, ending.attempt) == (picked.job.job_id, State.SUCCEEDED, 1)
    assert ending.result["value"] == b'{"a":1}'
    assert ending.seq == await world.audit.last_seq(TENANT)
    assert await telling(world, nc).run_once() == 0, "told once"


async def test_a_job_refused_at_the_door_is_told_to_nobody(world: World, nc: Nats) -> None:
    """The log of jobs does not have it."""
    job = make_job(world.now_ms)
    await world.jobs.deny(job, make_decision(job), code="denied", now_ms=world.now_ms)
    assert await telling(world, nc).run_once() == 0


async def test_what_is_sealed_comes_sealed_and_what_nobody_judged_does_not_come(world: World, nc: Nats) -> None:
    picked, token = await world.running()
    other, _ = await world.running()
    request = world.finish_request(picked, token, State.QUARANTINED, sealed_ref="sha256:box")
    await world.results.finish(TENANT, [request], world.now_ms)
    await telling(world, nc).run_once()
    (ending,) = await in_log(nc)
    assert (ending.job_id, ending.sealed["ref"], ending.sealed_status) == (picked.job.job_id, b"sha256:box", "")
    assert await world.state(other.job.job_id) is State.RUNNING


async def test_no_sealed_bytes_are_told_so_that_none_outlive_their_destruction(world: World, nc: Nats) -> None:
    """Nor those that an older release left in Redis: the log keeps what it was told for days."""
    picked, token = await world.running()
    request = world.finish_request(picked, token, State.QUARANTINED, sealed=b"sealed bytes")
    await world.results.finish(TENANT, [request], world.now_ms)
    await telling(world, nc).run_once()
    (ending,) = await in_log(nc)
    assert b"sealed bytes" not in ending.pack()
    assert ending.sealed["verdict"]


async def test_an_end_that_an_operator_undid_is_told_too(world: World, nc: Nats) -> None:
    picked, token = await world.running(max_attempts=1)
    duty = telling(world, nc)
    await world.results.finish(TENANT, [world.finish_request(picked, token, State.FAILED)], world.now_ms)
    await duty.run_once()
    await world.jobs.retry(TENANT, picked.job.job_id, by="operator", now_ms=world.now_ms)
    await duty.run_once()
    failed, again = await in_log(nc)
    assert (failed.state, again.state, again.has_ended) == (State.FAILED, State.QUEUED, False)
    assert again.seq > failed.seq


async def test_a_job_that_changed_while_it_was_told_of_is_told_of_again(world: World) -> None:
    picked, token = await world.running(max_attempts=1)
    await world.results.finish(TENANT, [world.finish_request(picked, token, State.FAILED)], world.now_ms)
    endings = Endings(world.scripts, "one")
    taken = await endings.take(TENANT)
    await world.jobs.retry(TENANT, picked.job.job_id, by="operator", now_ms=world.now_ms)
    assert await endings.note_logged(TENANT, taken) == 0
    assert [ending.state for ending in await tell_log(world.scripts, owner="one")] == [State.QUEUED]


async def test_two_dispatchers_at_once_tell_it_once(world: World, nc: Nats) -> None:
    for _ in range(5):
        await world.jobs.cancel(TENANT, await world.queued(), by="agent", reason="stop", now_ms=world.now_ms)
    one, two = telling(world, nc), telling(world, nc, "two")
    assert await one.run_once() == 5
    assert await two.run_once() == 0
    await world.jobs.cancel(TENANT, await world.queued(), by="agent", reason="stop", now_ms=world.now_ms)
    both = Endings(world.scripts, "two")
    assert len(await both.take(TENANT)) == 1
    assert await Endings(world.scripts, "one").take(TENANT) == [], "the claim of another"


async def test_what_the_log_did_not_take_is_told_later(world: World, nc: Nats) -> None:
    await world.jobs.cancel(TENANT, await world.queued(), by="agent", reason="stop", now_ms=world.now_ms)
    await nc.jetstream().delete_stream(subjects.STREAM_ENDED)
    with pytest.raises(LogUnavailable):
        await telling(world, nc).run_once()
    assert await Endings(world.scripts, "one").waiting([TENANT]) == {TENANT: 1}


@pytest.mark.parametrize(
    "change",
    [
        {"seq": "1"},
        {"seq": 2**60},
        {"attempt": 2**63},
        {"tenant": "a.b"},
        {"state": "gone"},
        {"result": {"a": 1}},
        {"result": {str(at): b"" for at in range(100)}},
        {"sealed": {"status": b"\xff"}},
    ],
)
def test_what_is_no_ending_is_not_read(change: dict[str, object]) -> None:
    job_id = make_job(1).job_id
    good = unpack(Ending(TENANT, job_id, 1, State.FAILED, 1, 1, "", 1, 1).pack())
    assert Ending.unpack(pack(good)).seq == 1
    with pytest.raises(InvalidInput):
        Ending.unpack(pack({**good, **change}))
