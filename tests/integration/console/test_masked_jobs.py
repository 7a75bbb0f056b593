"""People see a job's secrets only where they asked for them, and then it is on record, whichever page they are on."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.transitions import State
from support.api import ApiWorld
from support.held import DEPLOY
from support.running import Runner
from support.secrets import Secrets
from support.visiting import act, signed_in

GITHUB = Secrets().github()
FORM: dict[str, Any] = {
    **DEPLOY,
    "labels": {"env": "prod", "token": GITHUB},
    "prompt": f"use {GITHUB}",
    "payload": {"auth": GITHUB},
    "risk_tags": [GITHUB],
    "concurrency_key": GITHUB,
}


async def submitted(api: ApiWorld, **form: Any) -> str:
    """A job with a secret in each place that an agent writes freely."""
    reply = await api.submit(**{**FORM, **form})
    assert reply.status_code == 202, reply.text
    return str(reply.json()["job_id"])


async def events_of(api: ApiWorld, kind: str) -> list[dict[str, Any]]:
    """Of the audit trail."""
    items = (await api.client("auditor").get("/api/v1/audit/events?limit=200")).json()["items"]
    assert GITHUB not in str(items)
    return [event for event in items if event["type"] == kind]


@pytest.mark.parametrize("who", ["approver", "operator", "auditor", "agent"])
async def test_no_page_shows_a_secret_by_itself(api: ApiWorld, who: str) -> None:
    held, runs = await submitted(api), await submitted(api, topic="job.demo.read")
    browser = await signed_in(api, who)
    paths = [f"/jobs/{held}", f"/jobs/{runs}", f"/jobs/{held}/live", "/jobs", "/jobs/rows", f"/jobs?id={held}"]
    if who != "agent":
        paths += [f"/approvals/{held}", "/approvals", "/approvals/rows"]
    for path in paths:
        page = await browser.get(path)
        assert (page.status_code, GITHUB in page.text) == (200, False), path
    shown = (await browser.get(f"/jobs/{held}")).text
    assert ("[redacted:secret:" in shown, "4 secrets in what was submitted are masked" in shown) == (True, True)
    assert ("Show as it was sent" in shown) == (who != "auditor")


async def test_pages_name_the_secrets_that_a_job_asks_for(api: ApiWorld) -> None:
    """Their names are no secrets, whatever they are called."""
    job_id = await submitted(api, secrets=["db-password", "api.key"])
    browser = await signed_in(api, "approver")
    for path in (f"/jobs/{job_id}", f"/approvals/{job_id}"):
        page = (await browser.get(path)).text
        assert "Secrets asked for" in page
        assert ("db-password" in page, "api.key" in page) == (True, True), path


@pytest.mark.parametrize("who", ["approver", "operator", "agent"])
async def test_who_asks_on_the_job_s_page_is_on_record(api: ApiWorld, who: str) -> None:
    job_id = await submitted(api)
    page = await act(await signed_in(api, who), f"/jobs/{job_id}/reveal")
    assert (page.status_code, page.text.count(GITHUB) >= 2) == (200, True)
    (event,) = await events_of(api, "job.revealed")
    assert (event["actor"], event["job_id"]) == (who, job_id)


@pytest.mark.parametrize(("who", "status"), [("auditor", 403), ("agent2", 404), ("stranger", 404)])
async def test_others_are_not_shown_secrets(api: ApiWorld, who: str, status: int) -> None:
    job_id = await submitted(api)
    reply = await api.client(who).post(f"/api/v1/jobs/{job_id}/reveal", json={})
    assert (reply.status_code, GITHUB in reply.text) == (status, False)
    assert await events_of(api, "job.revealed") == []


async def test_nothing_is_revealed_that_cannot_be_recorded(api: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await submitted(api)

    async def fails(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(AuditTrail, "append", fails)
    reply = await api.client("operator").post(f"/api/v1/jobs/{job_id}/reveal", json={})
    assert (reply.status_code, GITHUB in reply.text) == (500, False)


async def test_programs_ask_for_it_masked_or_as_it_was_sent(api: ApiWorld) -> None:
    """An agent reads its own; who computes the hash needs every byte."""
    job_id = await submitted(api)
    client, path = api.client("agent"), f"/api/v1/jobs/{job_id}"
    plain = (await client.get(path)).json()
    assert (plain["labels"]["token"], plain["prompt"], "masked" in plain) == (GITHUB, f"use {GITHUB}", False)
    masked = (await client.get(path, params={"masked": "true"})).json()
    assert (masked["masked"], GITHUB in str(masked), masked["labels"]["env"]) == (4, False, "prod")
    wrong = await client.get(path, params={"masked": "yes"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_input")


async def test_what_the_gate_said_of_an_output_is_on_the_page_of_its_job(
    api: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class, marks, what a detector in shadow found, what was let through by name; in the API and its stream, too."""
    told = {
        "verdict": "allow",
        "reason": "nothing against it",
        "data_class": "confidential",
        "marks": ["untrusted_instructions"],
        "shadow": {"custom.code": 3},
        "allowed_by": ["known-example"],
        "findings": [],
        "findings_total": 4,
    }

    async def verdict(*_: Any) -> dict[str, Any]:
        return told

    monkeypatch.setattr(type(api.deps.jobs), "verdict", verdict)
    denied = (await api.submit(topic="job.exec.shell")).json()["job_id"]
    page = (await (await signed_in(api, "operator")).get(f"/jobs/{denied}")).text
    for text in ("untrusted instructions", "confidential", "custom.code", "known-example", "nothing against it"):
        assert text in page
    shown = (await api.client("operator").get(f"/api/v1/jobs/{denied}")).json()["output"]
    assert (shown["marks"], shown["data_class"], shown["findings_total"]) == (told["marks"], "confidential", 4)
    stream = (await api.client("operator").get(f"/api/v1/jobs/{denied}/events")).text
    assert '"marks":["untrusted_instructions"]' in stream


async def test_a_mark_and_what_was_found_stand_above_the_result(api: ApiWorld) -> None:
    """Whoever hands the text on has read them first; nothing of a path acts."""
    found = {"detector": "role-turn", "category": "untrusted_instructions", "severity": "medium", "verdict": "allow"}
    verdict = {
        "verdict": "allow",
        "reason": "the default for `untrusted_instructions`",
        "marks": ["untrusted_instructions"],
        "findings": [{**found, "path": "/value/<i>", "via": "value>base64", "start": 3, "end": 9}],
        "findings_total": 300,
    }
    job_id = str((await api.submit(topic="job.demo.read")).json()["job_id"])
    runner = Runner(api)
    await runner.start(job_id)
    await runner.finish(job_id, State.SUCCEEDED, value=b'"the page itself"', verdict=verdict)
    page = (await (await signed_in(api, "operator")).get(f"/jobs/{job_id}")).text
    assert page.index("read it as data") < page.index("the page itself")
    for text in (
        "role-turn",
        "/value/&lt;i&gt;",
        "(in base64)",
        "3–9",
        "299 more",
        "<code>untrusted_instructions</code>",
    ):
        assert text in page, text
