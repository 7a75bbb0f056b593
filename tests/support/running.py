"""A job's way through the state of a running API, as dispatcher and output gate would take it."""

from __future__ import annotations

from typing import Any

from holdgate.kernel import subjects, wire
from holdgate.kernel.ids import JobId, LeaseToken, PermitId, Tenant, WorkerId, new_token
from holdgate.scheduler.state.backlog import Backlog, StartRequest
from holdgate.scheduler.state.results import FinishRequest, Results
from holdgate.scheduler.state.transitions import State
from support.api import ApiWorld

TENANT = Tenant("default")
WORKER = WorkerId("w1")


class Runner:
    """Takes one job through the state as dispatcher and output gate would."""

    def __init__(self, api: ApiWorld) -> None:
        self.api = api
        self.backlog, self.results = Backlog(api.scripts), Results(api.scripts)
        self.token = LeaseToken(new_token())

    @property
    def now_ms(self) -> int:
        return self.api.deps.clock.now_ms()

    async def start(self, job_id: str) -> None:
        """To `running`."""
        await self.backlog.enqueue(TENANT, [JobId(job_id)], self.now_ms)
        picked = await self.backlog.pick(TENANT, "default", 10, in_flight_max=100, now_ms=self.now_ms)
        item = next(found for found in picked if found.job.job_id == job_id)
        request = StartRequest(
            job_id=item.job.job_id,
            topic=item.job.topic,
            reservation=item.reservation,
            decision=item.last_decision,
            permit_id=PermitId("permit_1"),
            worker=WORKER,
            pool="default",
            token=self.token,
            attempt=item.attempt,
            lease_ms=30_000,
        )
        await self.backlog.start(TENANT, [request], self.now_ms)
        self.attempt = item.attempt

    async def finish(self, job_id: str, to_state: State, **more: Any) -> None:
        """To an end, and tell who waits."""
        request = FinishRequest(
            job_id=JobId(job_id),
            attempt=self.attempt,
            token=self.token,
            to_state=to_state,
            **{"verdict": {"verdict": "allow", "findings": []}, **more},
        )
        await self.results.finish(TENANT, [request], self.now_ms)
        await self.api.nc.publish(subjects.event(TENANT), wire.pack({"job_id": job_id, "state": str(to_state)}))
