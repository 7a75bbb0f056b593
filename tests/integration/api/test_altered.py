"""Who can write to Redis shows nobody another job than the one that a vote would release."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import structlog

from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.ids import ActorId, Digest, Tenant
from holdgate.scheduler.gates import metrics
from holdgate.scheduler.state import encoding
from support.api import ApiWorld
from support.held import held
from support.visiting import signed_in

TENANT = Tenant("default")
HARM, HARMLESS = {"cmd": "rm -rf /prod"}, b'{"cmd":"ls -la  /tmp"}'
CALLS = (("GET", ""), ("GET", "/masked"), ("POST", "/reveal"))


def record_of(shown: dict[str, Any]) -> str:
    """The key of what Redis has of the job."""
    return f"hg:{{default}}:job:{shown['job_id']}"


async def alter(api: ApiWorld, shown: dict[str, Any], **fields: Any) -> None:
    """Write other fields into the record of the job, as nobody may."""
    job = (await api.deps.jobs.require(TENANT, shown["job_id"])).job
    await api.scripts.command("HSET", record_of(shown), "job", encoding.pack_job(replace(job, **fields)))


async def looks(api: ApiWorld, shown: dict[str, Any]) -> list[tuple[int, str]]:
    """Status and code of every way to look at it over the API."""
    client, found = api.client("approver"), []
    for method, path in CALLS:
        json = {} if method == "POST" else None
        reply = await client.request(method, f"/api/v1/approvals/{shown['job_id']}{path}", json=json)
        found.append((reply.status_code, reply.json().get("code", "shown")))
        assert "ls -la" not in reply.text
    return found


async def test_an_altered_payload_is_shown_nowhere(api: ApiWorld) -> None:
    """With the bytes put back the honest vote would release what nobody saw."""
    shown = await held(api, payload=HARM)
    before = metrics.RECORDS_FORGED.labels("job")._value.get()
    await api.scripts.command("HSET", record_of(shown), "payload", HARMLESS)
    with structlog.testing.capture_logs() as logs:
        assert await looks(api, shown) == [(409, "approval_altered")] * 3
    alarms = [entry for entry in logs if entry.get("action") == "held_job_altered"]
    assert [(alarm["log_level"], alarm["job_id"]) for alarm in alarms] == [("critical", shown["job_id"])] * 3
    assert metrics.RECORDS_FORGED.labels("job")._value.get() == before + 3
    page = await (await signed_in(api, "approver")).get(f"/approvals/{shown['job_id']}")
    assert (page.status_code, "ls -la" in page.text, "altered" in page.text) == (409, False, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "tidy up"},
        {"labels": {"env": "prod", "service": "blog"}},
        {"payload_digest": digest_bytes(HARMLESS)},
        {"topic": "job.deploy.plan"},
        {"principals": ("alice",)},
        {"risk_tags": ()},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_altered_fields_are_shown_nowhere(api: ApiWorld, fields: dict[str, Any]) -> None:
    shown = await held(api, payload=HARM, risk_tags=["destructive"])
    await alter(api, shown, **fields)
    assert await looks(api, shown) == [(409, "approval_altered")] * 3
    job = await api.client("approver").get(f"/api/v1/jobs/{shown['job_id']}")
    assert (job.status_code, job.json()["code"]) == (409, "approval_altered")
    page = await (await signed_in(api, "approver")).get(f"/jobs/{shown['job_id']}")
    assert (page.status_code, "altered" in page.text) == (409, True)


async def test_what_stands_beside_the_hash_is_the_job_s_own(api: ApiWorld) -> None:
    """The approval tells topic and submitter of its own record, which is not what a worker gets."""
    shown = await held(api, payload=HARM)
    job = (await api.deps.jobs.require(TENANT, shown["job_id"])).job
    for other in (replace(job, topic="job.deploy.plan"), replace(job, actor=ActorId("somebody"))):
        who = encoding.pack_who(other, Digest(shown["job_hash"]))
        await api.scripts.command("HSET", record_of(shown), "who", who)
        assert await looks(api, shown) == [(409, "approval_altered")] * 3


async def test_an_altered_payload_in_the_object_store_is_an_alarm_too(api: ApiWorld) -> None:
    shown = await held(api, payload={"text": "x" * 300_000})
    digest = Digest(shown["job"]["payload_digest"])
    store = await api.deps.payloads._store()
    await store.put(digest, b'{"text":"y"}')
    assert await looks(api, shown) == [(409, "approval_altered")] * 3


async def test_another_job_s_record_under_this_id_is_not_shown(api: ApiWorld) -> None:
    shown, other = await held(api, payload=HARM), await held(api, payload={"cmd": "ls"})
    record = await api.scripts.command("HMGET", record_of(other), "job", "payload")
    await api.scripts.command("HSET", record_of(shown), "job", record[0], "payload", record[1])
    assert await looks(api, shown) == [(409, "approval_altered")] * 3


async def test_a_payload_beyond_what_is_asked_for_is_told_of_and_left_out(api: ApiWorld) -> None:
    shown = await held(api, payload={"text": "x" * 300_000})
    client, path = api.client("approver"), f"/api/v1/approvals/{shown['job_id']}"
    for method, end in CALLS:
        query = {"payload_bytes_max": "1000"}
        reply = await client.request(method, path + end, params=query, json={} if method == "POST" else None)
        told = reply.json()
        assert (told["payload_shown"], told["payload_left_out"], told["payload_bytes"]) == (True, True, 300_011)
        assert len(reply.content) < 20_000
        assert (told["shown"] if end == "/masked" else told)["payload"] is None
    whole = (await client.get(path, params={"payload_bytes_max": "300011"})).json()
    assert (whole["payload_left_out"], len(whole["payload"]["text"])) == (False, 300_000)
    wrong = await client.get(path, params={"payload_bytes_max": "-1"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_input")
