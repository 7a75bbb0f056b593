"""A job comes in: what is answered, what is stored, what is not."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx

from holdgate.kernel.ids import JobId, Tenant
from holdgate.scheduler.state.transitions import State
from support.api import ApiWorld, running_api, without_policy
from support.state import World, make_job

PROD = {"topic": "job.deploy.apply", "labels": {"env": "prod"}, "capability": "infra.write"}


def problem(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, once it is the one that was expected."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    shown: dict[str, Any] = reply.json()
    assert (shown["code"], shown["status"]) == (code, status)
    return shown


async def jobs_logged(api: ApiWorld) -> int:
    """Messages in the log of jobs."""
    return int((await api.nc.jetstream().stream_info("JOBS")).state.messages)


async def test_an_allowed_job_is_accepted_logged_and_its_decision_shown(api: ApiWorld) -> None:
    reply = await api.submit(prompt="status")
    assert reply.status_code == 202, reply.text
    shown = reply.json()
    assert shown["state"] == "accepted"
    assert shown["decision"]["verdict"] == "allow"
    job = (await api.client().get(f"/api/v1/jobs/{shown['job_id']}")).json()
    assert job["job_hash"] == shown["decision"]["job_hash"]
    assert job["prompt"] == "status"
    assert await jobs_logged(api) == 1


async def test_a_denied_job_says_rule_reason_and_what_is_safer_and_keeps_no_payload(api: ApiWorld) -> None:
    reply = await api.submit(topic="job.exec.shell", prompt="rm -rf /", payload={"secret": "do not keep"})
    shown = problem(reply, 403, "denied")
    assert shown["rule"] == "deny-raw-shell"
    assert shown["reason"] == shown["decision"]["reason"]
    assert [item["id"] for item in shown["remediations"]] == ["read-instead"]
    job_id = shown["job_id"]
    job = (await api.client().get(f"/api/v1/jobs/{job_id}")).json()
    assert (job["state"], job["prompt"]) == ("denied", None)
    assert await api.deps.jobs.payload(Tenant("default"), JobId(job_id)) is None
    decisions = (await api.client().get(f"/api/v1/jobs/{job_id}/decisions")).json()["items"]
    assert [item["verdict"] for item in decisions] == ["deny"]
    assert await jobs_logged(api) == 0


async def test_what_no_rule_allows_is_denied(api: ApiWorld) -> None:
    assert problem(await api.submit(topic="job.nobody.knows"), 403, "denied")["reason"] == "no rule allows this"


async def test_a_held_job_waits_for_approval(api: ApiWorld) -> None:
    reply = await api.submit(**PROD)
    assert reply.status_code == 202
    assert reply.json()["state"] == "held"
    assert reply.json()["decision"]["approvals"][0]["roles"] == ["release-manager"]


async def test_over_the_rate_limit_the_answer_is_429_with_a_time_to_come_back(api: ApiWorld) -> None:
    replies = [await api.submit(topic="job.demo.throttled") for _ in range(4)]
    assert [reply.status_code for reply in replies[:3]] == [202] * 3
    shown = problem(replies[3], 429, "throttled")
    assert 1 <= int(replies[3].headers["retry-after"]) <= 60
    assert shown["retry_after_s"] == int(replies[3].headers["retry-after"])
    assert shown["rule"] == "limit-demo-throttled"


async def test_a_throttled_job_with_an_idempotency_key_is_judged_afresh_when_sent_again(api: ApiWorld) -> None:
    for _ in range(3):
        await api.submit(topic="job.demo.throttled")
    client, body = api.client(), {"topic": "job.demo.throttled"}
    first = await client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "k"})
    again = await client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "k"})
    assert problem(first, 429, "throttled")["job_id"] != problem(again, 429, "throttled")["job_id"]


async def test_simulate_never_counts_against_a_rate_limit(api: ApiWorld) -> None:
    for _ in range(5):
        reply = await api.client().post("/api/v1/policy/simulate", json={"topic": "job.demo.throttled"})
        assert reply.json()["verdict"] == "throttle"
    assert (await api.submit(topic="job.demo.throttled")).status_code == 202


async def test_the_same_key_and_body_give_the_first_answer_and_one_job(api: ApiWorld) -> None:
    client, body = api.client(), {"topic": "job.demo.read", "payload": {"n": 1}}
    first = await client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "once"})
    again = await client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "once"})
    assert first.json()["job_id"] == again.json()["job_id"]
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert await jobs_logged(api) == 1


async def test_the_same_key_with_another_body_is_a_conflict(api: ApiWorld) -> None:
    client = api.client()
    await client.post("/api/v1/jobs", json={"topic": "job.demo.read"}, headers={"Idempotency-Key": "once"})
    other = await client.post("/api/v1/jobs", json={"topic": "job.demo.write"}, headers={"Idempotency-Key": "once"})
    problem(other, 409, "idempotency_conflict")


async def test_a_replayed_denial_is_answered_as_the_denial(api: ApiWorld) -> None:
    client, body = api.client(), {"topic": "job.exec.shell", "prompt": "rm -rf /"}
    first = await client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "once"})
    again = await client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "once"})
    assert problem(first, 403, "denied")["job_id"] == problem(again, 403, "denied")["job_id"]


async def test_two_agents_with_the_same_idempotency_key_do_not_meet(api: ApiWorld) -> None:
    body, headers = {"topic": "job.demo.read"}, {"Idempotency-Key": "shared"}
    one = await api.client("agent").post("/api/v1/jobs", json=body, headers=headers)
    two = await api.client("agent2").post("/api/v1/jobs", json=body, headers=headers)
    assert one.json()["job_id"] != two.json()["job_id"]


async def test_a_dry_run_decides_and_stores_nothing(api: ApiWorld) -> None:
    before = await api.stored()
    reply = await api.submit(**PROD, dry_run=True)
    assert (reply.status_code, reply.json()["dry_run"]) == (200, True)
    assert reply.json()["decision"]["verdict"] == "require_approval"
    assert await api.stored() == before


async def test_without_a_kernel_nothing_is_stored_and_the_answer_says_when_to_come_back(api: ApiWorld) -> None:
    before = await api.stored()
    await api.kernel.stop()
    reply = await api.submit(payload={"not": "cached"}, labels={"a": "b"})
    problem(reply, 503, "kernel_unavailable")
    assert int(reply.headers["retry-after"]) >= 1
    assert await api.stored() == before
    assert await jobs_logged(api) == 0


async def test_the_trace_of_the_caller_is_kept(api: ApiWorld) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    reply = await api.client(traceparent=f"00-{trace_id}-00f067aa0ba902b7-01").post(
        "/api/v1/jobs", json={"topic": "job.demo.read"}
    )
    assert reply.json()["trace_id"] == trace_id


async def test_a_large_payload_is_kept_whole_outside_the_record(api: ApiWorld) -> None:
    payload = {"text": "x" * 400_000}
    reply = await api.submit(payload=payload)
    assert reply.status_code == 202, reply.text
    job_id = reply.json()["job_id"]
    assert await api.deps.jobs.payload(Tenant("default"), JobId(job_id)) is None
    job = (await api.client().get(f"/api/v1/jobs/{job_id}")).json()
    assert len(await api.deps.payloads.get(job["payload_digest"])) > 400_000


async def test_secrets_in_a_payload_are_measured_and_not_claimed(api: ApiWorld) -> None:
    clean = (await api.submit(payload={"n": 1})).json()["job_id"]
    body = "\n".join(base64.b64encode(bytes(range(start, start + 48))).decode() for start in range(20))
    pem = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n"
    leaky = (await api.submit(payload={"k": pem})).json()["job_id"]
    shown = [(await api.client().get(f"/api/v1/jobs/{job_id}")).json()["secrets_present"] for job_id in (clean, leaky)]
    assert shown == [False, True]


async def test_a_remediation_submits_the_safer_job_through_the_same_gates(api: ApiWorld) -> None:
    denied = (await api.submit(topic="job.exec.shell", prompt="rm -rf /", payload={"a": 1})).json()["job_id"]
    client = api.client()
    problem(await client.post(f"/api/v1/jobs/{denied}/remediate", json={}), 422, "payload_needed")
    reply = await client.post(f"/api/v1/jobs/{denied}/remediate", json={"payload": {"a": 1}})
    assert reply.status_code == 202, reply.text
    job = (await client.get(f"/api/v1/jobs/{reply.json()['job_id']}")).json()
    assert (job["topic"], job["capability"], job["remediation_of"]) == ("job.demo.read", "demo.read", denied)
    wrong = await client.post(f"/api/v1/jobs/{denied}/remediate", json={"remediation_id": "none", "payload": 1})
    problem(wrong, 404, "remediation_not_found")


async def test_a_denial_for_want_of_a_policy_does_not_bind_the_idempotency_key(api: ApiWorld) -> None:
    first, second = api.client(**{"Idempotency-Key": "one"}), api.client(**{"Idempotency-Key": "two"})
    form = {"topic": "job.demo.read"}
    accepted = (await first.post("/api/v1/jobs", json=form)).json()["job_id"]
    async with without_policy(api):
        again = await first.post("/api/v1/jobs", json=form)
        assert (again.status_code, again.json()["job_id"]) == (202, accepted), again.text
        denied = problem(await second.post("/api/v1/jobs", json=form), 403, "denied")
        assert denied["decision"]["errors"] == ["no_policy"]
        assert (await api.client().get(f"/api/v1/jobs/{denied['job_id']}")).json()["state"] == "denied"
    assert (await second.post("/api/v1/jobs", json=form)).status_code == 202


async def test_a_job_for_later_is_scheduled(api: ApiWorld) -> None:
    reply = await api.submit(run_at="2027-06-01T00:00:00Z")
    assert reply.json()["state"] == "scheduled", reply.text


async def test_a_full_queue_is_429_and_stores_nothing(nats_url: str, redis_url: str, tmp_path: Path) -> None:
    async with running_api(nats_url, redis_url, tmp_path / "home", {"queue_jobs_max": 1}) as api:
        assert (await api.submit()).status_code == 202
        before = await api.stored()
        problem(await api.submit(), 429, "queue_full")
        assert await api.stored() == before
        counts = await api.deps.jobs.counts(Tenant("default"))
        assert sum(counts.get(state, 0) for state in State) == 1


async def test_a_tenant_has_a_queue_of_its_own_length(nats_url: str, redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "tenants.json"
    file.write_text('{"default": {"queue_jobs_max": 2}, "other": {"queue_jobs_max": 9}}')
    async with running_api(nats_url, redis_url, tmp_path / "home", {"tenants_file": file, "queue_jobs_max": 1}) as api:
        assert [(await api.submit()).status_code for _ in range(3)] == [202, 202, 429]


async def test_full_queues_of_all_tenants_together_are_429_for_everybody(
    nats_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Others' jobs count, as last counted; this process's own at once. What was let in before is answered still."""
    async with running_api(nats_url, redis_url, tmp_path / "home", {"queues_jobs_max": 3}) as api:
        other = World(api.scripts)
        theirs = make_job(other.now_ms)
        await other.accept(theirs)
        room = api.deps.submit_gate.room
        await room.look()
        first = api.client(**{"Idempotency-Key": "one"})
        accepted = (await first.post("/api/v1/jobs", json={"topic": "job.demo.read"})).json()["job_id"]
        assert (await api.submit()).status_code == 202
        before = await api.stored()
        reply = await api.submit()
        problem(reply, 429, "queues_full")
        assert int(reply.headers["Retry-After"]) >= 1
        assert await api.stored() == before
        again = await first.post("/api/v1/jobs", json={"topic": "job.demo.read"})
        assert (again.status_code, again.json()["job_id"]) == (202, accepted)
        await other.jobs.cancel(theirs.tenant, theirs.job_id, by="boss", reason="room", now_ms=other.now_ms)
        await room.look()
        assert (await api.submit()).status_code == 202
