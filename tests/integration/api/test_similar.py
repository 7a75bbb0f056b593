"""What happened to jobs like a held one, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.state.connection import key
from support.api import ApiWorld
from support.held import ahead, held, rule, use_rules
from support.state import tell_log

TENANT = Tenant("default")


async def decide(api: ApiWorld, shown: dict[str, Any], verb: str = "approve", who: str = "approver") -> None:
    """A vote that ends it."""
    body = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], "reason": f"{verb} it"}
    reply = await api.client(who).post(f"/api/v1/approvals/{shown['job_id']}/{verb}", json=body)
    assert reply.status_code == 200, reply.text


async def similar(api: ApiWorld, shown: dict[str, Any], who: str = "approver") -> list[dict[str, Any]]:
    """What is told of jobs like it."""
    reply = await api.client(who).get(f"/api/v1/approvals/{shown['job_id']}/similar")
    assert reply.status_code == 200, reply.text
    return list(reply.json()["items"])


async def test_an_approver_sees_how_others_decided_about_such_jobs_newest_first(api: ApiWorld) -> None:
    first, second, waiting, shown = [await held(api) for _ in range(4)]
    await decide(api, first, "reject", "approver2")
    await decide(api, second)
    past = await similar(api, shown)
    assert [item["job_id"] for item in past] == [second["job_id"], first["job_id"]]
    assert [(item["status"], item["state"]) for item in past] == [("released", "queued"), ("rejected", "denied")]
    assert [item["decided_by"] for item in past] == [["approver"], ["approver2"]]
    assert past[1]["votes"][0]["reason"] == "reject it"
    assert waiting["job_id"] not in [item["job_id"] for item in past]
    assert await similar(api, second, "auditor") == past[1:]


async def test_jobs_of_another_topic_or_held_by_other_rules_are_not_similar(api: ApiWorld, tmp_path: Path) -> None:
    tagged = rule("risky").replace('match: {topics: ["job.deploy.*"]}', "match: {risk_tags: [risky]}")
    await use_rules(api, tmp_path / "rules", rule(), tagged)
    for other in ({"topic": "job.deploy.other"}, {"risk_tags": ["risky"]}):
        await decide(api, await held(api, **other))
    assert await similar(api, await held(api)) == []


async def test_a_forgotten_job_is_left_out(api: ApiWorld) -> None:
    gone, shown = await held(api), await held(api)
    await decide(api, gone, "reject")
    await api.deps.jobs.mark_logged(TENANT, [gone["job_id"]])
    await tell_log(api.scripts, TENANT)
    now_ms = api.deps.clock.now_ms() + 1
    assert await api.deps.jobs.forget(TENANT, ended_before_ms=now_ms, denied_before_ms=now_ms) == 1
    assert await similar(api, shown) == []


async def test_of_jobs_that_are_all_forgotten_nothing_is_kept(api: ApiWorld) -> None:
    gone = await held(api, topic="job.deploy.once")
    where = await _similar_keys(api)
    await decide(api, gone, "reject")
    await api.deps.jobs.mark_logged(TENANT, [gone["job_id"]])
    await tell_log(api.scripts, TENANT)
    now_ms = api.deps.clock.now_ms() + 1
    await api.deps.jobs.forget(TENANT, ended_before_ms=now_ms, denied_before_ms=now_ms)
    assert len(where) == 1
    assert await _similar_keys(api) == []


async def _similar_keys(api: ApiWorld) -> list[bytes]:
    return list(await api.scripts.command("KEYS", key(TENANT, "similar", "*")))


async def test_no_more_are_told_than_anybody_reads_and_no_more_kept_than_are_looked_through(api: ApiWorld) -> None:
    shown = await held(api)
    for _ in range(25):
        await decide(api, await held(api), "reject")
    assert len(await similar(api, shown)) == 20
    (name,) = await api.scripts.command("KEYS", key(TENANT, "similar", "*"))
    for number in range(200):
        await api.scripts.command("ZADD", name, 1, f"job_{number}")
    await held(api)
    assert int(await api.scripts.command("ZCARD", name)) == 100
    assert int(await api.scripts.command("PTTL", name)) > 0


async def test_a_job_that_a_grant_released_says_so(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "rules", rule())
    shown = await held(api)
    body = {name: shown[name] for name in ("job_id", "job_hash", "snapshot")}
    terms = {"labels": ["env"], "uses_max": 1, "expires_at": ahead(60), "reason": "once"}
    grant = (await api.client("approver").post("/api/v1/grants", json={**body, **terms})).json()
    await api.submit(topic="job.deploy.apply", labels={"env": "prod", "service": "shop"}, capability="infra.write")
    (past,) = await similar(api, shown)
    assert (past["status"], past["decided_by"], past["votes"][0]["grant"]) == (
        "released",
        ["approver"],
        grant["grant_id"],
    )


async def test_agents_and_other_tenants_learn_nothing(api: ApiWorld) -> None:
    shown = await held(api)
    path = f"/api/v1/approvals/{shown['job_id']}/similar"
    assert (await api.client("agent").get(path)).json()["code"] == "forbidden"
    assert (await api.client("stranger").get(path)).json()["code"] == "approval_not_found"
    missing = "/api/v1/approvals/job_00000000-0000-7000-8000-000000000000/similar"
    assert (await api.client("approver").get(missing)).json()["code"] == "approval_not_found"
