"""Random operations and crashes between their steps, over real Redis; after each, everything that must hold is checked.

A crash is a step that does not happen: accepted and never published, picked and never started, started and silent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from holdgate.kernel.canonical import digest
from holdgate.kernel.ids import ActorId, JobId, LeaseToken
from holdgate.kernel.records import Job, Over, Priority, Throttle, Verdict
from holdgate.scheduler.errors import APPROVAL_ERRORS, ApprovalExpired, WrongState
from holdgate.scheduler.state.approvals import ApprovalStatus, Redecision
from holdgate.scheduler.state.backlog import Picked, StartKind
from holdgate.scheduler.state.connection import Scripts, connect_redis
from holdgate.scheduler.state.jobs import AcceptKind, Idempotency
from holdgate.scheduler.state.leases import LeaseClaim
from holdgate.scheduler.state.results import FinishingClaim, FinishKind
from holdgate.scheduler.state.transitions import DEAD, State
from support.invariants import dump, is_final, verify
from support.state import SNAPSHOT, TENANT, WORKER, World, make_decision, make_job

T = TypeVar("T")
CONCURRENCY_MAX = 1
OTHER_SNAPSHOT = digest("policy two")
DRAIN_ROUNDS = 200
THROTTLE = Throttle(rule="limit", bucket="b", limit=3, per_s=60, over=Over.DELAY)
ENDINGS = st.sampled_from(
    [State.SUCCEEDED, State.QUARANTINED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.QUEUED]
)
pick_any = st.integers(0, 1_000)


class Machine(RuleBasedStateMachine):
    """What agents, approvers, dispatchers, workers and operators may do, in any order."""

    redis_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.scripts: Scripts = self.run(connect_redis(self.redis_url))
        self.run(self.scripts.command("FLUSHDB"))
        self.world = World(self.scripts)
        self.jobs: list[Job] = []
        self.entered: set[JobId] = set()
        self.keys: dict[JobId, Idempotency] = {}
        self.picked: list[Picked] = []
        self.started: list[tuple[Picked, LeaseToken]] = []
        self.readable: set[JobId] = set()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """On this machine's own loop."""
        return self.loop.run_until_complete(work)

    def seq(self) -> int:
        """Stays the same when nothing changed."""
        return self.run(self.world.audit.last_seq(TENANT))

    def state_of(self, job_id: JobId) -> State:
        """As stored."""
        return self.run(self.world.state(job_id))

    # agents ---------------------------------------------------------------------------------------------------------
    @rule(
        initial=st.sampled_from([State.ACCEPTED, State.ACCEPTED, State.HELD, State.SCHEDULED]),
        priority=st.sampled_from(Priority),
        ckey=st.sampled_from([None, "k"]),
        deadline_s=st.sampled_from([None, 20]),
        throttled=st.booleans(),
    )
    def submit(
        self, initial: State, priority: Priority, ckey: str | None, deadline_s: int | None, throttled: bool
    ) -> None:
        now = self.world.now_ms
        job = make_job(
            now,
            priority=priority,
            concurrency_key=ckey,
            deadline_ms=deadline_s and now + deadline_s * 1000,
            run_at_ms=now + 15_000 if initial is State.SCHEDULED else None,
            principals=(ActorId("boss"),),
        )
        key = Idempotency(f"key-{len(self.jobs)}", "f" * 64)
        throttles = (THROTTLE,) if throttled else ()
        result = self.run(self.world.accept(job, initial=initial, idempotency=key, throttles=throttles))
        assert result.kind is AcceptKind.ACCEPTED
        self.jobs.append(job)
        self.entered.add(job.job_id)
        self.keys[job.job_id] = key

    @rule()
    def submit_denied(self) -> None:
        job = make_job(self.world.now_ms, prompt="never kept")
        self.run(self.world.jobs.deny(job, make_decision(job, Verdict.DENY), code="denied", now_ms=self.world.now_ms))
        self.entered.add(job.job_id)

    @precondition(lambda self: self.jobs)
    @rule(which=pick_any, same_body=st.booleans())
    def submit_again(self, which: int, same_body: bool) -> None:
        first = self.jobs[which % len(self.jobs)]
        before = self.seq()
        key = Idempotency(self.keys[first.job_id].key, "f" * 64 if same_body else "0" * 64)
        result = self.run(self.world.accept(make_job(self.world.now_ms), idempotency=key))
        assert result.kind is (AcceptKind.REPLAY if same_body else AcceptKind.CONFLICT)
        assert result.job_id == (first.job_id if same_body else None)
        assert self.seq() == before

    @precondition(lambda self: self.jobs)
    @rule(which=pick_any)
    def cancel(self, which: int) -> None:
        job_id = self.jobs[which % len(self.jobs)].job_id
        before = self.state_of(job_id)
        try:
            result = self.run(
                self.world.jobs.cancel(TENANT, job_id, by="agent", reason="test", now_ms=self.world.now_ms)
            )
        except WrongState:
            assert is_final(before) or before is State.FINISHING
        else:
            assert result.state is (State.RUNNING if before is State.RUNNING else State.CANCELLED)

    @precondition(lambda self: self.jobs)
    @rule(which=pick_any)
    def retry(self, which: int) -> None:
        job_id = self.jobs[which % len(self.jobs)].job_id
        before = self.state_of(job_id)
        try:
            self.run(self.world.jobs.retry(TENANT, job_id, by="operator", now_ms=self.world.now_ms))
        except WrongState:
            assert before not in DEAD
        else:
            assert before in DEAD
            self.readable.discard(job_id)

    # the log --------------------------------------------------------------------------------------------------------
    @precondition(lambda self: self.jobs)
    @rule(which=st.lists(pick_any, min_size=1, max_size=4))
    def intake(self, which: list[int]) -> None:
        """Any message may come any number of times."""
        job_ids = list(dict.fromkeys(self.jobs[one % len(self.jobs)].job_id for one in which))
        assert None not in self.run(self.world.backlog.enqueue(TENANT, job_ids, self.world.now_ms)).values()

    # dispatchers ----------------------------------------------------------------------------------------------------
    @rule(n=st.integers(1, 4), in_flight_max=st.sampled_from([1, 3, 100]))
    def pick(self, n: int, in_flight_max: int) -> None:
        self.picked += self.run(self.world.pick(n, in_flight_max=in_flight_max))

    @precondition(lambda self: self.picked)
    @rule(which=pick_any, forged=st.booleans(), required=st.booleans(), policy_changed=st.booleans())
    def start(self, which: int, forged: bool, required: bool, policy_changed: bool) -> None:
        """Also with a reservation that is gone, forged, or used before."""
        picked = self.picked[which % len(self.picked)]
        snapshot = OTHER_SNAPSHOT if policy_changed else SNAPSHOT
        changes: dict[str, Any] = {
            "approval_required": required,
            "decision": make_decision(picked.job, snapshot=snapshot),
            "concurrency_max": CONCURRENCY_MAX,
        }
        if forged:
            changes["reservation"] = "0" * 32
        before = self.seq()
        approval = self.run(self.world.approvals.get(TENANT, picked.job.job_id))
        result, token = self.run(self.world.start(picked, **changes))
        if forged:
            assert result.kind is StartKind.LOST
        if result.kind in (StartKind.LOST, StartKind.APPROVAL_MISSING, StartKind.PARKED):
            assert self.seq() == before
        if result.kind is StartKind.STARTED:
            if required:
                assert approval is not None
                assert (approval.status, approval.snapshot) == (ApprovalStatus.RELEASED, snapshot)
            self.started.append((picked, token))

    @precondition(lambda self: self.picked)
    @rule(which=pick_any, delay_ms=st.sampled_from([0, 5_000]))
    def put_back(self, which: int, delay_ms: int) -> None:
        picked = self.picked.pop(which % len(self.picked))
        self.run(
            self.world.backlog.put_back(
                TENANT, [picked], waiting_reason="kernel_unavailable", delay_ms=delay_ms, now_ms=self.world.now_ms
            )
        )

    @rule()
    def dispatcher_dies(self) -> None:
        self.picked.clear()

    @precondition(lambda self: self.picked)
    @rule(which=pick_any, verdict=st.sampled_from([Verdict.DENY, Verdict.REQUIRE_APPROVAL, Verdict.ALLOW]))
    def redecide_at_hand_off(self, which: int, verdict: Verdict) -> None:
        picked = self.picked[which % len(self.picked)]
        self.redecide(picked.job, verdict, picked.reservation)

    @precondition(lambda self: self.jobs)
    @rule(which=pick_any, verdict=st.sampled_from([Verdict.DENY, Verdict.REQUIRE_APPROVAL, Verdict.ALLOW]))
    def redecide_held(self, which: int, verdict: Verdict) -> None:
        self.redecide(self.jobs[which % len(self.jobs)], verdict, None)

    def redecide(self, job: Job, verdict: Verdict, reservation: str | None) -> None:
        """Under the other policy; changes nothing of a job that moved on."""
        decision = make_decision(job, verdict, snapshot=OTHER_SNAPSHOT)
        before, seq = self.state_of(job.job_id), self.seq()
        [after] = self.run(
            self.world.approvals.redecide(TENANT, [Redecision(job.job_id, decision, reservation)], self.world.now_ms)
        )
        if after is None:
            assert (self.state_of(job.job_id), self.seq()) == (before, seq)
        else:
            expected = {Verdict.DENY: State.DENIED, Verdict.REQUIRE_APPROVAL: State.HELD}.get(verdict, State.QUEUED)
            assert self.state_of(job.job_id) is after is expected

    # workers --------------------------------------------------------------------------------------------------------
    @precondition(lambda self: self.started)
    @rule(which=pick_any, stale=st.booleans())
    def heartbeat(self, which: int, stale: bool) -> None:
        picked, token = self.started[which % len(self.started)]
        claim = LeaseClaim(picked.job.job_id, picked.attempt, LeaseToken("0" * 32) if stale else token, 0.5)
        renewal = self.run(self.world.leases.renew(TENANT, [claim], WORKER, lease_ms=30_000, now_ms=self.world.now_ms))
        assert not stale or renewal.lost

    @precondition(lambda self: self.started)
    @rule(which=pick_any, stale=st.booleans())
    def result_message(self, which: int, stale: bool) -> None:
        picked, token = self.started[which % len(self.started)]
        claim = FinishingClaim(picked.job.job_id, picked.attempt, LeaseToken("0" * 32) if stale else token)
        before = self.seq()
        [kind] = self.run(self.world.results.mark_finishing(TENANT, [claim], self.world.now_ms)).values()
        assert not stale or kind is FinishKind.STALE
        assert (self.seq() == before) == (kind is not FinishKind.FINISHED)

    @precondition(lambda self: self.started)
    @rule(which=pick_any, stale=st.booleans(), ending=ENDINGS)
    def verdict(self, which: int, stale: bool, ending: State) -> None:
        picked, token = self.started[which % len(self.started)]
        job_id = picked.job.job_id
        request = self.world.finish_request(
            picked,
            LeaseToken("0" * 32) if stale else token,
            ending,
            value=b"1",
            retry_at_ms=self.world.now_ms + 2_000,
            sealed=b"sealed",
        )
        before, seq = self.state_of(job_id), self.seq()
        [result] = self.run(self.world.results.finish(TENANT, [request], self.world.now_ms))
        if result.kind is FinishKind.FINISHED:
            assert not stale
            if result.state is not State.QUEUED:
                self.readable.add(job_id)
        else:
            assert (self.state_of(job_id), self.seq()) == (before, seq)
        if stale:
            assert result.kind is FinishKind.STALE

    # approvers ------------------------------------------------------------------------------------------------------
    @precondition(lambda self: self.jobs)
    @rule(
        which=pick_any,
        approver=st.sampled_from(["ada", "bob", "agent", "boss"]),
        approve=st.sampled_from([True, True, False]),
        shown=st.sampled_from([SNAPSHOT, OTHER_SNAPSHOT]),
        fresh=st.sampled_from([SNAPSHOT, OTHER_SNAPSHOT]),
        role=st.sampled_from(["release-manager", "release-manager", "intern"]),
    )
    def vote(self, which: int, approver: str, approve: bool, shown: str, fresh: str, role: str) -> None:
        job = self.jobs[which % len(self.jobs)]
        before, seq = self.state_of(job.job_id), self.seq()
        view = self.run(self.world.approvals.get(TENANT, job.job_id))
        try:
            result = self.run(
                self.world.vote(job, approver, approve=approve, snapshot=shown, fresh=fresh, roles=(role,))
            )
        except tuple(APPROVAL_ERRORS.values()):
            assert (self.state_of(job.job_id), self.seq()) == (before, seq)
            return
        assert view is not None
        assert view.status is ApprovalStatus.PENDING
        assert shown == fresh == view.snapshot
        assert approver not in ("agent", "boss")
        assert role == "release-manager"
        assert result.state is (State.QUEUED if approve else State.DENIED)

    # time -----------------------------------------------------------------------------------------------------------
    @rule(ms=st.sampled_from([100, 5_000, 40_000]))
    def time_passes(self, ms: int) -> None:
        self.world.pass_ms(ms)

    @rule(duty=st.sampled_from(["due", "deadlines", "reservations", "leases", "approvals"]))
    def reaper(self, duty: str) -> None:
        self.run(self.reap(duty))

    async def reap(self, duty: str) -> None:
        """One duty of the dispatcher's reaper."""
        world, now = self.world, self.world.now_ms
        match duty:
            case "due":
                await world.backlog.promote_due(TENANT, now)
            case "deadlines":
                await world.backlog.expire_deadlines(TENANT, now)
            case "reservations":
                await world.backlog.release_reservations(TENANT, now)
            case "approvals":
                await world.approvals.expire(TENANT, now)
            case "leases":
                for lease in await world.leases.expired(TENANT, now):
                    await world.leases.reclaim(
                        TENANT, lease, to_state=State.QUEUED, code="lease_lost", retry_at_ms=now + 1_000, now_ms=now
                    )

    # what must hold -------------------------------------------------------------------------------------------------
    @invariant()
    def everything_holds(self) -> None:
        found = self.run(dump(self.scripts, TENANT))
        verify(found, concurrency_max=CONCURRENCY_MAX)
        assert set(found.jobs) == self.entered, "a job was lost or invented"
        assert found.results <= self.readable, "a result can be read before its verdict"

    def teardown(self) -> None:
        """Everything comes back, and every job reaches an end."""
        try:
            self.run(self.drain())
            self.everything_holds()
        finally:
            self.run(self.scripts.close())
            self.loop.close()

    async def drain(self) -> None:
        """All processes work again; at most DRAIN_ROUNDS rounds."""
        world = self.world
        for _ in range(DRAIN_ROUNDS):
            views = await world.jobs.get_many(TENANT, sorted(self.entered))
            if all(view is not None and is_final(view.state) for view in views):
                return
            world.pass_ms(2_000)
            await world.backlog.enqueue(TENANT, await world.jobs.outbox_due(TENANT, world.now_ms), world.now_ms)
            for duty in ("due", "deadlines", "reservations", "leases", "approvals"):
                await self.reap(duty)
            await self.release_all()
            await self.finish_what_is_finishing(views)
            for picked in await world.pick(100):
                result, token = await world.start(picked, concurrency_max=CONCURRENCY_MAX)
                if result.kind is StartKind.STARTED:
                    request = world.finish_request(picked, token, State.SUCCEEDED, value=b"1")
                    self.readable.add(picked.job.job_id)
                    await world.results.finish(TENANT, [request], world.now_ms)
        raise AssertionError(
            "jobs that never end: " + str([v and (v.job.job_id, v.state, v.waiting_reason) for v in views])
        )

    async def release_all(self) -> None:
        pending, _ = await self.world.approvals.list_pending(TENANT, 100)
        for view in pending:
            job = next(job for job in self.jobs if job.job_id == view.job_id)
            with contextlib.suppress(ApprovalExpired):
                await self.world.vote(job, "eve", snapshot=view.snapshot, fresh=view.snapshot)

    async def finish_what_is_finishing(self, views: list[Any]) -> None:
        finishing = {view.job.job_id for view in views if view.state is State.FINISHING}
        for picked, token in self.started:
            if picked.job.job_id in finishing:
                request = self.world.finish_request(picked, token, State.SUCCEEDED, value=b"1")
                self.readable.add(picked.job.job_id)
                await self.world.results.finish(TENANT, [request], self.world.now_ms)


@pytest.mark.parametrize("step_count", [40])
def test_whatever_happens_in_whatever_order_the_invariants_hold(redis_url: str, step_count: int) -> None:
    """Invariants 1 to 6 of the design as far as the state keeps them, and every job reaches an end."""

    class Bound(Machine):
        pass

    Bound.redis_url = redis_url
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=60,
            stateful_step_count=step_count,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
