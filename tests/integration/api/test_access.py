"""Who may call what, and what is another's does not exist."""

from __future__ import annotations

import httpx
import pytest

from holdgate.scheduler.api.calls import Operation
from holdgate.scheduler.api.operations import OPERATIONS
from holdgate.scheduler.identity.keys import Role, read_keys, revoke_key
from support.api import ApiWorld
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
NO_JOB = "job_00000000-0000-7000-8000-000000000000"
SHOWN = {"job_hash": "sha256:" + "0" * 64, "snapshot": "sha256:" + "0" * 64}
BODIES: dict[str, dict[str, str]] = {
    "VoteForm": {**SHOWN, "reason": "because"},
    "RejectForm": {**SHOWN, "reason": "because"},
    "ReconfirmForm": SHOWN,
    "DeferForm": {"until": "2027-06-01T00:00:00Z", "reason": "later"},
    "QuarantineForm": {"digest": "sha256:" + "0" * 64, "reason": "because"},
    "QuarantineReleaseForm": {"digest": "sha256:" + "0" * 64, "reason": "because"},
}
NAMES = {role: str(role) for role in Role}


@pytest.mark.parametrize("item", [item for item in OPERATIONS if item.roles is not None], ids=lambda item: item.name)
async def test_every_call_follows_the_table_of_roles(shared_api: ApiWorld, item: Operation) -> None:
    path = item.path.replace("{job_id}", NO_JOB).replace("{name}", "nothing")
    body = {} if item.request is not None else None
    for role in Role:
        client = shared_api.client(NAMES[role])
        async with client.stream(item.method, path, json=body) as reply:
            if reply.status_code != 200 or item.media != "text/event-stream":
                await reply.aread()  # a stream has no end
        refused = reply.status_code == 403 and reply.json()["code"] == "forbidden"
        allowed = not item.roles or role in item.roles or role is Role.ADMIN
        assert refused != allowed, (role, reply.status_code)
        assert reply.status_code < 500, role
    nobody = await shared_api.client(None).request(item.method, path, json=body)
    assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": "hgk_wrong"},
        {"X-API-Key": ""},
        {"Authorization": "Bearer hgk_wrong"},
        {"Authorization": "Basic aGk6aGk="},
        {"X-API-Key": "x" * 5000},
    ],
)
async def test_a_key_that_is_not_known_lets_nobody_in(shared_api: ApiWorld, headers: dict[str, str]) -> None:
    reply = await shared_api.client(None, **headers).get("/api/v1/jobs")
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated")
    assert "bearer" in reply.headers["www-authenticate"].lower()


async def test_a_bearer_token_is_as_good_as_the_header(shared_api: ApiWorld) -> None:
    headers = {"Authorization": f"Bearer {shared_api.keys['agent']}"}
    assert (await shared_api.client(None, **headers).get("/api/v1/jobs")).status_code == 200


async def test_two_different_keys_in_one_request_are_refused(shared_api: ApiWorld) -> None:
    headers = {"Authorization": f"Bearer {shared_api.keys['agent2']}"}
    assert (await shared_api.client("agent", **headers).get("/api/v1/jobs")).status_code == 401


async def test_another_tenant_in_the_header_is_refused(shared_api: ApiWorld) -> None:
    good = await shared_api.client("agent", **{"X-Tenant-ID": "default"}).get("/api/v1/jobs")
    bad = await shared_api.client("agent", **{"X-Tenant-ID": "other"}).get("/api/v1/jobs")
    assert good.status_code == 200
    assert (bad.status_code, bad.json()["code"]) == (403, "tenant_mismatch")


async def test_another_tenants_jobs_and_approvals_do_not_exist(shared_api: ApiWorld) -> None:
    prod = {"topic": "job.deploy.apply", "labels": {"env": "prod"}, "capability": "infra.write"}
    job_id = (await shared_api.submit(**prod)).json()["job_id"]
    stranger = shared_api.client("stranger")
    for operation in OPERATIONS:
        if "{job_id}" not in operation.path:
            continue
        sent = BODIES.get(operation.request or "", {}) if operation.request else None
        reply = await stranger.request(operation.method, operation.path.replace("{job_id}", job_id), json=sent)
        if operation.name == "defer" and reply.status_code == 422:
            continue  # the time is checked first, and says nothing of the job
        assert reply.status_code == 404, (operation.name, reply.text)
        assert reply.json()["code"] in {"job_not_found", "approval_not_found", "quarantine_not_found"}
        assert job_id not in reply.text
    assert (await stranger.get("/api/v1/jobs")).json()["items"] == []
    assert (await stranger.get("/api/v1/approvals")).json()["items"] == []


async def test_an_agent_sees_its_own_jobs_and_not_another_agents(shared_api: ApiWorld) -> None:
    job_id = (await shared_api.submit()).json()["job_id"]
    other = shared_api.client("agent2")
    assert (await other.get(f"/api/v1/jobs/{job_id}")).status_code == 404
    assert (await other.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 404
    listed = (await other.get("/api/v1/jobs")).json()["items"]
    assert job_id not in [item["job_id"] for item in listed]
    assert (await shared_api.client("operator").get(f"/api/v1/jobs/{job_id}")).status_code == 200


async def test_a_revoked_key_stops_counting_within_two_seconds(shared_api: ApiWorld) -> None:
    path = shared_api.settings.api_keys_file
    record = next(record for record in read_keys(path) if record.actor == "bystander")
    client = shared_api.client("bystander")
    assert (await client.get("/api/v1/approvals")).status_code == 200
    revoke_key(path, record.key_id)

    async def is_refused() -> bool:
        return (await client.get("/api/v1/approvals")).status_code == 401

    await eventually(is_refused, 3)


async def test_a_file_of_keys_that_does_not_load_lets_nobody_in(shared_api: ApiWorld) -> None:
    path = shared_api.settings.api_keys_file
    good = path.read_bytes()
    client = shared_api.client()

    async def status() -> httpx.Response:
        return await client.get("/api/v1/jobs")

    async def is_closed() -> bool:
        return (await status()).status_code == 503

    async def is_open() -> bool:
        return (await status()).status_code == 200

    try:
        path.write_bytes(b"{")
        await eventually(is_closed, 3)
        assert (await status()).json()["code"] == "keys_unavailable"
    finally:
        path.write_bytes(good)
    await eventually(is_open, 3)
