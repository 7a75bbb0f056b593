"""A job that holds a live credential of the platform goes nowhere, however it comes, and its value is kept nowhere."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.identity.keys import KEY_PREFIX, issue_key
from support.api import ApiWorld

TENANT = Tenant("default")
CODE = "platform_secret_in_payload"
JOB = {"topic": "job.demo.read"}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "submit": ("/api/v1/jobs", JOB),
    "dry run": ("/api/v1/jobs", {**JOB, "dry_run": True}),
    "evaluate": ("/api/v1/policy/evaluate", JOB),
    "simulate": ("/api/v1/policy/simulate", JOB),
    "explain": ("/api/v1/policy/explain", JOB),
}


async def refused(api: ApiWorld, path: str, body: dict[str, Any], who: str = "agent") -> bool:
    """Whether the call ends as it should: refused, told in the audit trail, and no job is there that was not."""
    before, events = await jobs(api), await api.deps.audit.read(TENANT, 0, 5000)
    reply = await api.client(who).post(path, json=body)
    after = (await api.deps.audit.read(TENANT, 0, 5000))[len(events) :]
    assert [event.type for event in after] == ["job.refused"], reply.text
    assert await jobs(api) == before
    return (reply.status_code, reply.json().get("code")) == (422, CODE)


async def jobs(api: ApiWorld) -> list[str]:
    """The ids of all jobs."""
    shown = (await api.client("operator").get("/api/v1/jobs")).json()
    return [row["job_id"] for row in shown["items"]]


@pytest.mark.parametrize(("path", "body"), CALLS.values(), ids=CALLS)
async def test_a_live_api_key_is_refused_by_every_call_that_takes_a_job(
    api: ApiWorld, path: str, body: dict[str, Any]
) -> None:
    """Simulating it, too: the key was sent, and whoever sent it should hear so."""
    key = api.keys["agent"]
    assert await refused(api, path, {**body, "payload": {"note": f"use {key} for it"}})
    trail = await api.deps.audit.read(TENANT, 0, 5000)
    assert key not in json.dumps([event.as_dict() for event in trail])


async def test_a_password_of_the_platform_is_refused_in_base64_too(api: ApiWorld) -> None:
    password = api.provisioned.passwords["redis-api"]
    assert await refused(api, "/api/v1/jobs", {**JOB, "prompt": base64.b64encode(password.encode()).decode()})
    assert await refused(api, "/api/v1/jobs", {**JOB, "labels": {"note": password}})


async def test_a_remediation_with_a_live_key_is_refused(api: ApiWorld) -> None:
    denied = (await api.submit(topic="job.exec.shell", prompt="rm -rf /")).json()["job_id"]
    assert await refused(api, f"/api/v1/jobs/{denied}/remediate", {"payload": {"key": api.keys["operator"]}})


async def test_a_job_is_not_retried_with_a_key_that_has_become_live(api: ApiWorld) -> None:
    """What was a text of that form when it was sent is one that opens doors by now."""

    def entropy(size: int) -> bytes:
        return bytes(range(size))

    key = KEY_PREFIX + base64.urlsafe_b64encode(entropy(32)).rstrip(b"=").decode()
    job_id = (await api.submit(payload={"key": key})).json()["job_id"]
    issue_key(api.settings.api_keys_file, tenant="default", actor="later", roles=["agent"], entropy=entropy)
    api.deps.keys._checked_ms = None  # as if a second had passed
    reply = await api.client("operator").post(f"/api/v1/jobs/{job_id}/retry", json={"reason": "again"})
    assert (reply.status_code, reply.json()["code"]) == (422, CODE)


async def test_a_revoked_key_is_a_text_like_any_other(api: ApiWorld) -> None:
    """It counts as a secret by its form, and opens nothing."""
    key = KEY_PREFIX + base64.urlsafe_b64encode(bytes(range(100, 132))).rstrip(b"=").decode()
    assert (await api.submit(payload={"key": key})).status_code == 202
