"""What a worker sends is read strictly: a hostile worker of a pool can only hurt itself."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.kernel import limits, wire
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import new_job_id
from holdgate.scheduler.dispatch.beats import Beat
from holdgate.scheduler.dispatch.offers import Ask
from holdgate.scheduler.dispatch.reaper import LEASE_LOST, OVER_TIME, Ending, ending_of
from holdgate.scheduler.state.leases import ExpiredLease
from holdgate.scheduler.state.transitions import State
from support.state import make_job

ASK: dict[str, Any] = {
    "worker": "w1",
    "pool": "default",
    "topics": ["job.demo.*"],
    "capabilities": ["gpu"],
    "n": 4,
    "wait_ms": 100,
}
LEASE: dict[str, Any] = {"tenant": "acme", "job_id": new_job_id(1), "attempt": 1, "token": "t", "progress": None}
BEAT: dict[str, Any] = {**ASK, "capacity": 4, "busy": 1, "leases": [LEASE]}


@pytest.mark.parametrize(
    "changes",
    [
        {"worker": "w2"},
        {"pool": "other"},
        {"n": 0},
        {"n": limits.ASK_JOBS_MAX + 1},
        {"n": True},
        {"n": "4"},
        {"wait_ms": -1},
        {"wait_ms": limits.ASK_WAIT_S_MAX * 1000 + 1},
        {"topics": ["job..a"]},
        {"topics": ["job.>.a"]},
        {"topics": "job.demo.read"},
        {"topics": ["job.a"] * 300},
        {"capabilities": [1]},
    ],
)
def test_a_malformed_ask_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Ask.from_message("holdgate.ask.default.w1", wire.pack({**ASK, **changes}))


def test_an_ask_is_for_topics_and_capabilities_both() -> None:
    ask = Ask.from_message("holdgate.ask.default.w1", wire.pack(ASK))
    assert ask.can_do(make_job(1))
    assert ask.can_do(make_job(1, requires=("gpu",)))
    assert not ask.can_do(make_job(1, requires=("gpu", "root")))
    assert not ask.can_do(make_job(1, topic="job.exec.shell"))


@pytest.mark.parametrize(
    "changes",
    [
        {"worker": "w2"},
        {"leases": {}},
        {"leases": ["x"]},
        {"leases": [{**LEASE, "tenant": "A*"}]},
        {"leases": [{**LEASE, "job_id": "job_1"}]},
        {"leases": [{**LEASE, "attempt": 0}]},
        {"leases": [{**LEASE, "attempt": True}]},
        {"leases": [{**LEASE, "token": "t" * 65}]},
        {"leases": [{**LEASE, "progress": 2}]},
        {"leases": [{**LEASE, "progress": "half"}]},
        {"capacity": -1},
        {"busy": 1.5},
        {"topics": [1]},
    ],
)
def test_a_malformed_heartbeat_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Beat.from_message("holdgate.beat.default.w1", wire.pack({**BEAT, **changes}), 1)


def test_bytes_that_are_no_message_are_refused() -> None:
    for read in (lambda: Ask.from_message("a.b.c", b"\xc1"), lambda: Beat.from_message("a.b.c", b"", 1)):
        with pytest.raises(InvalidInput):
            read()


@pytest.mark.parametrize(
    ("attempt", "cancel", "over_time", "ending"),
    [
        (1, False, False, Ending(State.QUEUED, LEASE_LOST, is_retry=True)),
        (3, False, False, Ending(State.FAILED, LEASE_LOST)),
        (1, False, True, Ending(State.QUEUED, OVER_TIME, is_retry=True)),
        (3, False, True, Ending(State.TIMED_OUT, OVER_TIME)),
        (1, True, False, Ending(State.CANCELLED, "cancelled")),
        (3, True, True, Ending(State.CANCELLED, "cancelled")),
    ],
)
def test_where_an_expired_lease_leads(attempt: int, cancel: bool, over_time: bool, ending: Ending) -> None:
    lease = ExpiredLease(
        job_id=new_job_id(1),
        attempt=attempt,
        attempts_max=3,
        worker="w1",  # type: ignore[arg-type]
        pool="default",
        cancel_requested=cancel,
        over_time=over_time,
    )
    assert ending_of(lease) == ending
