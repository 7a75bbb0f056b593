"""Votes at the dispatch gate: they go to the worker as they were signed, and what is wrong with one ends no job."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest

from holdgate.kernel.ids import JobId
from holdgate.kernel.links import Signed, Vote
from holdgate.kernel.permits import Keyring, Signer, open_signed
from holdgate.scheduler import metrics
from holdgate.scheduler.state.approvals import ApprovalStatus
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.transitions import State
from support.dispatching import HOLD_ALL, Stage, permit_of
from support.state import API, TENANT

STRANGER = Signer.from_seed(b"s" * 32)


async def test_a_worker_gets_the_votes_that_released_its_job(stage: Stage) -> None:
    stage.rules.use(HOLD_ALL)
    job_id = await stage.submit()
    await stage.release(job_id)
    (delivery,) = await stage.worker().ask(wait_ms=8000)
    (vote,) = [open_signed(Signed.from_dict(item), Vote, Keyring([API.public_key])) for item in delivery["votes"]]
    permit = permit_of(delivery)
    assert (vote.job_id, vote.snapshot, vote.attempt) == (job_id, permit.snapshot, permit.attempt)
    assert permit.approvers == (vote.approver,) == ("boss",)


async def test_a_job_that_nobody_held_comes_without_votes(stage: Stage) -> None:
    await stage.submit()
    (delivery,) = await stage.worker().ask(wait_ms=8000)
    assert (delivery["votes"], permit_of(delivery).approvers) == ([], ())


@pytest.mark.parametrize("forgery", ["no vote", "no JSON", "a stranger's", "altered"])
async def test_a_vote_that_does_not_hold_has_the_job_held_again_and_never_denied(stage: Stage, forgery: str) -> None:
    """Whoever can write to the store could end every job that people released."""
    await stage.dispatcher.stop()  # nobody picks the job before its vote is altered
    stage.rules.use(HOLD_ALL)
    job_id = await stage.submit()
    await stage.release(job_id)
    await _forge(stage, job_id, forgery)
    alarms = metrics.CUSTODY_BROKEN._value.get()
    stage.dispatcher = stage.new_dispatcher()
    await stage.start_dispatcher()
    assert await stage.worker().ask(wait_ms=1000) == []
    approval = await stage.approvals.require(TENANT, job_id)
    assert (await stage.state_of(job_id), approval.status, approval.votes) == (State.HELD, ApprovalStatus.PENDING, ())
    assert metrics.CUSTODY_BROKEN._value.get() == alarms
    await stage.release(job_id)
    (delivery,) = await stage.worker().ask(wait_ms=8000)
    assert permit_of(delivery).job_id == job_id


async def _forge(stage: Stage, job_id: JobId, forgery: str) -> None:
    votes = key(TENANT, "votes", job_id)
    stored = msgpack.unpackb(await stage.scripts.command("LINDEX", votes, 0))
    good = Signed.from_dict(stored["signed"])
    forged = {
        "no vote": API.sign("vote", b"{}"),
        "no JSON": API.sign("vote", b"{"),
        "a stranger's": STRANGER.sign("vote", good.body),
        "altered": replace(good, body=good.body.replace(b"looks right", b"looks wrong")),
    }[forgery]
    stored["signed"] = forged.as_dict()
    await stage.scripts.command("LSET", votes, 0, msgpack.packb(stored))
