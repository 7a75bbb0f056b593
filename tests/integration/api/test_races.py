"""A hundred acts on held jobs at the same moment, through the gate, on real servers: one outcome, told as it was."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ids import ActorId, JobId, LeaseToken, PermitId, Tenant, WorkerId, new_token
from holdgate.kernel.records import Decision
from holdgate.scheduler.gates.approval import Approver, Shown, VoteForm
from holdgate.scheduler.state.approvals import ApprovalStatus, ApprovalView
from holdgate.scheduler.state.backlog import Backlog, Picked, StartKind, StartRequest
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.transitions import State
from support.api import ApiWorld, running_api
from support.holding import publish_rules
from support.invariants import dump, verify
from support.servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="module")
TENANT = Tenant("default")
AT_ONCE = 100
PEOPLE = [Approver(TENANT, ActorId(f"person{number}"), ("release-manager",)) for number in range(AT_ONCE)]
NOW = SystemClock().now_ms


def rules(version: int, *quorums: int) -> str:
    """`job.q<n>.run` takes n votes; the version changes nothing but the snapshot."""
    held = "".join(
        f"  - id: q{quorum}\n    decision: require_approval\n    reason: looked at\n"
        f'    match: {{topics: ["job.q{quorum}.run"]}}\n    approvers: {{roles: [release-manager], quorum: {quorum}}}\n'
        for quorum in quorums
    )
    return held + f'  - {{id: v{version}, decision: allow, reason: r, match: {{topics: ["job.v{version}.run"]}}}}\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiWorld]:
    """An API with rules that take one, two and three votes."""
    folder = tmp_path_factory.mktemp("races")
    async with running_api(servers.take_nats_url(), servers.take_redis_url(), folder / "home") as api:
        await publish_rules(api, folder, rules(1, 1, 2, 3), 1)
        yield api


async def held(world: ApiWorld, quorum: int) -> ApprovalView:
    """A job that takes `quorum` votes."""
    reply = await world.submit(topic=f"job.q{quorum}.run")
    assert reply.json()["state"] == "held", reply.text
    return await world.deps.approvals.require(TENANT, JobId(reply.json()["job_id"]))


def form(approval: ApprovalView) -> VoteForm:
    """A vote on what was shown."""
    return VoteForm(Shown(approval.job_hash, approval.snapshot), "looked at it")


async def approve(world: ApiWorld, approval: ApprovalView, who: Approver) -> str:
    """The status after the vote."""
    return str((await world.deps.approval_gate.approve(who, approval.job_id, form(approval))).status)


async def reject(world: ApiWorld, approval: ApprovalView, who: Approver) -> str:
    """The status after the vote."""
    return str((await world.deps.approval_gate.reject(who, approval.job_id, form(approval))).status)


async def told(calls: Sequence[Awaitable[str]]) -> Counter[str]:
    """What the callers were told: a status, or the code of a refusal. Anything else is raised."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, HoldgateError):
            raise answer
    return Counter(answer.code if isinstance(answer, HoldgateError) else str(answer) for answer in answers)


async def record(world: ApiWorld, job_id: JobId) -> tuple[ApprovalView, State, Counter[str]]:
    """What is on record: the approval, the job's state, its events by type. Everything else holds, too."""
    verify(await dump(world.scripts, TENANT))
    events = await world.deps.jobs.timeline(TENANT, job_id)
    state = (await world.deps.jobs.require(TENANT, job_id)).state
    return await world.deps.approvals.require(TENANT, job_id), state, Counter(event["type"] for event in events)


async def test_a_hundred_approvals_of_one_job_release_it_once_with_the_votes_it_takes(world: ApiWorld) -> None:
    for quorum in (1, 2, 3):
        approval = await held(world, quorum)
        answers = await told([approve(world, approval, who) for who in PEOPLE])
        assert answers == Counter(
            {"released": 1, "approval_resolved": AT_ONCE - quorum, **({"pending": quorum - 1} if quorum > 1 else {})}
        )
        view, state, events = await record(world, approval.job_id)
        assert (view.status, state, len(view.votes)) == (ApprovalStatus.RELEASED, State.QUEUED, quorum)
        assert (events["approval.vote"], events["approval.released"], events["job.queued"]) == (quorum, 1, 1)


async def test_the_same_approver_a_hundred_times_counts_once(world: ApiWorld) -> None:
    approval = await held(world, 2)
    answers = await told([approve(world, approval, PEOPLE[0]) for _ in range(AT_ONCE)])
    assert answers == Counter({"pending": 1, "approval_duplicate_vote": AT_ONCE - 1})
    view, state, events = await record(world, approval.job_id)
    assert (len(view.votes), state, events["approval.vote"], events["approval.released"]) == (1, State.HELD, 1, 0)


@pytest.mark.parametrize("quorum", [1, 3])
async def test_approvals_against_rejections_end_in_one_of_them(world: ApiWorld, quorum: int) -> None:
    for _ in range(3):
        approval = await held(world, quorum)
        calls = [(approve if number % 2 else reject)(world, approval, who) for number, who in enumerate(PEOPLE)]
        answers = await told(calls)
        view, state, events = await record(world, approval.job_id)
        assert answers["released"] + answers["rejected"] == 1
        assert events["approval.released"] + events["approval.rejected"] == 1
        assert events["approval.released"] == answers["released"]
        assert (state is State.QUEUED) == (view.status is ApprovalStatus.RELEASED) == bool(answers["released"])
        assert (state is State.DENIED) == (view.status is ApprovalStatus.REJECTED) == bool(answers["rejected"])
        counted = answers["pending"] + 1
        assert len(view.votes) == events["approval.vote"] == counted
        assert answers["approval_resolved"] == AT_ONCE - counted


async def test_approvals_against_the_end_of_their_time_end_in_one_of_them(world: ApiWorld) -> None:
    ended = Counter[str]()
    for _ in range(4):
        approval = await held(world, 1)
        expires_ms = NOW() + 60_000
        await world.scripts.command("HSET", key(TENANT, "approval", approval.job_id), "expires", expires_ms)
        await world.scripts.command("ZADD", key(TENANT, "approvals_due"), expires_ms, approval.job_id)

        async def expire(at_ms: int = expires_ms) -> str:
            return "expired" if await world.deps.approvals.expire(TENANT, at_ms) else "nothing"

        calls: list[Awaitable[str]] = [approve(world, approval, who) for who in PEOPLE[: AT_ONCE // 2]]
        # A vote first asks the kernel: those that come before any expiry are of either kind.
        calls += [_after(world, number, expire()) for number in range(AT_ONCE // 2)]
        answers = await told(calls)
        view, state, events = await record(world, approval.job_id)
        assert answers["released"] + answers["expired"] == 1
        assert events["approval.released"] + events["approval.expired"] == 1
        assert (view.status, state) in {
            (ApprovalStatus.RELEASED, State.QUEUED),
            (ApprovalStatus.EXPIRED, State.EXPIRED),
        }
        assert events["approval.released"] == answers["released"]
        assert len(view.votes) == events["approval.vote"] == answers["released"]
        ended[str(state)] += 1
    assert sum(ended.values()) == 4


async def _after(world: ApiWorld, rounds: int, act: Awaitable[str]) -> str:
    """`act`, after some turns of the store: so that acts come between votes, not before all of them."""
    for _ in range(rounds % 8):
        await world.scripts.command("PING")
    return await act


async def test_approvals_against_cancelling_end_in_one_of_them(world: ApiWorld) -> None:
    for _ in range(4):
        approval = await held(world, 1)

        async def cancel(job_id: JobId = approval.job_id) -> str:
            result = await world.deps.jobs.cancel(TENANT, job_id, by="agent", reason="", now_ms=NOW())
            return str(result.state)

        calls: list[Awaitable[str]] = [approve(world, approval, who) for who in PEOPLE[: AT_ONCE // 2]]
        calls += [_after(world, number, cancel()) for number in range(AT_ONCE // 2)]
        answers = await told(calls)
        view, state, events = await record(world, approval.job_id)
        assert (answers["cancelled"], events["job.cancelled"]) == (1, 1)
        assert (state, view.status) == (State.CANCELLED, ApprovalStatus.CANCELLED)
        assert answers["released"] == events["approval.released"] == len(view.votes) <= 1
        assert answers["wrong_state"] == AT_ONCE // 2 - 1


async def test_approvals_against_a_new_policy_release_under_the_old_or_are_told_to_look_again(
    world: ApiWorld, tmp_path: Path
) -> None:
    jobs = [await held(world, 2) for _ in range(33)]
    publishing = asyncio.ensure_future(publish_rules(world, tmp_path, rules(2, 1, 2, 3), 2))
    answers = await told([approve(world, approval, who) for approval in jobs for who in PEOPLE[:3]])
    await publishing
    later = await told([approve(world, approval, who) for approval in jobs for who in PEOPLE[3:6]])
    fresh = world.deps.kernel.snapshot
    assert fresh is not None
    assert set(answers) | set(later) <= {"released", "pending", "approval_resolved", "approval_stale_policy"}
    released = 0
    for approval in jobs:
        view, state, events = await record(world, approval.job_id)
        assert events["approval.released"] + events["approval.stale"] == 1
        if view.status is ApprovalStatus.RELEASED:
            released += 1
            assert (state, view.snapshot, len(view.votes)) == (State.QUEUED, approval.snapshot, 2)
        else:
            assert (view.status, state, view.snapshot) == (ApprovalStatus.PENDING, State.HELD, fresh.snapshot)
            assert (view.round, view.votes) == (2, ())
    assert answers["released"] + later["released"] == released


async def test_a_released_job_is_started_once_whoever_asks_and_however_often(world: ApiWorld) -> None:
    approval = await held(world, 1)
    await approve(world, approval, PEOPLE[0])
    backlog = Backlog(world.scripts)
    await backlog.enqueue(TENANT, [approval.job_id], NOW())
    view = await world.deps.jobs.require(TENANT, approval.job_id)
    picks = await asyncio.gather(
        *(backlog.pick(TENANT, view.job.pool, 100, in_flight_max=1000, now_ms=NOW()) for _ in range(AT_ONCE))
    )
    mine = [item for picked in picks for item in picked if item.job.job_id == approval.job_id]
    assert len(mine) == 1  # only one dispatcher ever holds it
    requests = [_start(mine[0], view.decision, number) for number in range(AT_ONCE)]
    results = await asyncio.gather(*(backlog.start(TENANT, [request], NOW()) for request in requests))
    kinds = Counter(result.kind for (result,) in results)
    assert kinds == Counter({StartKind.STARTED: 1, StartKind.LOST: AT_ONCE - 1})
    approval_now, state, events = await record(world, approval.job_id)
    assert (approval_now.status, state, events["approval.consumed"]) == (ApprovalStatus.CONSUMED, State.RUNNING, 1)
    late = await told([approve(world, approval, PEOPLE[1])])
    assert late == Counter({"approval_resolved": 1})


def _start(picked: Picked, decision: Decision, number: int) -> StartRequest:
    return StartRequest(
        job_id=picked.job.job_id,
        reservation=picked.reservation,
        decision=decision,
        permit_id=PermitId(f"permit_{number}"),
        worker=WorkerId("w1"),
        pool=picked.job.pool,
        token=LeaseToken(new_token()),
        attempt=picked.attempt,
        lease_ms=30_000,
        topic=picked.job.topic,
        approval_required=True,
    )


async def test_an_approval_of_an_earlier_job_or_round_releases_nothing(world: ApiWorld) -> None:
    first, second = await held(world, 1), await held(world, 1)
    assert first.job_hash == second.job_hash  # the same work asked for twice: told apart by the job's id alone
    await approve(world, first, PEOPLE[0])
    assert (await record(world, second.job_id))[1] is State.HELD
    other: dict[str, Any] = {"payload": {"n": 2}}
    third = await world.submit(topic="job.q1.run", **other)
    approval = await world.deps.approvals.require(TENANT, JobId(third.json()["job_id"]))
    swapped = replace(first, job_id=approval.job_id)
    assert await told([approve(world, swapped, who) for who in PEOPLE]) == Counter({"approval_stale_job": AT_ONCE})
    assert (await record(world, approval.job_id))[1] is State.HELD
