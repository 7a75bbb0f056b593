"""A random walk over everything that agents, approvers, dispatchers, workers and operators may do, in any order."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

from holdgate.kernel.canonical import digest
from holdgate.kernel.ids import ActorId, JobId, LeaseToken
from holdgate.kernel.records import Job, Over, Priority, Throttle, Verdict
from holdgate.scheduler.errors import APPROVAL_ERRORS, ApprovalExpired, WrongState
from holdgate.scheduler.state.approvals import ApprovalStatus, Redecision
from holdgate.scheduler.state.audit import AuditEvent
from holdgate.scheduler.state.backlog import Picked, StartKind
from holdgate.scheduler.state.entry import AcceptKind, Idempotency
from holdgate.scheduler.state.jobs import JobView
from holdgate.scheduler.state.leases import LeaseClaim
from holdgate.scheduler.state.results import FinishingClaim, FinishKind
from holdgate.scheduler.state.transitions import DEAD, State
from support.invariants import Dump, dump, is_final, verify
from support.state import SNAPSHOT, TENANT, WORKER, World, make_decision, make_job

TOPIC_MAX = 2
"""What some decisions let run at once."""
OTHER_SNAPSHOT = digest("policy two")
DRAIN_ROUNDS = 100
THROTTLE = Throttle(rule="limit", bucket="b", limit=3, per_s=60, over=Over.DELAY)
FORGED = LeaseToken("0" * 32)
ENDINGS = (State.SUCCEEDED, State.QUARANTINED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.QUEUED)
REDECISIONS = (Verdict.DENY, Verdict.REQUIRE_APPROVAL, Verdict.ALLOW)
DUTIES = ("due", "deadlines", "reservations", "leases", "approvals")


class Walk:
    """One walk. What happened is in `log`, for the reader of a failure."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.log: list[str] = []
        self.jobs: list[Job] = []
        self.entered: set[JobId] = set()
        self.keys: dict[JobId, Idempotency] = {}
        self.picked: list[Picked] = []
        self.started: list[tuple[Picked, LeaseToken]] = []
        self.readable: set[JobId] = set()
        self.found = Dump()
        """Everything, as it was before the step that is under way."""
        # Weights: what moves jobs on comes more often than what ends them, or walks would stay at the door.
        self.choices: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (10, self.submit),
            (1, self.submit_denied),
            (2, self.submit_again),
            (2, self.cancel),
            (3, self.retry),
            (12, self.intake),
            (10, self.pick),
            (14, self.start),
            (2, self.put_back),
            (1, self.dispatcher_dies),
            (2, self.redecide_at_hand_off),
            (2, self.redecide_held),
            (4, self.heartbeat),
            (5, self.result_message),
            (10, self.verdict),
            (10, self.vote),
            (6, self.time_passes),
            (8, self.reaper),
        ]

    async def steps(self, count: int) -> None:
        """Take that many, and look at everything after each."""
        weights = [weight for weight, _ in self.choices]
        for _ in range(count):
            [(_, step)] = self.random.choices(self.choices, weights)
            try:
                await step()
                self.found = await self.everything_holds()
            except AssertionError as error:
                raise AssertionError(f"{error}\nafter {len(self.log)} steps:\n" + "\n".join(self.log[-40:])) from error

    async def everything_holds(self) -> Dump:
        """The invariants, and what only the walk knows: who entered, and whose result was let out."""
        found = await dump(self.world.scripts, TENANT)
        verify(found)
        assert set(found.jobs) == self.entered, "a job was lost or invented"
        assert found.results <= self.readable, "a result can be read before its verdict"
        return found

    async def events(self) -> list[AuditEvent]:
        """All so far."""
        return await self.world.audit.read(TENANT, 0, 100_000)

    def note(self, what: str, job_id: str = "", **more: Any) -> None:
        """For the reader of a failure."""
        facts = " ".join(f"{name}={value}" for name, value in more.items())
        self.log.append(f"{self.world.now_ms} {what} {job_id[-6:]} {facts}")

    def some(self) -> Job | None:
        """Any job, more often a late one."""
        if not self.jobs:
            return None
        return self.random.choice(self.jobs if self.random.random() < 0.3 else self.jobs[-6:])

    def state_before(self, job_id: JobId) -> State:
        """As it was before this step."""
        return self.found.state(job_id)

    async def unchanged(self, why: str) -> None:
        """Nothing at all changed in this step."""
        after = await dump(self.world.scripts, TENANT)
        assert (after.jobs, len(after.events)) == (self.found.jobs, len(self.found.events)), f"{why} changed something"

    # agents ---------------------------------------------------------------------------------------------------------
    async def submit(self) -> None:
        now, chance = self.world.now_ms, self.random
        initial = chance.choice([State.ACCEPTED, State.ACCEPTED, State.ACCEPTED, State.HELD, State.SCHEDULED])
        job = make_job(
            now,
            priority=chance.choice(list(Priority)),
            concurrency_key=chance.choice([None, None, "k"]),
            deadline_ms=chance.choice([None, None, None, now + 20_000]),
            run_at_ms=now + 15_000 if initial is State.SCHEDULED else None,
            principals=(ActorId("boss"),),
            max_attempts=chance.choice([1, 2, 3]),
        )
        key = Idempotency(f"key-{len(self.jobs)}", "f" * 64)
        throttles = (THROTTLE,) if chance.random() < 0.2 else ()
        self.note("submit", job.job_id, initial=initial, key=job.concurrency_key, throttled=bool(throttles))
        result = await self.world.accept(job, initial=initial, idempotency=key, throttles=throttles)
        assert result.kind is AcceptKind.ACCEPTED
        self.jobs.append(job)
        self.entered.add(job.job_id)
        self.keys[job.job_id] = key

    async def submit_denied(self) -> None:
        job = make_job(self.world.now_ms, prompt="never kept")
        self.note("submit denied", job.job_id)
        await self.world.jobs.deny(job, make_decision(job, Verdict.DENY), code="denied", now_ms=self.world.now_ms)
        self.entered.add(job.job_id)

    async def submit_again(self) -> None:
        first = self.some()
        if first is None:
            return
        same_body = self.random.random() < 0.5
        self.note("submit again", first.job_id, same_body=same_body)
        key = Idempotency(self.keys[first.job_id].key, "f" * 64 if same_body else "0" * 64)
        result = await self.world.accept(make_job(self.world.now_ms), idempotency=key, throttles=(THROTTLE,))
        assert result.kind is (AcceptKind.REPLAY if same_body else AcceptKind.CONFLICT)
        assert result.job_id == (first.job_id if same_body else None)
        await self.unchanged("a repeated submit")

    async def cancel(self) -> None:
        job = self.some()
        if job is None:
            return
        before = self.state_before(job.job_id)
        self.note("cancel", job.job_id, before=before)
        try:
            result = await self.world.jobs.cancel(
                TENANT, job.job_id, by="agent", reason="test", now_ms=self.world.now_ms
            )
        except WrongState:
            assert is_final(before) or before is State.FINISHING
            await self.unchanged("a cancel that came too late")
        else:
            assert result.state is (State.RUNNING if before is State.RUNNING else State.CANCELLED)

    async def retry(self) -> None:
        dead = [job for job in self.jobs if self.state_before(job.job_id) in DEAD]
        job = self.random.choice(dead) if dead else self.some()
        if job is None:
            return
        self.note("retry", job.job_id)
        try:
            await self.world.jobs.retry(TENANT, job.job_id, by="operator", now_ms=self.world.now_ms)
        except WrongState:
            assert self.state_before(job.job_id) not in DEAD
            await self.unchanged("a refused retry")
        else:
            assert self.state_before(job.job_id) in DEAD
            self.readable.discard(job.job_id)

    # the log --------------------------------------------------------------------------------------------------------
    async def intake(self) -> None:
        """Any message may come any number of times."""
        found = [job.job_id for job in (self.some(), self.some(), self.some()) if job is not None]
        self.note("intake", " ".join(found))
        pools = await self.world.backlog.enqueue(TENANT, list(dict.fromkeys(found)), self.world.now_ms)
        assert None not in pools.values()

    # dispatchers ----------------------------------------------------------------------------------------------------
    async def pick(self) -> None:
        in_flight_max = self.random.choice([2, 100, 100])
        picked = await self.world.pick(self.random.randint(1, 4), in_flight_max=in_flight_max)
        self.note("pick", " ".join(item.job.job_id[-6:] for item in picked))
        busy = sum(record["state"] == b"running" for record in self.found.jobs.values())
        busy += sum(places == ["picked"] for places in self.found.places.values())
        assert not picked or busy + len(picked) <= in_flight_max
        self.picked += picked

    async def start(self) -> None:
        """Also with a reservation that is gone, forged or used before, and under another policy."""
        if not self.picked:
            return
        picked = self.random.choice(self.picked[-4:])
        job_id = picked.job.job_id
        forged = self.random.random() < 0.15
        approval = await self.world.approvals.get(TENANT, job_id)
        required = approval is not None or self.random.random() < 0.1
        snapshot = OTHER_SNAPSHOT if self.random.random() < 0.15 else SNAPSHOT
        if approval is not None and self.random.random() < 0.8:
            snapshot = approval.snapshot
        changes: dict[str, Any] = {"reservation": FORGED} if forged else {}
        topic_max = self.random.choice([None, None, TOPIC_MAX])
        result, token = await self.world.start(
            picked,
            approval_required=required,
            decision=make_decision(picked.job, snapshot=snapshot),
            topic_max=topic_max,
            max_runtime_ms=self.random.choice([None, 20_000]),
            **changes,
        )
        self.note("start", job_id, kind=result.kind, forged=forged, required=required)
        assert not forged or result.kind is StartKind.LOST
        running = sum(self.found.state(job_id) is State.RUNNING for job_id in self.found.jobs)
        assert (result.kind is not StartKind.CROWDED) or (topic_max is not None and running >= topic_max)
        assert (result.kind is not StartKind.STARTED) or topic_max is None or running < topic_max
        if result.kind in (StartKind.LOST, StartKind.APPROVAL_MISSING):
            await self.unchanged("a start that did not happen")
        if result.kind is StartKind.STARTED:
            if required:
                assert approval is not None
                assert (approval.status, approval.snapshot) == (ApprovalStatus.RELEASED, snapshot)
            self.started.append((picked, token))

    async def put_back(self) -> None:
        if not self.picked:
            return
        picked = self.picked.pop(self.random.randrange(len(self.picked)))
        self.note("put back", picked.job.job_id)
        await self.world.backlog.put_back(
            TENANT,
            [picked],
            waiting_reason="kernel_unavailable",
            delay_ms=self.random.choice([0, 5_000]),
            now_ms=self.world.now_ms,
        )

    async def dispatcher_dies(self) -> None:
        self.note("the dispatcher dies")
        self.picked.clear()

    async def redecide_at_hand_off(self) -> None:
        if self.picked:
            picked = self.random.choice(self.picked[-4:])
            await self.redecide(picked.job, picked.reservation)

    async def redecide_held(self) -> None:
        held = [job for job in self.jobs if self.state_before(job.job_id) is State.HELD]
        job = self.random.choice(held) if held and self.random.random() < 0.8 else self.some()
        if job is not None:
            await self.redecide(job, None)

    async def redecide(self, job: Job, reservation: str | None) -> None:
        """Changes nothing of a job that moved on."""
        verdict = self.random.choice(REDECISIONS)
        snapshot = self.random.choice([SNAPSHOT, OTHER_SNAPSHOT])
        decision = make_decision(job, verdict, snapshot=snapshot)
        request = Redecision(job.job_id, decision, reservation)
        [after] = await self.world.approvals.redecide(TENANT, [request], self.world.now_ms)
        self.note("redecide", job.job_id, verdict=verdict, after=after)
        if after is None:
            await self.unchanged("a decision about a job that moved on")
            return
        expected = {Verdict.DENY: State.DENIED, Verdict.REQUIRE_APPROVAL: State.HELD}.get(verdict, State.QUEUED)
        assert after is expected
        if after is State.HELD:
            view = await self.world.approvals.require(TENANT, job.job_id)
            assert view.snapshot == snapshot

    # workers --------------------------------------------------------------------------------------------------------
    def some_run(self) -> tuple[Picked, LeaseToken, bool] | None:
        """Any run there ever was, more often a late one, sometimes with a forged token."""
        if not self.started:
            return None
        picked, token = self.random.choice(self.started[-4:] if self.random.random() < 0.8 else self.started)
        forged = self.random.random() < 0.2
        return picked, FORGED if forged else token, forged

    async def heartbeat(self) -> None:
        run = self.some_run()
        if run is None:
            return
        picked, token, forged = run
        claim = LeaseClaim(picked.job.job_id, picked.attempt, token, 0.5)
        renewal = await self.world.leases.renew(TENANT, [claim], WORKER, lease_ms=30_000, now_ms=self.world.now_ms)
        self.note("heartbeat", picked.job.job_id, forged=forged, lost=bool(renewal.lost))
        if renewal.lost:
            await self.unchanged("a stale heartbeat")
        assert not forged or renewal.lost

    async def result_message(self) -> None:
        run = self.some_run()
        if run is None:
            return
        picked, token, forged = run
        claim = FinishingClaim(picked.job.job_id, picked.attempt, token)
        [kind] = (await self.world.results.mark_finishing(TENANT, [claim], self.world.now_ms)).values()
        self.note("result message", picked.job.job_id, forged=forged, kind=kind)
        assert not forged or kind is FinishKind.STALE
        if kind is not FinishKind.FINISHED:
            await self.unchanged("a stale result message")

    async def verdict(self) -> None:
        run = self.some_run()
        if run is None:
            return
        picked, token, forged = run
        ending = self.random.choice(ENDINGS)
        request = self.world.finish_request(
            picked, token, ending, value=b"1", retry_at_ms=self.world.now_ms + 2_000, sealed=b"sealed"
        )
        [result] = await self.world.results.finish(TENANT, [request], self.world.now_ms)
        self.note("verdict", picked.job.job_id, ending=ending, forged=forged, kind=result.kind, state=result.state)
        assert not forged or result.kind is FinishKind.STALE
        if result.kind is not FinishKind.FINISHED:
            await self.unchanged("a stale verdict")
            return
        record = self.found.jobs[picked.job.job_id]
        assert (record["attempt"], record["token"]) == (str(picked.attempt).encode(), token.encode())
        if result.state is not State.QUEUED:
            self.readable.add(picked.job.job_id)

    # approvers ------------------------------------------------------------------------------------------------------
    async def vote(self) -> None:
        held = [job for job in self.jobs if self.state_before(job.job_id) is State.HELD]
        job = self.random.choice(held) if held and self.random.random() < 0.9 else self.some()
        if job is None:
            return
        view = await self.world.approvals.get(TENANT, job.job_id)
        right = view.snapshot if view is not None else SNAPSHOT
        approver = self.random.choice(["ada", "ada", "bob", "agent", "boss"])
        approve = self.random.random() < 0.8
        shown, fresh = (
            right if self.random.random() < 0.8 else self.random.choice([SNAPSHOT, OTHER_SNAPSHOT]) for _ in "ab"
        )
        role = self.random.choice(["release-manager"] * 4 + ["intern"])
        self.note("vote", job.job_id, approver=approver, approve=approve, role=role)
        try:
            result = await self.world.vote(job, approver, approve=approve, snapshot=shown, fresh=fresh, roles=(role,))
        except tuple(APPROVAL_ERRORS.values()):
            await self.unchanged("a refused vote")
            return
        assert view is not None
        assert view.status is ApprovalStatus.PENDING
        assert view.expires_ms > self.world.now_ms
        assert shown == fresh == view.snapshot
        assert approver not in ("agent", "boss")
        assert role == "release-manager"
        assert result.state is (State.QUEUED if approve else State.DENIED)

    # time -----------------------------------------------------------------------------------------------------------
    async def time_passes(self) -> None:
        self.world.pass_ms(self.random.choice([100, 1_000, 5_000, 5_000, 40_000]))

    async def reaper(self) -> None:
        duty = self.random.choice(DUTIES)
        self.note("reaper", duty)
        await self.reap(duty)

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
                    to_state = State.TIMED_OUT if lease.over_time else State.QUEUED
                    await world.leases.reclaim(
                        TENANT, lease, to_state=to_state, code="lease_lost", retry_at_ms=now + 1_000, now_ms=now
                    )

    # afterwards -----------------------------------------------------------------------------------------------------
    async def drain(self) -> None:
        """All processes work again: every job reaches an end, in at most DRAIN_ROUNDS rounds."""
        world = self.world
        for _ in range(DRAIN_ROUNDS):
            views = await world.jobs.get_many(TENANT, sorted(self.entered))
            open_views = [view for view in views if view is None or not is_final(view.state)]
            if not open_views:
                await self.everything_holds()
                return
            world.pass_ms(2_000)
            await world.backlog.enqueue(TENANT, await world.jobs.outbox_due(TENANT, world.now_ms), world.now_ms)
            for duty in DUTIES:
                await self.reap(duty)
            await self.release_all()
            await self.run_all(open_views)
        stuck = [(view.job.job_id[-6:], view.state, view.waiting_reason) for view in open_views if view is not None]
        raise AssertionError(f"jobs that never end: {stuck}\n" + "\n".join(self.log[-40:]))

    async def release_all(self) -> None:
        pending, _ = await self.world.approvals.list_pending(TENANT, 100)
        for view in pending:
            job = next(job for job in self.jobs if job.job_id == view.job_id)
            with contextlib.suppress(ApprovalExpired):
                await self.world.vote(job, "eve", snapshot=view.snapshot, fresh=view.snapshot)

    async def run_all(self, views: list[JobView | None]) -> None:
        world = self.world
        finishing = {view.job.job_id for view in views if view is not None and view.state is State.FINISHING}
        runs = [run for run in self.started if run[0].job.job_id in finishing]
        for picked in await world.pick(100):
            result, token = await world.start(picked)
            if result.kind is StartKind.STARTED:
                runs.append((picked, token))
        for picked, token in runs:
            self.readable.add(picked.job.job_id)
            request = world.finish_request(picked, token, State.SUCCEEDED, value=b"1")
            await world.results.finish(TENANT, [request], world.now_ms)
