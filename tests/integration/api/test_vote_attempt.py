"""The vote that the api signs for an approver releases the next attempt and no other."""

from __future__ import annotations

import pytest

from holdgate.kernel.ids import JobId, Tenant
from holdgate.kernel.links import Vote
from holdgate.kernel.permits import open_signed
from holdgate.scheduler.state.connection import key
from support.api import ApiWorld

TENANT = Tenant("default")


@pytest.mark.parametrize("attempts", [0, 2])
async def test_a_vote_names_the_attempt_that_it_releases(api: ApiWorld, attempts: int) -> None:
    reply = await api.submit("agent", topic="job.deploy.apply", labels={"env": "prod"}, capability="infra.write")
    job_id = JobId(reply.json()["job_id"])
    await api.deps.approvals._scripts.command("HSET", key(TENANT, "job", job_id), "attempt", attempts)
    approver = api.client("approver")
    shown = (await approver.get(f"/api/v1/approvals/{job_id}")).json()
    body = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], "reason": "looked at it"}
    voted = await approver.post(f"/api/v1/approvals/{job_id}/approve", json=body)
    assert voted.status_code == 200, voted.text
    approval = await api.deps.approvals.require(TENANT, job_id)
    trust = api.deps.trust()
    assert trust is not None
    assert open_signed(approval.votes[0].signed, Vote, trust.api).attempt == attempts + 1
