"""What the API does when a part of the system, or its client, does not behave."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY

from holdgate.kernel.ids import JobId, Tenant
from holdgate.kernel.links import Admission
from holdgate.kernel.permits import open_signed
from holdgate.kernel.records import Outcome
from holdgate.scheduler.api.app import create_app
from holdgate.scheduler.api.deps import ApiLimits
from support.api import ApiWorld, running_api
from support.waiting import eventually


async def answer(api: ApiWorld, limits: ApiLimits, *messages: dict[str, Any]) -> tuple[int, bytes]:
    """Status and body of a submit whose body comes as `messages` and then not at all."""
    sent: list[MutableMapping[str, Any]] = []
    left = list(messages)

    async def receive() -> MutableMapping[str, Any]:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"x-api-key", api.keys["agent"].encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/jobs", "query_string": b"", "headers": headers}
    async with asyncio.timeout(10):
        await create_app(replace(api.deps, limits=limits))(scope, receive, send)
    return (sent[0]["status"], sent[1]["body"]) if sent else (0, b"")


async def test_a_slow_body_is_408_whether_it_never_begins_or_never_ends(api: ApiWorld) -> None:
    before, limits = await api.stored(), ApiLimits(body_timeout_s=0.05)
    begun = {"type": "http.request", "body": b'{"topic":', "more_body": True}
    for messages in ((), (begun,)):
        status, body = await answer(api, limits, *messages)
        assert (status, b"body_timeout" in body) == (408, True)
    assert await api.stored() == before


async def test_a_client_that_left_gets_no_answer_and_stores_nothing(api: ApiWorld) -> None:
    before = await api.stored()
    begun = {"type": "http.request", "body": b'{"topic":', "more_body": True}
    assert await answer(api, ApiLimits(), begun, {"type": "http.disconnect"}) == (0, b"")
    assert await api.stored() == before


async def test_too_many_requests_under_way_are_refused_at_once(api: ApiWorld) -> None:
    status, body = await answer(api, ApiLimits(requests_max=0))
    assert (status, b"overloaded" in body) == (503, True)


async def test_too_many_waiters_are_refused_and_the_others_go_on(api: ApiWorld) -> None:
    job_id = (await api.submit()).json()["job_id"]
    room = api.deps.events._room
    for _ in range(2048):
        room.enter("default")
    for path in (f"/api/v1/jobs/{job_id}?wait=5s", f"/api/v1/jobs/{job_id}/events"):
        reply = await api.client().get(path)
        assert (reply.status_code, reply.json()["code"]) == (429, "too_many_waiters")
    assert (await api.client().get(f"/api/v1/jobs/{job_id}")).status_code == 200
    assert (await api.submit()).status_code == 202


async def test_with_redis_away_nothing_is_accepted_and_the_answer_says_so(api: ApiWorld) -> None:
    await api.scripts.close()
    reply = await api.submit()
    assert (reply.status_code, reply.json()["code"]) == (503, "state_unavailable")
    assert int(reply.headers["retry-after"]) >= 1

    async def is_told() -> bool:
        ready = await api.client(None).get("/readyz")
        return ready.status_code == 503 and ready.json()["checks"]["redis"] != "ok"

    assert await eventually(is_told)


async def test_with_the_log_away_the_job_is_not_acknowledged_and_sending_again_is_safe(api: ApiWorld) -> None:
    stream = api.nc.jetstream()
    config = (await stream.stream_info("JOBS")).config
    config.max_bytes = 1
    await stream.update_stream(config)
    client, headers = api.client(), {"Idempotency-Key": "again"}
    first = await client.post("/api/v1/jobs", json={"topic": "job.demo.read"}, headers=headers)
    assert (first.status_code, first.json()["code"]) == (503, "log_unavailable"), first.text
    config.max_bytes = -1
    await stream.update_stream(config)
    again = await client.post("/api/v1/jobs", json={"topic": "job.demo.read"}, headers=headers)
    assert again.status_code == 202, again.text
    assert (await stream.stream_info("JOBS")).state.messages == 1
    assert len((await client.get("/api/v1/jobs")).json()["items"]) == 1


async def test_only_a_root_that_says_so_lets_a_job_in_without_a_kernel_and_it_is_marked_and_counted(
    nats_url: str, redis_url: str, tmp_path: Path
) -> None:
    root = {"fail_modes": {"submit": "open", "dispatch": "closed"}}
    async with running_api(nats_url, redis_url, tmp_path / "home", root=root) as api:
        before = REGISTRY.get_sample_value("holdgate_input_fail_open_total") or 0
        await api.kernel.stop()
        reply = await api.submit(labels={"not": "cached"})
        assert (reply.status_code, reply.json()["fail_open"]) == (202, True), reply.text
        job_id = reply.json()["job_id"]
        job = (await api.client().get(f"/api/v1/jobs/{job_id}")).json()
        assert job["fail_open"] is True
        assert (REGISTRY.get_sample_value("holdgate_input_fail_open_total") or 0) == before + 1
        view, trust = await api.deps.jobs.require(Tenant("default"), JobId(job_id)), api.deps.trust()
        assert view.admission is not None
        assert trust is not None
        assert open_signed(view.admission, Admission, trust.api).outcome is Outcome.FAIL_OPEN


async def test_a_failure_of_our_own_is_a_500_that_says_nothing_and_logs_no_text(
    api: ApiWorld, monkeypatch: Any
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("secret text of an exception")

    monkeypatch.setattr(api.deps.jobs, "counts", fails)
    with structlog.testing.capture_logs() as logs:
        reply = await api.client().get("/api/v1/status")
    assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
    assert "secret text" not in reply.text + repr(logs)
    failed = next(entry for entry in logs if entry["action"] == "request_failed")
    assert (failed["error"], failed["operation"]) == ("RuntimeError", "getStatus")


async def test_a_kernel_that_cannot_be_asked_because_nats_is_away_is_told_as_nats_away(
    api: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A code says which part: to look at the kernel would lead nowhere."""
    await api.kernel.stop()
    form = {"topic": "job.deploy.apply", "labels": {"env": "dev"}, "capability": "infra.write"}
    reply = await api.client().post("/api/v1/jobs", json=form)
    assert (reply.status_code, reply.json()["code"]) == (503, "kernel_unavailable")
    readiness = api.runtime.readiness
    monkeypatch.setattr(readiness, "_said", {**readiness.report().checks, "nats": "not connected"})
    reply = await api.client().post("/api/v1/jobs", json=form)
    assert (reply.status_code, reply.json()["code"]) == (503, "nats_unavailable")
    assert int(reply.headers["retry-after"]) >= 1
    await api.kernel.start()
