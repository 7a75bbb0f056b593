"""Jobs that a standing grant released, at hand-off: the real submit gate, kernel and dispatcher."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel import limits
from holdgate.kernel.grants import GrantPart, GrantTerms, new_grant_id, rules_of
from holdgate.kernel.ids import ActorId, JobId
from holdgate.kernel.permits import Signer, seal
from holdgate.kernel.records import Job, Phase, Verdict
from holdgate.scheduler.gates.granted import GrantVerifier, StandingGrants
from holdgate.scheduler.gates.room import QueueRoom
from holdgate.scheduler.gates.submit import SubmitGate
from holdgate.scheduler.state.approvals import ApprovalStatus
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.grants import Grants, GrantStatus
from holdgate.scheduler.state.log import PayloadStore
from holdgate.scheduler.state.transitions import State
from support.dispatching import ALLOW_ALL, DENY_ALL, HOLD_ALL, Stage, permit_of
from support.state import API, TENANT, make_job
from support.waiting import Eventually

GRANTABLE: dict[str, Any] = {**HOLD_ALL, "approvers": {**HOLD_ALL["approvers"], "grants": True}}


@dataclass
class Granting:
    """A stage whose jobs enter by the real submit gate, and its grants."""

    stage: Stage
    gate: SubmitGate
    grants: Grants

    async def give(
        self, *givers: str, signer: Signer = API, roles: tuple[str, ...] = ("release-manager",), **changes: Any
    ) -> GrantTerms:
        """A grant over plain jobs, active; `changes` are of its terms."""
        now_ms = self.stage.clock.now_ms()
        job = make_job(now_ms)
        (decision,) = await self.stage.client.decide_fresh([job], Phase.SUBMIT)
        assert decision.verdict is Verdict.REQUIRE_APPROVAL
        terms = GrantTerms(
            grant_id=new_grant_id(now_ms),
            tenant=TENANT,
            actor=job.actor,
            principals=(),
            topic=job.topic,
            capability=None,
            rules=rules_of(decision.approvals),
            snapshot=decision.snapshot,
            uses_max=20,
            requested_by=ActorId(givers[0] if givers else "boss"),
            requested_ms=now_ms,
            expires_ms=now_ms + 3_600_000,
            job_id=job.job_id,
            reason="for the week",
        )
        terms = replace(terms, **changes)
        (first, *others) = [self._part(terms, name, roles) for name in givers or ("boss",)]
        sealed = seal(first, signer)
        await self.grants.request(terms, decision.approvals, sealed, is_complete=not others, now_ms=now_ms)
        for part in others:
            stored = await self.grants.require(TENANT, terms.grant_id)
            assert await self.grants.approve(
                stored, seal(part, signer), part.approver, "me too", fresh=terms.snapshot,
                is_complete=part is others[-1], now_ms=now_ms,
            )  # fmt: skip
        return terms

    def _part(self, terms: GrantTerms, approver: str, roles: tuple[str, ...]) -> GrantPart:
        return GrantPart(
            grant_id=terms.grant_id,
            grant_digest=terms.digest(),
            tenant=terms.tenant,
            approver=ActorId(approver),
            roles=roles,
            reason="looked at the kind",
            issued_ms=terms.requested_ms,
            expires_ms=terms.expires_ms,
            keyed=(),
        )

    async def submit(self, job: Job | None = None, **changes: Any) -> tuple[JobId, State]:
        """A job through the gate; the state in which it entered."""
        submitted = await self.gate.submit(job or make_job(self.stage.clock.now_ms(), **changes), None)
        return JobId(submitted.job_id), submitted.state


@pytest.fixture
async def granting(stage: Stage, nc: Nats) -> Granting:
    """Every job is held, by a rule that takes grants."""
    stage.rules.use(GRANTABLE)
    grants = Grants(stage.scripts)
    verifier = GrantVerifier.of(lambda: stage.rules.trust, lambda _tenant, _actor: None)
    gate = SubmitGate(
        kernel=stage.client,
        jobs=stage.jobs,
        job_log=stage.log,
        payloads=PayloadStore(nc),
        signer=API,
        trust=lambda: stage.rules.trust,
        room=QueueRoom(stage.jobs.waiting_in_all, 1000),
        standing=StandingGrants(grants=grants, verifier=verifier, signer=API, clock=stage.clock),
        hints=stage.dispatcher.hints,
        clock=stage.clock,
    )
    return Granting(stage, gate, grants)


async def test_the_kernel_gives_a_permit_for_a_job_that_a_grant_released(granting: Granting) -> None:
    await granting.give("boss", "chief")
    job_id, state = await granting.submit()
    assert state is State.ACCEPTED
    (delivery,) = await granting.stage.worker().ask(wait_ms=8000)
    permit = permit_of(delivery)
    assert (permit.job_id, permit.verdict, permit.approvers) == (job_id, "require_approval", ("boss", "chief"))
    approval = await granting.stage.approvals.require(TENANT, job_id)
    assert approval.status is ApprovalStatus.CONSUMED


async def test_a_grant_releases_one_attempt_and_the_next_is_held(granting: Granting) -> None:
    terms = await granting.give()
    job_id, _ = await granting.submit()
    worker = granting.stage.worker()
    (delivery,) = await worker.ask(wait_ms=8000)
    await granting.stage.finish(delivery, State.QUEUED)
    assert await worker.ask(wait_ms=500) == []
    assert await granting.stage.state_of(job_id) is State.HELD
    assert (await granting.grants.require(TENANT, terms.grant_id)).uses == 1


async def test_a_policy_published_after_a_use_holds_the_job_again_before_it_runs(
    granting: Granting, eventually: Eventually
) -> None:
    terms = await granting.give()
    job_id, _ = await granting.submit()
    granting.stage.rules.use(GRANTABLE, {**ALLOW_ALL, "id": "more", "match": {"topics": ["more"]}})
    assert await granting.stage.worker().ask(wait_ms=500) == []
    approval = await granting.stage.approvals.require(TENANT, job_id)
    assert (await granting.stage.state_of(job_id), approval.votes) == (State.HELD, ())

    async def is_void() -> bool:
        return (await granting.grants.require(TENANT, terms.grant_id)).status is GrantStatus.VOID

    await eventually(is_void, why="the duty tells that the grant is void")


async def test_while_the_policy_changes_nothing_is_handed_over_under_the_old_one(granting: Granting) -> None:
    await granting.give(uses_max=100)
    rules = granting.stage.rules
    before = rules.current()

    async def publish() -> None:
        await asyncio.sleep(0)
        rules.use(GRANTABLE, {**ALLOW_ALL, "id": "more", "match": {"topics": ["more"]}})

    results = await asyncio.gather(*(granting.submit() for _ in range(50)), publish(),
                                   *(granting.submit() for _ in range(50)))  # fmt: skip
    after = rules.current()
    assert before is not None
    assert after is not None
    assert before.snapshot != after.snapshot
    assert len([item for item in results if item is not None]) == 100
    deliveries = await granting.stage.worker().ask(100, wait_ms=1500)
    assert deliveries == []


async def test_a_policy_that_came_to_deny_ends_a_job_that_a_grant_released(granting: Granting) -> None:
    await granting.give()
    job_id, _ = await granting.submit()
    granting.stage.rules.use(DENY_ALL)
    assert await granting.stage.worker().ask(wait_ms=500) == []
    assert await granting.stage.state_of(job_id) is State.DENIED


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"signer": Signer.from_seed(b"x" * 32)}, "signed by nobody whom the root lists"),
        ({"roles": ("intern",)}, "by somebody whom the rule does not name"),
        ({"givers": ("agent",)}, "by the agent itself"),
        ({"givers": ("Agent",)}, "by the agent itself, in capitals"),
        ({"tenant": "other"}, "of another tenant"),
        ({"rules": (("hold-all", "sha256:" + "0" * 64),)}, "of a rule that was worded otherwise"),
        ({"principals": ("somebody",)}, "for an agent that acts for somebody"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_grant_that_nobody_who_may_gave_for_this_job_lets_nothing_in(
    granting: Granting, made: dict[str, Any], why: str
) -> None:
    givers = made.pop("givers", ("boss",))
    if made.get("tenant"):
        # Written where the jobs of this tenant look, which is what somebody with Redis in hand would do.
        terms = await granting.give(*givers)
        forged = replace(terms, tenant=made["tenant"])
        where = key(TENANT, "grant", terms.grant_id)
        await granting.stage.scripts.command("HSET", where, "digest", forged.digest())
    else:
        await granting.give(*givers, **made)
    _, state = await granting.submit()
    assert state is State.HELD, why


async def test_an_expired_grant_lets_nothing_in_and_is_told_to_have_expired(granting: Granting) -> None:
    now_ms = granting.stage.clock.now_ms()
    terms = await granting.give(expires_ms=now_ms - 1)
    _, state = await granting.submit()
    assert state is State.HELD
    await granting.stage.dispatcher.grants.run_once()
    assert (await granting.grants.require(TENANT, terms.grant_id)).status is GrantStatus.EXPIRED


async def test_a_grant_never_reaches_what_escalation_would_let_others_release(granting: Granting) -> None:
    rule = {**GRANTABLE, "approvers": {**GRANTABLE["approvers"], "escalate_after": "1s",
                                       "escalate_to": {"roles": ["duty"]}}}  # fmt: skip
    granting.stage.rules.use(rule)
    await granting.give(roles=("duty",))
    _, state = await granting.submit()
    assert state is State.HELD


async def test_a_job_that_redis_lost_after_a_grant_released_it_is_asked_about_again(
    granting: Granting, eventually: Eventually
) -> None:
    """The log knows that it was held, and not the votes: people decide, and the use is not given back."""
    await granting.give()
    await granting.stage.dispatcher.stop()
    job_id, _ = await granting.submit()
    await granting.stage.scripts.command("FLUSHDB")
    granting.stage.dispatcher = granting.stage.new_dispatcher()
    await granting.stage.start_dispatcher()

    async def is_held() -> bool:
        view = await granting.stage.jobs.get(TENANT, job_id)
        return view is not None and view.state is State.HELD and granting.stage.dispatcher.recovery.is_open()

    await eventually(is_held, why="the job came back, and nothing is held back any more")
    await granting.stage.release(job_id)
    (delivery,) = await granting.stage.worker().ask(wait_ms=8000)
    assert permit_of(delivery).job_id == job_id


async def test_a_released_job_with_a_time_of_its_own_waits_for_it(granting: Granting) -> None:
    await granting.give()
    soon_ms = granting.stage.clock.now_ms() + 600
    job_id, state = await granting.submit(run_at_ms=soon_ms)
    assert state is State.SCHEDULED
    (delivery,) = await granting.stage.worker().ask(wait_ms=8000)
    assert (permit_of(delivery).job_id, granting.stage.clock.now_ms() >= soon_ms) == (job_id, True)


async def test_uses_are_kept_no_longer_than_their_grant(granting: Granting) -> None:
    terms = await granting.give()
    await granting.submit()
    for part in ("grant", "grant_parts", "grant_uses"):
        left_ms = await granting.stage.scripts.command("PTTL", key(TENANT, part, terms.grant_id))
        assert 0 < left_ms <= (limits.ENDED_KEPT_S + 3600) * 1000, part


async def test_without_a_policy_no_grant_is_void_and_none_is_used(granting: Granting, eventually: Eventually) -> None:
    """What the next policy says is not known; every job is denied meanwhile."""
    terms = await granting.give()
    granting.stage.rules.use()
    await eventually(lambda: not _has_policy(granting), why="the change was heard")
    await granting.stage.dispatcher.grants.run_once()
    _, state = await granting.submit()
    assert state is State.DENIED
    stored = await granting.grants.require(TENANT, terms.grant_id)
    assert (stored.status, stored.uses) == (GrantStatus.ACTIVE, 0)


def _has_policy(granting: Granting) -> bool:
    heard = granting.stage.client.snapshot
    return heard is not None and heard.policy
