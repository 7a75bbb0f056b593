"""Looking at jobs over HTTP: results only after their verdict, waiting, streams, cancelling, the dead-letter list."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import pytest
from prometheus_client import REGISTRY

from holdgate.kernel import subjects, wire
from holdgate.kernel.ids import SYSTEM, JobId
from holdgate.scheduler.api.routes import system
from holdgate.scheduler.dispatch.sampling import Sampler
from holdgate.scheduler.state.presence import Presences
from holdgate.scheduler.state.results import FinishingClaim
from holdgate.scheduler.state.stats import Stats
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.state.workers import Workers, WorkerView
from support.api import ApiWorld
from support.running import TENANT, WORKER, Runner


@pytest.fixture
def runner(api: ApiWorld) -> Runner:
    """Plays dispatcher and output gate."""
    return Runner(api)


async def accepted(api: ApiWorld) -> str:
    """The id of a new job."""
    return str((await api.submit()).json()["job_id"])


async def everybody_is_there(api: ApiWorld) -> None:
    """The processes that no test of this folder starts have said so, and the API has looked."""
    presences = Presences(api.scripts, api.deps.clock)
    for kind in ("dispatcher", "output-gate", "auditor"):
        await presences.say(kind, "one", "ready", ())
    await api.runtime.readiness.look()


async def test_a_result_is_read_only_after_its_verdict(api: ApiWorld, runner: Runner) -> None:
    job_id, client = await accepted(api), api.client()
    early = await client.get(f"/api/v1/jobs/{job_id}/result")
    assert (early.status_code, early.json()["code"]) == (409, "result_not_ready")
    await runner.start(job_id)
    assert (await client.get(f"/api/v1/jobs/{job_id}/result")).status_code == 409
    await runner.finish(job_id, State.SUCCEEDED, value=b'{"ok":true}', logs=("one",))
    shown = (await client.get(f"/api/v1/jobs/{job_id}/result")).json()
    assert (shown["value"], shown["logs"], shown["verdict"]["verdict"]) == ({"ok": True}, ["one"], "allow")


async def test_a_quarantined_output_is_refused_and_listed_without_content(api: ApiWorld, runner: Runner) -> None:
    job_id = await accepted(api)
    await runner.start(job_id)
    await runner.finish(job_id, State.QUARANTINED, sealed=b"sealed bytes")
    reply = await api.client().get(f"/api/v1/jobs/{job_id}/result")
    assert (reply.status_code, reply.json()["code"]) == (403, "output_quarantined")
    listed = await api.client("approver").get("/api/v1/quarantine")
    assert [item["job_id"] for item in listed.json()["items"]] == [job_id]
    assert "sealed bytes" not in listed.text


async def test_a_large_result_is_read_from_the_object_store(api: ApiWorld, runner: Runner) -> None:
    job_id = await accepted(api)
    await runner.start(job_id)
    value = b'"' + b"x" * 300_000 + b'"'
    await runner.finish(job_id, State.SUCCEEDED, ref=await api.deps.payloads.put(value))
    shown = (await api.client().get(f"/api/v1/jobs/{job_id}/result")).json()
    assert len(shown["value"]) == 300_000


async def test_a_long_poll_ends_when_the_job_does(api: ApiWorld, runner: Runner, eventually: Any) -> None:
    job_id = await accepted(api)
    await runner.start(job_id)
    started = time.monotonic()
    waiting = asyncio.ensure_future(api.client().get(f"/api/v1/jobs/{job_id}?wait=30s"))
    await eventually(lambda: api.deps.events.waiting == 1)
    await runner.finish(job_id, State.SUCCEEDED, value=b"1")
    assert (await waiting).json()["state"] == "succeeded"
    assert time.monotonic() - started < 10
    assert api.deps.events.waiting == 0


async def test_a_long_poll_gives_what_there_is_when_its_time_is_over(api: ApiWorld) -> None:
    job_id = await accepted(api)
    reply = await api.client().get(f"/api/v1/jobs/{job_id}?wait=1s")
    assert (reply.status_code, reply.json()["state"]) == (200, "accepted")
    for wait in ("61s", "-1s", "soon", "1.5s"):
        assert (await api.client().get(f"/api/v1/jobs/{job_id}?wait={wait}")).status_code == 422


async def test_a_waiter_whose_client_left_is_forgotten(api: ApiWorld, eventually: Any) -> None:
    job_id = await accepted(api)
    waiting = asyncio.ensure_future(api.client().get(f"/api/v1/jobs/{job_id}?wait=60s"))
    await eventually(lambda: api.deps.events.waiting == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await eventually(lambda: api.deps.events.waiting == 0, 5)


async def test_a_stream_tells_each_state_and_ends_with_the_last(api: ApiWorld, runner: Runner, eventually: Any) -> None:
    job_id = await accepted(api)
    seen: list[str] = []

    def note(line: str) -> None:
        if line.startswith("data: "):
            seen.append(json.loads(line.removeprefix("data: "))["state"])

    async def follow() -> None:
        async with api.client().stream("GET", f"/api/v1/jobs/{job_id}/events") as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            async for line in reply.aiter_lines():
                note(line)

    following = asyncio.ensure_future(follow())
    await eventually(lambda: seen == ["accepted"])
    await runner.start(job_id)
    await api.nc.publish(subjects.event(TENANT), wire.pack({"job_id": job_id, "state": "running"}))
    await eventually(lambda: seen[-1:] == ["running"])
    await runner.finish(job_id, State.SUCCEEDED, value=b"1")
    await asyncio.wait_for(following, 10)
    assert seen[-1] == "succeeded"


async def test_a_stream_of_a_job_ends_with_the_key_that_it_was_asked_for_with(api: ApiWorld) -> None:
    """Or with what the key gives: a file of keys that does not load gives nothing."""
    job_id = await accepted(api)
    async with asyncio.timeout(30), api.client().stream("GET", f"/api/v1/jobs/{job_id}/events") as reply:
        api.settings.api_keys_file.write_text("not a file of keys")
        async for _ in reply.aiter_lines():
            pass  # ends by itself


async def test_a_waiting_job_is_cancelled_at_once_and_only_once(api: ApiWorld) -> None:
    job_id, client = await accepted(api), api.client()
    reply = await client.post(f"/api/v1/jobs/{job_id}/cancel", json={"reason": "not needed"})
    assert (reply.status_code, reply.json()["state"]) == (200, "cancelled"), reply.text
    again = await client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")


async def test_cancelling_a_running_job_tells_its_worker(api: ApiWorld, runner: Runner) -> None:
    job_id = await accepted(api)
    await runner.start(job_id)
    told = await api.nc.subscribe(subjects.control("default", WORKER))
    await api.nc.flush()
    reply = await api.client().post(f"/api/v1/jobs/{job_id}/cancel")
    assert (reply.status_code, reply.json()["cancel_requested"]) == (202, True)
    assert wire.unpack((await told.next_msg(timeout=5)).data)["cancel"] == job_id


async def test_an_operator_takes_a_job_out_of_the_dead_letter_list(api: ApiWorld, runner: Runner) -> None:
    job_id, operator = await accepted(api), api.client("operator")
    early = await operator.post(f"/api/v1/jobs/{job_id}/retry")
    assert (early.status_code, early.json()["code"]) == (409, "wrong_state")
    await runner.start(job_id)
    await runner.finish(job_id, State.FAILED, code="handler_failed", error={"type": "ValueError", "message": "no"})
    assert [item["job_id"] for item in (await operator.get("/api/v1/dlq")).json()["items"]] == [job_id]
    assert (await operator.get("/api/v1/dlq?state=timed_out")).json()["items"] == []
    reply = await operator.post(f"/api/v1/jobs/{job_id}/retry", json={"reason": "the disk is full no more"})
    assert (reply.status_code, reply.json()["state"]) == (202, "queued"), reply.text
    told = (await operator.get(f"/api/v1/jobs/{job_id}/timeline")).json()["items"]
    assert "the disk is full no more" in [event.get("reason") for event in told if event.get("to") == "queued"]


async def test_lists_come_in_pieces_without_gaps_or_repeats(api: ApiWorld) -> None:
    made = [await accepted(api) for _ in range(5)]
    client, found, cursor = api.client(), [], ""
    while True:
        page = (await client.get(f"/api/v1/jobs?limit=2{cursor}")).json()
        found += [item["job_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == made[::-1]
    assert (await client.get("/api/v1/jobs?topic=job.demo.write")).json()["items"] == []
    assert len((await client.get("/api/v1/jobs?state=accepted")).json()["items"]) == 5


async def test_the_audit_events_are_gap_free_and_hold_no_prompt(api: ApiWorld) -> None:
    await api.submit(prompt="canary-prompt")
    await api.submit(topic="job.exec.shell", prompt="canary-prompt")
    auditor = api.client("auditor")
    first = (await auditor.get("/api/v1/audit/events?limit=1")).json()
    rest = (await auditor.get(f"/api/v1/audit/events?cursor={first['next_cursor']}")).json()
    events = first["items"] + rest["items"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert "canary-prompt" not in json.dumps(events)


async def test_the_audit_events_are_read_from_the_newest_back_too(api: ApiWorld) -> None:
    """Each once, page by page, down to the first; a word for an order that is none is refused."""
    await api.submit()
    await api.submit()
    auditor = api.client("auditor")
    forward = [event["seq"] for event in (await auditor.get("/api/v1/audit/events")).json()["items"]]
    back: list[int] = []
    cursor = ""
    while True:
        page = (await auditor.get(f"/api/v1/audit/events?order=newest&limit=2{cursor}")).json()
        back += [event["seq"] for event in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert back == forward[::-1]
    assert (await auditor.get("/api/v1/audit/events?order=best")).status_code == 422


async def test_the_systems_own_trail_is_not_a_tenants(api: ApiWorld) -> None:
    """What kernels refuse is nobody's tenant, and a tenant's auditor reads it with that of everybody."""
    await api.deps.audit.append(SYSTEM, "policy.refused", {"bundle": "house", "code": "bundle_expired"}, 1)
    await api.submit()
    for who in ("operator", "auditor", "admin"):
        (event,) = (await api.client(who).get("/api/v1/audit/system")).json()["items"]
        assert (event["type"], event["code"]) == ("policy.refused", "bundle_expired")
    assert (await api.client("author").get("/api/v1/audit/system")).status_code == 403
    own = (await api.client("auditor").get("/api/v1/audit/events")).json()["items"]
    assert {event["tenant"] for event in own} == {"default"}


async def test_workers_and_pools_are_listed(api: ApiWorld) -> None:
    view = WorkerView(WORKER, "default", ("job.demo.*",), ("demo.read",), 4, 1, api.deps.clock.now_ms())
    await api.deps.workers.seen(view, ttl_ms=60_000)
    operator = api.client("operator")
    assert [item["worker"] for item in (await operator.get("/api/v1/workers")).json()["items"]] == ["w1"]
    assert (await operator.get("/api/v1/pools")).json()["items"][0]["capacity"] == 4


async def test_status_says_that_nobody_gives_verdicts(api: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate that hangs says nothing itself; its outputs are sealed, and wait."""
    job_id, runner = await accepted(api), Runner(api)
    await runner.start(job_id)
    claim = FinishingClaim(JobId(job_id), runner.attempt, runner.token)
    await runner.results.mark_finishing(TENANT, [claim], runner.now_ms - 29_000)
    client = api.client("operator")
    await everybody_is_there(api)
    assert (await client.get("/api/v1/status")).json()["checks"]["output_gate"] == "ok"
    monkeypatch.setattr(system, "VERDICT_WITHIN_MS", 29_000)
    said = (await client.get("/api/v1/status")).json()["checks"]["output_gate"]
    assert re.fullmatch(r"an output waits for its verdict since (29|3\d) s", said)
    deps, stats, workers = api.deps, Stats(api.scripts), Workers(api.scripts)
    await Sampler(jobs=deps.jobs, stats=stats, workers=workers, kernel=deps.kernel, clock=deps.clock).run_once()
    assert (REGISTRY.get_sample_value("holdgate_output_waiting_seconds") or 0) >= 29


async def test_status_says_what_is_and_what_is_not_well(api: ApiWorld) -> None:
    await accepted(api)
    client = api.client("operator")
    away = (await client.get("/api/v1/status")).json()["checks"]
    assert {name for name, said in away.items() if said == "none is there"} == {"dispatcher", "output_gate", "auditor"}
    await everybody_is_there(api)
    shown = (await client.get("/api/v1/status")).json()
    assert set(shown["checks"].values()) == {"ok"}
    assert (shown["durability"], shown["fail_modes"]) == ("strict", {"submit": "closed", "dispatch": "closed"})
    assert shown["jobs"]["accepted"] == 1
    snapshots = (await client.get("/api/v1/policy/snapshots")).json()
    assert (len(snapshots["items"]), snapshots["agreed"]) == (1, True)


async def test_the_root_leads_who_is_not_signed_in_to_the_sign_in_page(api: ApiWorld) -> None:
    reply = await api.client(None).get("/")
    assert (reply.status_code, reply.headers["location"]) == (303, "/sign-in")
    assert "default-src 'none'" in reply.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/api/v1/healthz", "/api/v1/readyz"])
async def test_health_needs_no_key(api: ApiWorld, path: str) -> None:
    assert (await api.client(None).get(path)).status_code == 200


async def test_unknown_paths_and_methods_are_problems(api: ApiWorld) -> None:
    unknown = await api.client().get("/api/v1/nothing")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    wrong = await api.client().delete("/api/v1/jobs")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, POST")


async def test_simulate_takes_the_form_with_meta_and_agrees_with_submit(api: ApiWorld) -> None:
    body = {
        "job_id": "sim-prod-write-1",
        "topic": "job.deploy.apply",
        "tenant": "default",
        "labels": {"env": "prod"},
        "meta": {"capability": "infra.write", "risk_tags": ["change"]},
    }
    simulated = (await api.client().post("/api/v1/policy/simulate", json=body)).json()
    flat = {"topic": body["topic"], "labels": body["labels"], "capability": "infra.write", "risk_tags": ["change"]}
    submitted = (await api.submit(**flat)).json()["decision"]
    for name in ("verdict", "reason", "rules", "constraints", "remediations", "snapshot", "job_hash"):
        assert simulated[name] == submitted[name]
    other = await api.client().post("/api/v1/policy/simulate", json={**body, "tenant": "other"})
    assert (other.status_code, other.json()["code"]) == (403, "tenant_mismatch")


async def test_explain_says_why_the_others_did_not_match(api: ApiWorld) -> None:
    reply = await api.client().post("/api/v1/policy/explain", json={"topic": "job.deploy.apply"})
    assert reply.json()["verdict"] == "deny"
    missed = [step for step in reply.json()["trace"] if step.get("held") == ["topics"]]
    assert missed
    assert all({"failed", "wanted", "given"} <= step.keys() for step in missed)
    assert reply.json()["combined"]["why"] == "no rule counts: the default of the root is `deny`"
