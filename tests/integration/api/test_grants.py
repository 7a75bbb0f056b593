"""Standing grants over HTTP: asked for over a held job, confirmed, used, ended; nothing else is let in by one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdgate.kernel import wire
from holdgate.kernel.grants import GrantTerms
from holdgate.kernel.ids import JobId, Tenant
from holdgate.kernel.links import Vote
from holdgate.kernel.permits import open_signed
from holdgate.scheduler.gates import metrics
from holdgate.scheduler.identity.keys import read_keys, revoke_key
from holdgate.scheduler.state.approvals import ApprovalStatus
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.grants import bucket_of
from support.api import ApiWorld
from support.held import DEPLOY, ahead, held, rule, use_rules
from support.waiting import eventually

TENANT = Tenant("default")


async def request(api: ApiWorld, shown: dict[str, Any], who: str = "approver", **body: Any) -> httpx.Response:
    """A grant of three jobs like the one shown, `body` instead of it."""
    sent = {
        "job_id": shown["job_id"],
        "job_hash": shown["job_hash"],
        "snapshot": shown["snapshot"],
        "labels": ["env", "service"],
        "uses_max": 3,
        "expires_at": ahead(3600),
        "reason": "the release of this week",
        **body,
    }
    return await api.client(who).post("/api/v1/grants", json={k: v for k, v in sent.items() if v is not None})


async def granted(api: ApiWorld, directory: Path, **body: Any) -> dict[str, Any]:
    """An active grant under a rule that takes them."""
    await use_rules(api, directory / "rules", rule())
    reply = await request(api, await held(api), **body)
    assert reply.status_code == 201, reply.text
    assert reply.json()["status"] == "active"
    return dict(reply.json())


async def approve(api: ApiWorld, grant: dict[str, Any], who: str, **body: Any) -> httpx.Response:
    """Another approver's part."""
    sent = {"grant_digest": grant["grant_digest"], "reason": "so do I", **body}
    return await api.client(who).post(f"/api/v1/grants/{grant['grant_id']}/approve", json=sent)


async def revoke(api: ApiWorld, grant: dict[str, Any], who: str = "approver") -> httpx.Response:
    """The end of it."""
    return await api.client(who).post(f"/api/v1/grants/{grant['grant_id']}/revoke", json={"reason": "enough"})


async def submitted(api: ApiWorld, who: str = "agent", **form: Any) -> str:
    """The state in which another such job enters."""
    reply = await api.submit(who, **{**DEPLOY, **form})
    return str(reply.json().get("state", reply.text))


async def shown_grant(api: ApiWorld, grant: dict[str, Any]) -> dict[str, Any]:
    """The grant as it stands."""
    return dict((await api.client("auditor").get(f"/api/v1/grants/{grant['grant_id']}")).json())


async def grant_events(api: ApiWorld) -> list[str]:
    """Kinds of the audit events about grants, in order."""
    return [event.type for event in await api.deps.audit.read(TENANT, 0) if event.type.startswith("grant.")]


async def test_a_grant_releases_as_many_jobs_as_it_says_and_then_no_more(api: ApiWorld, tmp_path: Path) -> None:
    grant = await granted(api, tmp_path)
    assert (grant["uses_left"], grant["actor"], grant["labels"]) == (3, "agent", DEPLOY["labels"])
    assert [await submitted(api) for _ in range(4)] == ["accepted", "accepted", "accepted", "held"]
    shown = await shown_grant(api, grant)
    assert (shown["status"], shown["uses"], shown["uses_left"], len(shown["used_by"])) == ("exhausted", 3, 0, 3)
    assert await grant_events(api) == ["grant.requested", "grant.active", *["grant.used"] * 3, "grant.exhausted"]


async def test_a_job_that_a_grant_released_carries_votes_that_the_kernel_can_verify(
    api: ApiWorld, tmp_path: Path
) -> None:
    grant = await granted(api, tmp_path)
    reply = await api.submit("agent", **DEPLOY)
    job_id = JobId(reply.json()["job_id"])
    approval = await api.deps.approvals.require(TENANT, job_id)
    assert approval.status is ApprovalStatus.RELEASED
    trust = api.deps.trust()
    assert trust is not None
    (cast,) = approval.votes
    vote = open_signed(cast.signed, Vote, trust.api)
    assert (vote.grant, vote.approver, vote.attempt, vote.job_id) == (grant["grant_id"], "approver", 1, job_id)
    assert vote.snapshot == grant["snapshot"]
    waiting = (await api.client("approver").get("/api/v1/approvals")).json()["items"]
    assert job_id not in [item["job_id"] for item in waiting]
    timeline = (await api.client("auditor").get(f"/api/v1/jobs/{job_id}/timeline")).json()["items"]
    assert [event["type"] for event in timeline][:2] == ["job.accepted", "grant.used"]


@pytest.mark.parametrize(
    "form",
    [
        {"topic": "job.deploy.other"},
        {"labels": {"env": "prod", "service": "bank"}},
        {"labels": {"env": "prod"}},
        {"capability": "infra.read"},
        {"who": "agent2"},
    ],
)
async def test_a_job_of_another_kind_is_held_as_ever(api: ApiWorld, tmp_path: Path, form: dict[str, Any]) -> None:
    grant = await granted(api, tmp_path)
    assert await submitted(api, **form) == "held"
    assert (await shown_grant(api, grant))["uses"] == 0


async def test_labels_that_the_grant_does_not_name_may_be_any(api: ApiWorld, tmp_path: Path) -> None:
    await granted(api, tmp_path, labels=["env"])
    assert await submitted(api, labels={"env": "prod", "service": "bank", "ticket": "7"}) == "accepted"


async def test_a_job_that_another_rule_holds_too_is_not_released(api: ApiWorld, tmp_path: Path) -> None:
    risky = rule("risky", quorum=1).replace('match: {topics: ["job.deploy.*"]}', "match: {risk_tags: [risky]}")
    await use_rules(api, tmp_path / "two", rule(), risky)
    assert (await request(api, await held(api))).status_code == 201
    assert await submitted(api, risk_tags=["risky"]) == "held"
    assert await submitted(api) == "accepted"


async def test_of_a_hundred_at_once_exactly_as_many_enter_as_were_granted(api: ApiWorld, tmp_path: Path) -> None:
    grant = await granted(api, tmp_path, uses_max=20)
    client = api.client("agent")
    replies = await asyncio.gather(*(client.post("/api/v1/jobs", json=DEPLOY) for _ in range(100)))
    states = [reply.json()["state"] for reply in replies]
    assert (states.count("accepted"), states.count("held")) == (20, 80)
    shown = await shown_grant(api, grant)
    accepted = {reply.json()["job_id"] for reply in replies if reply.json()["state"] == "accepted"}
    assert {use["job_id"] for use in shown["used_by"]} == accepted
    assert (await grant_events(api)).count("grant.used") == 20


async def test_the_same_submit_sent_twice_is_one_use(api: ApiWorld, tmp_path: Path) -> None:
    grant = await granted(api, tmp_path)
    client = api.client("agent", **{"Idempotency-Key": "once"})
    replies = await asyncio.gather(*(client.post("/api/v1/jobs", json=DEPLOY) for _ in range(10)))
    assert len({reply.json()["job_id"] for reply in replies}) == 1
    assert (await shown_grant(api, grant))["uses"] == 1


async def test_a_revoked_grant_releases_nothing_more_and_what_it_released_stays(api: ApiWorld, tmp_path: Path) -> None:
    grant = await granted(api, tmp_path)
    assert await submitted(api) == "accepted"
    ended = await revoke(api, grant, "approver2")
    assert (ended.status_code, ended.json()["status"], ended.json()["ended_by"]) == (200, "revoked", "approver2")
    assert await submitted(api) == "held"
    assert (await revoke(api, grant)).json()["code"] == "grant_ended"
    assert len((await shown_grant(api, grant))["used_by"]) == 1


async def test_revoking_while_jobs_come_leaves_each_released_or_held(api: ApiWorld, tmp_path: Path) -> None:
    grant = await granted(api, tmp_path, uses_max=1000)
    client = api.client("agent")
    replies = await asyncio.gather(
        *(client.post("/api/v1/jobs", json=DEPLOY) for _ in range(50)),
        revoke(api, grant),
        *(client.post("/api/v1/jobs", json=DEPLOY) for _ in range(50)),
    )
    jobs = [reply.json() for reply in replies if "state" in reply.json()]
    shown = await shown_grant(api, grant)
    assert len(jobs) == 100
    assert shown["status"] == "revoked"
    assert sum(job["state"] == "accepted" for job in jobs) == shown["uses"]
    assert await submitted(api) == "held"


@pytest.mark.parametrize("who", ["bystander", "agent", "stranger", "auditor"])
async def test_who_may_not_approve_it_does_not_end_it_but_an_operator_does(
    api: ApiWorld, tmp_path: Path, who: str
) -> None:
    grant = await granted(api, tmp_path)
    assert (await revoke(api, grant, who)).status_code in (403, 404)
    assert (await shown_grant(api, grant))["status"] == "active"
    assert (await revoke(api, grant, "operator")).json()["status"] == "revoked"


async def test_with_a_quorum_of_two_it_takes_two_and_both_votes_count(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "two", rule(quorum=2))
    grant = (await request(api, await held(api))).json()
    assert (grant["status"], grant["approvals_missing"]) == ("pending", 1)
    assert await submitted(api) == "held"
    assert (await approve(api, grant, "approver")).json()["code"] == "approval_duplicate_vote"
    assert (await approve(api, grant, "bystander")).json()["code"] == "approval_forbidden"
    other = await approve(api, grant, "approver2", grant_digest="sha256:" + "0" * 64)
    assert other.json()["code"] == "grant_stale"
    assert (await approve(api, grant, "approver2", reason=" ")).json()["code"] == "approval_reason_required"
    done = await approve(api, grant, "approver2")
    assert (done.status_code, done.json()["status"]) == (200, "active"), done.text
    assert await submitted(api) == "accepted"
    assert (await approve(api, grant, "busy")).json()["code"] == "grant_ended"
    assert await grant_events(api) == ["grant.requested", "grant.approved", "grant.active", "grant.used"]


async def test_a_pending_grant_is_withdrawn_by_who_asked_and_rejected_by_another(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "two", rule(quorum=2))
    shown = await held(api)
    first, second = (await request(api, shown)).json(), (await request(api, shown)).json()
    assert (await revoke(api, first, "approver")).json()["status"] == "withdrawn"
    assert (await revoke(api, second, "approver2")).json()["status"] == "rejected"
    assert (await approve(api, first, "approver2")).json()["code"] == "grant_ended"


async def test_the_agent_and_whom_it_acts_for_complete_no_grant_of_its_jobs(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "two", rule(quorum=2))
    own = (await request(api, await held(api, "busy"))).json()
    assert (await approve(api, own, "busy")).json()["code"] == "approval_self"
    acted_for = (await request(api, await held(api, "helper"), "approver2")).json()
    assert (await approve(api, acted_for, "approver")).json()["code"] == "approval_self"


@pytest.mark.parametrize(
    ("who", "body", "status", "code"),
    [
        ("approver", {"job_hash": "sha256:" + "0" * 64}, 409, "approval_stale_job"),
        ("approver", {"snapshot": "sha256:" + "0" * 64}, 409, "approval_stale_policy"),
        ("approver", {"labels": ["ticket"]}, 422, "invalid_input"),
        ("approver", {"labels": "env"}, 422, "invalid_input"),
        ("approver", {"uses_max": 0}, 422, "invalid_input"),
        ("approver", {"uses_max": 1001}, 422, "invalid_input"),
        ("approver", {"uses_max": True}, 422, "invalid_input"),
        ("approver", {"expires_at": ahead(-10)}, 422, "invalid_input"),
        ("approver", {"expires_at": ahead(31 * 86400)}, 422, "invalid_input"),
        ("approver", {"reason": None}, 422, "approval_reason_required"),
        ("approver", {"job_id": "job_1"}, 404, "approval_not_found"),
        ("approver", {"forever": True}, 422, "invalid_input"),
        ("bystander", {}, 403, "approval_forbidden"),
        ("agent", {}, 403, "forbidden"),
        ("operator", {}, 403, "forbidden"),
        ("stranger", {}, 404, "approval_not_found"),
    ],
)
async def test_what_may_not_be_granted_is_refused(
    api: ApiWorld, tmp_path: Path, who: str, body: dict[str, Any], status: int, code: str
) -> None:
    await use_rules(api, tmp_path / "rules", rule())
    reply = await request(api, await held(api), who, **body)
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text
    assert (await api.client("operator").get("/api/v1/grants")).json()["items"] == []


async def test_a_job_that_asks_for_secrets_gives_no_terms_of_a_grant(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "rules", rule())
    reply = await request(api, await held(api, secrets=["db"]))
    assert (reply.status_code, reply.json()["code"]) == (403, "grant_forbidden"), reply.text
    assert "secrets" in reply.json()["detail"]


async def test_a_rule_that_does_not_say_so_takes_no_grants(api: ApiWorld) -> None:
    reply = await request(api, await held(api))
    assert (reply.status_code, reply.json()["code"]) == (403, "grant_forbidden"), reply.text


async def test_nobody_grants_what_is_done_in_their_own_name(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "rules", rule())
    for who, approver in (("busy", "busy"), ("helper", "approver")):
        reply = await request(api, await held(api, who), approver)
        assert reply.json()["code"] == "approval_self", reply.text


async def test_the_text_that_a_rule_wants_typed_is_typed_for_a_grant_too(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "rules", rule(confirm='"ship shop"'))
    shown = await held(api)
    assert (await request(api, shown)).json()["code"] == "approval_confirmation_required"
    assert (await request(api, shown, confirm="ship shop")).status_code == 201


async def test_a_grant_is_not_asked_for_sooner_than_its_rule_wants_the_job_read(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "rules", rule(read_for="1h", quorum=2))
    shown = await held(api)
    assert (await request(api, shown)).json()["code"] == "approval_too_soon"
    approval = key(TENANT, "approval", shown["job_id"])
    await api.scripts.command("HSET", approval, "seen:approver", 1)
    grant = (await request(api, shown)).json()
    assert grant["status"] == "pending"
    assert (await approve(api, grant, "approver2")).json()["code"] == "approval_too_soon"
    await api.client("approver2").get(f"/api/v1/grants/{grant['grant_id']}")
    assert (await approve(api, grant, "approver2")).json()["code"] == "approval_too_soon"
    await api.scripts.command("HSET", key(TENANT, "grant", grant["grant_id"]), "seen:approver2", 1)
    assert (await approve(api, grant, "approver2")).json()["status"] == "active"


async def test_under_another_policy_a_grant_releases_nothing_and_is_void(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "two", rule(quorum=2))
    pending = (await request(api, await held(api))).json()
    await use_rules(api, tmp_path / "one", rule(), version=3)
    active = (await request(api, await held(api))).json()
    reply = await approve(api, pending, "approver2")
    assert (reply.status_code, reply.json()["code"]) == (409, "approval_stale_policy"), reply.text
    assert (await shown_grant(api, pending))["status"] == "void"
    assert (await shown_grant(api, active))["status"] == "active"
    await use_rules(api, tmp_path / "again", rule(), rule("more", topics='"job.more"'), version=4)
    assert await submitted(api) == "held"


async def test_a_grant_whose_giver_lost_the_role_releases_nothing(api: ApiWorld, tmp_path: Path) -> None:
    await granted(api, tmp_path)
    path = api.provisioned.home.api_keys_file
    (record,) = [item for item in read_keys(path) if item.actor == "approver"]
    revoke_key(path, record.key_id)
    await eventually(
        lambda: api.deps.keys.roles_of(TENANT, record.actor) == frozenset(), 5, why="the API read its keys again"
    )
    assert await submitted(api) == "held"


async def forge(api: ApiWorld, grant: dict[str, Any], field: str) -> None:
    """What somebody who may write to Redis would try."""
    where = key(TENANT, "grant", grant["grant_id"])
    terms = wire.unpack(await api.scripts.command("HGET", where, "terms"))
    if field == "digest":
        await api.scripts.command("HSET", where, "digest", "sha256:" + "0" * 64)
        return
    if field == "parts":
        await api.scripts.command("DEL", key(TENANT, "grant_parts", grant["grant_id"]))
        return
    if field == "terms under their old digest":
        await api.scripts.command("HSET", where, "terms", wire.pack({**terms, "uses_max": 1000}))
        return
    terms[field] = {"uses_max": 1000, "actor": "agent2", "expires_ms": terms["expires_ms"] + 86_400_000}[field]
    if field == "actor":
        bucket = await api.scripts.command("HGET", where, "bucket")
        other = bucket_of("agent2", terms["topic"])
        await api.scripts.command("HSET", where, "bucket", other)
        await api.scripts.command(
            "RENAME", key(TENANT, "grants_for", bucket.decode()), key(TENANT, "grants_for", other)
        )
    forged = GrantTerms.from_dict(terms)
    await api.scripts.command("HSET", where, "terms", wire.pack(terms), "digest", forged.digest())


@pytest.mark.parametrize(
    "field", ["uses_max", "actor", "expires_ms", "digest", "parts", "terms under their old digest"]
)
async def test_a_grant_that_was_changed_in_redis_releases_nothing(api: ApiWorld, tmp_path: Path, field: str) -> None:
    grant = await granted(api, tmp_path)
    before = metrics.RECORDS_FORGED.labels("grant")._value.get()
    await forge(api, grant, field)
    assert await submitted(api, "agent2" if field == "actor" else "agent") == "held"
    alarms = metrics.RECORDS_FORGED.labels("grant")._value.get() - before
    assert alarms >= (0 if field == "parts" else 1)


async def test_a_grant_that_was_used_up_and_is_made_active_again_in_redis_releases_nothing(
    api: ApiWorld, tmp_path: Path
) -> None:
    grant = await granted(api, tmp_path, uses_max=1)
    where = key(TENANT, "grant", grant["grant_id"])
    await api.scripts.command("HSET", where, "max", 100, "expires", 4 * 10**12)
    assert [await submitted(api) for _ in range(2)] == ["accepted", "held"]
    bucket = await api.scripts.command("HGET", where, "bucket")
    await api.scripts.command("HSET", where, "status", "active")
    await api.scripts.command("ZADD", key(TENANT, "grants_for", bucket.decode()), 4 * 10**12, grant["grant_id"])
    assert await submitted(api) == "held"


async def test_a_job_that_is_to_run_after_the_end_of_the_grant_is_held(api: ApiWorld, tmp_path: Path) -> None:
    await granted(api, tmp_path)
    assert await submitted(api, run_at=ahead(7200)) == "held"
    assert await submitted(api, run_at=ahead(1800)) == "scheduled"


async def test_over_a_rate_limit_that_holds_a_person_looks_whatever_was_granted(api: ApiWorld, tmp_path: Path) -> None:
    limit = (
        "  - id: limit\n    decision: throttle\n    reason: one an hour\n    match: {topics: ['job.deploy.*']}\n"
        "    throttle: {limit: 1, per: 1h, key: [tenant], over: hold}\n"
    )
    await use_rules(api, tmp_path / "rules", rule(), limit)
    shown = await held(api)
    assert (await request(api, shown)).status_code == 201
    assert await submitted(api) == "held"


async def test_there_is_an_end_to_how_many_grants_one_agent_has_for_one_topic(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "rules", rule())
    shown = await held(api)
    for _ in range(16):
        assert (await request(api, shown)).status_code == 201
    assert (await request(api, shown)).json()["code"] == "grant_limit"
    first = (await api.client("auditor").get("/api/v1/grants?limit=10")).json()
    rest = (await api.client("auditor").get(f"/api/v1/grants?limit=10&cursor={first['next_cursor']}")).json()
    assert (len(first["items"]), len(rest["items"]), rest["next_cursor"]) == (10, 6, None)


async def test_another_tenants_grant_is_not_found(api: ApiWorld, tmp_path: Path) -> None:
    grant = await granted(api, tmp_path)
    stranger = api.client("stranger")
    path = f"/api/v1/grants/{grant['grant_id']}"
    assert (await stranger.get(path)).json()["code"] == "grant_not_found"
    assert (await approve(api, grant, "stranger")).json()["code"] == "grant_not_found"
    assert (await stranger.get("/api/v1/grants")).json()["items"] == []
    assert (await api.client("auditor").get("/api/v1/grants/grant_1")).json()["code"] == "grant_not_found"
