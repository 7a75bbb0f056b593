"""What an approver looks at beside the approval: the masked job, the rules' text, and what shows the job whole."""

from __future__ import annotations

import pytest

from holdgate.scheduler.state.audit import AuditTrail
from support.api import ApiWorld
from support.secrets import Secrets

GITHUB = Secrets().github()
PROD = {"topic": "job.deploy.apply", "labels": {"env": "prod"}, "capability": "infra.write"}
RULE = "require-approval-prod-write"


async def held(api: ApiWorld, **form: object) -> str:
    """The id of a held job."""
    reply = await api.submit(**{**PROD, **form})
    assert reply.json()["state"] == "held", reply.text
    return str(reply.json()["job_id"])


async def test_secrets_are_masked_wherever_they_stand(api: ApiWorld) -> None:
    form = {"payload": {"auth": [f"token {GITHUB}"], GITHUB: 1}, "prompt": f"use {GITHUB}", "labels": {"env": "prod"}}
    job_id = await held(api, **form)
    reply = await api.client("approver").get(f"/api/v1/approvals/{job_id}/masked")
    assert reply.status_code == 200, reply.text
    assert GITHUB not in reply.text
    told = reply.json()
    assert (told["masked"], told["scanned"], told["payload_shown"]) == (3, True, True)
    assert "[redacted:secret:" in told["shown"]["prompt"]
    assert told["shown"]["labels"] == {"env": "prod"}


async def test_personal_data_stays(api: ApiWorld) -> None:
    """Who decides must see whom it is about."""
    job_id = await held(api, payload={"to": "alice.jones@customer.example"})
    told = (await api.client("approver").get(f"/api/v1/approvals/{job_id}/masked")).json()
    assert told["shown"]["payload"] == {"to": "alice.jones@customer.example"}


async def test_who_asks_for_the_secrets_is_recorded(api: ApiWorld) -> None:
    job_id = await held(api, payload={"token": GITHUB})
    reply = await api.client("approver").post(f"/api/v1/approvals/{job_id}/reveal", json={})
    assert reply.json()["payload"] == {"token": GITHUB}
    events = (await api.client("auditor").get("/api/v1/audit/events?limit=200")).json()["items"]
    (event,) = [event for event in events if event["type"] == "approval.revealed"]
    assert (event["actor"], event["job_id"]) == ("approver", job_id)
    assert GITHUB not in str(events)


async def test_nothing_is_revealed_that_cannot_be_recorded(api: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await held(api, payload={"token": GITHUB})

    async def fails(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(AuditTrail, "append", fails)
    reply = await api.client("approver").post(f"/api/v1/approvals/{job_id}/reveal", json={})
    assert reply.status_code == 500
    assert GITHUB not in reply.text


@pytest.mark.parametrize(("who", "status"), [("agent", 403), ("auditor", 403), ("stranger", 404)])
async def test_others_are_not_shown_secrets(api: ApiWorld, who: str, status: int) -> None:
    job_id = await held(api, payload={"token": GITHUB})
    reply = await api.client(who).post(f"/api/v1/approvals/{job_id}/reveal", json={})
    assert (reply.status_code, GITHUB in reply.text) == (status, False)


async def test_the_deciding_rule_is_shown_as_its_author_wrote_it(api: ApiWorld) -> None:
    job_id = await held(api)
    reply = await api.client("approver").get(f"/api/v1/approvals/{job_id}/rules")
    (rule,) = [row for row in reply.json()["items"] if row["deciding"]]
    assert (rule["id"], rule["bundle"], rule["version"], rule["as_decided"]) == (RULE, "demo", 1, True)
    assert rule["signers"] == ["author"]
    assert rule["file"] == "rules/deploy.yaml"
    assert rule["text"].startswith(f"- id: {RULE}\n  decision: require_approval\n")
    assert rule["text"].endswith("approvers: {roles: [release-manager], quorum: 1, expires: 4h, escalate_after: 2h}")


async def test_another_tenants_rules_and_job_do_not_exist(api: ApiWorld) -> None:
    job_id = await held(api)
    for part in ("masked", "rules"):
        reply = await api.client("stranger").get(f"/api/v1/approvals/{job_id}/{part}")
        assert reply.json()["code"] == "approval_not_found"
