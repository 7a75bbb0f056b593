"""The rules behind a job's decision, and why somebody took it out of the dead-letter list."""

from __future__ import annotations

from support.api import ApiWorld

HELD = {"topic": "job.deploy.service", "labels": {"env": "prod"}, "capability": "infra.write"}


async def test_rules_are_shown_as_they_are_written_and_signed(api: ApiWorld) -> None:
    """To those who see every job of the tenant; an agent is shown the decision alone."""
    told = (await api.submit(**HELD)).json()
    job_id = told["job_id"]
    rows = (await api.client("operator").get(f"/api/v1/jobs/{job_id}/rules")).json()["items"]
    assert [row["id"] for row in rows] == told["decision"]["rules"]
    assert rows[0]["deciding"]
    assert rows[0]["id"] in rows[0]["text"]
    assert (await api.client("agent").get(f"/api/v1/jobs/{job_id}/rules")).status_code == 403
    stranger = await api.client("stranger").get(f"/api/v1/jobs/{job_id}/rules")
    assert stranger.json()["code"] == "job_not_found"


async def test_a_retry_takes_a_reason_and_nothing_else(api: ApiWorld) -> None:
    """It is refused before the job is looked for."""
    operator = api.client("operator")
    job_id = (await api.submit()).json()["job_id"]
    refused = await operator.post(f"/api/v1/jobs/{job_id}/retry", json={"why": "again"})
    assert refused.status_code == 422
    early = await operator.post(f"/api/v1/jobs/{job_id}/retry", json={"reason": "again"})
    assert early.json()["code"] == "wrong_state"
