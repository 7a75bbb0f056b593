"""What a rule may ask of approvers beside a quorum, over HTTP: text, time, signature, glass, somebody's stead."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import pytest_asyncio

from holdgate.kernel.canonical import digest
from holdgate.kernel.clock import SystemClock, rfc3339
from holdgate.kernel.ids import ActorId, JobId, Tenant
from holdgate.kernel.permits import Signer, open_signed, seal
from holdgate.kernel.records import Vote
from holdgate.scheduler.metrics import BREAK_GLASS
from holdgate.scheduler.state.connection import key
from support.api import ApiWorld, running_api
from support.holding import add_person, publish_rules
from support.servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="module")
TENANT = Tenant("default")
ADA = Signer.from_seed(b"A" * 32)
BOSS = Signer.from_seed(b"B" * 32)
OTHER = Signer.from_seed(b"O" * 32)
PEOPLE: dict[str, tuple[str, ...]] = {
    "ada": ("approver", "release-manager"),
    "bea": ("approver", "release-manager"),
    "cid": ("approver", "release-manager"),
    "glass1": ("approver", "break_glass"),
    "glass2": ("approver", "break_glass"),
    "boss": ("approver", "boss"),
    "deputy": ("approver",),
}


def rule(name: str, approvers: str, more: str = "") -> str:
    """A rule that holds `job.<name>.run`."""
    return (
        f"  - id: {name}\n    decision: require_approval\n    reason: {name} is looked at\n{more}"
        f'    match: {{topics: ["job.{name}.run"]}}\n    approvers: {{roles: [release-manager], {approvers}}}\n'
    )


RULES = "".join(
    (
        rule("plain", "quorum: 1", "    severity: high\n"),
        rule("pair", "quorum: 2"),
        rule("read", "read_for: 10m"),
        rule("typed", 'confirm: "ship it"', "    severity: critical\n"),
        rule("signed", "signed: true"),
        rule("later", "escalate_after: 1h, escalate_to: {roles: [boss]}"),
        rule("sealed", "break_glass: false"),
        rule("own", "not_author: true"),
    )
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiWorld]:
    """An API with these rules and people; `ada` has a key of her own."""
    folder = tmp_path_factory.mktemp("votes")
    root = {
        "approvers": [
            {"actor": "ada", "public_key": ADA.public_key.hex(), "roles": ["release-manager"]},
            {"actor": "boss", "public_key": BOSS.public_key.hex(), "roles": ["boss"]},
        ],
    }
    async with running_api(servers.take_nats_url(), servers.take_redis_url(), folder / "home", root=root) as api:
        await publish_rules(api, folder, RULES)
        for name, roles in PEOPLE.items():
            if name not in api.keys:
                await add_person(api, name, *roles)
        yield api


async def held(world: ApiWorld, name: str, who: str = "agent", by: str = "ada", **form: Any) -> dict[str, Any]:
    """A job that rule `name` holds, as `by` is shown it."""
    reply = await world.submit(who, topic=f"job.{name}.run", **form)
    assert reply.json()["state"] == "held", reply.text
    return await shown_to(world, reply.json()["job_id"], by)


async def shown_to(world: ApiWorld, job_id: str, who: str) -> dict[str, Any]:
    """What `who` is shown."""
    reply = await world.client(who).get(f"/api/v1/approvals/{job_id}")
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def vote(
    world: ApiWorld, shown: dict[str, Any], who: str = "ada", verb: str = "approve", **body: Any
) -> httpx.Response:
    """A vote of `who` on what was shown."""
    sent = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], "reason": "looked at it", **body}
    return await world.client(who).post(f"/api/v1/approvals/{shown['job_id']}/{verb}", json=sent)


def code(reply: httpx.Response) -> str:
    """The code of a refusal, or the status after the vote."""
    return str(reply.json().get("code", reply.json().get("status")))


async def events(world: ApiWorld, shown: dict[str, Any]) -> list[dict[str, Any]]:
    """The job's timeline."""
    return list((await world.client("auditor").get(f"/api/v1/jobs/{shown['job_id']}/timeline")).json()["items"])


async def test_the_text_of_the_rule_has_to_be_typed_to_release_and_not_to_reject(world: ApiWorld) -> None:
    shown = await held(world, "typed")
    assert (shown["confirm"], shown["severity"], shown["rules"]) == ("ship it", "critical", ["typed"])
    for body in ({}, {"confirm": "ship"}, {"confirm": "SHIP IT"}):
        reply = await vote(world, shown, **body)
        assert (reply.status_code, code(reply)) == (422, "approval_confirmation_required")
    assert code(await vote(world, shown, confirm="ship it")) == "released"
    other = await held(world, "typed")
    assert code(await vote(world, other, verb="reject")) == "rejected"


async def test_a_rule_that_wants_it_read_refuses_who_is_too_quick_and_says_how_long(world: ApiWorld) -> None:
    shown = await held(world, "read")
    assert 0 < shown["reading_left_s"] <= 600
    assert shown["reading_s"] == 600
    for who in ("ada", "bea"):  # one who looked a moment ago, one who never did
        reply = await vote(world, shown, who)
        assert (reply.status_code, code(reply)) == (409, "approval_too_soon"), reply.text
        assert 0 < int(reply.headers["retry-after"]) <= 600
    viewed = [item["viewer"] for item in await events(world, shown) if item["type"] == "approval.viewed"]
    await shown_to(world, shown["job_id"], "ada")
    await shown_to(world, shown["job_id"], "auditor")
    await shown_to(world, shown["job_id"], "deputy")
    assert viewed == ["ada"] == [e["viewer"] for e in await events(world, shown) if e["type"] == "approval.viewed"]
    early = SystemClock().now_ms() - 600_000
    await world.scripts.command("HSET", key(TENANT, "approval", shown["job_id"]), "seen:ada", early)
    assert code(await vote(world, shown, "ada")) == "released"


async def test_rejecting_and_breaking_the_glass_need_no_reading_time(world: ApiWorld) -> None:
    assert code(await vote(world, await held(world, "read"), verb="reject")) == "rejected"
    shown = await held(world, "read")
    assert code(await vote(world, shown, "glass1", break_glass=True)) == "pending"


async def test_two_break_the_glass_and_that_is_loud(world: ApiWorld) -> None:
    shown = await held(world, "pair")
    before = [BREAK_GLASS.labels(outcome)._value.get() for outcome in ("voted", "released")]
    assert code(await vote(world, shown, "glass1")) == "approval_forbidden"
    assert code(await vote(world, shown, "ada", break_glass=True)) == "approval_forbidden"
    assert code(await vote(world, shown, "glass1", break_glass=True)) == "pending"
    assert code(await vote(world, shown, "glass1", break_glass=True)) == "approval_duplicate_vote"
    assert code(await vote(world, shown, "glass2", break_glass=True)) == "released"
    kinds = [item["type"] for item in await events(world, shown)]
    assert kinds.count("approval.break_glass") == 2
    released = next(item for item in await events(world, shown) if item["type"] == "approval.released")
    assert (released["approvers"], released["break_glass"]) == (["glass1", "glass2"], True)
    assert [BREAK_GLASS.labels(outcome)._value.get() for outcome in ("voted", "released")] == [
        before[0] + 1,
        before[1] + 1,
    ]
    job = (await world.client("operator").get(f"/api/v1/jobs/{shown['job_id']}")).json()
    assert job["broke_glass"] is True


async def test_glass_is_not_broken_where_the_rule_forbids_it_nor_for_a_rejection(world: ApiWorld) -> None:
    shown = await held(world, "sealed")
    assert code(await vote(world, shown, "glass1", break_glass=True)) == "approval_forbidden"
    assert code(await vote(world, shown, "ada", verb="reject", break_glass=True)) == "invalid_input"


async def test_after_its_time_others_may_release_it_and_before_they_may_neither_release_nor_reject(
    world: ApiWorld,
) -> None:
    shown = await held(world, "later", by="boss")
    assert (shown["may_vote"], shown["refused_for"], shown["escalated"]) == (False, "approval_forbidden", False)
    for verb in ("approve", "reject"):
        assert code(await vote(world, shown, "boss", verb)) == "approval_forbidden"
    hour_ago = SystemClock().now_ms() - 3_600_000
    await world.scripts.command("HSET", key(TENANT, "approval", shown["job_id"]), "created", hour_ago)
    again = await shown_to(world, shown["job_id"], "boss")
    assert (again["may_vote"], again["escalated"]) == (True, True)
    assert code(await vote(world, shown, "boss")) == "released"


def signed(shown: dict[str, Any], signer: Signer = ADA, **changes: Any) -> dict[str, str]:
    """Ada's vote on what she was shown, in her own hand."""
    asked = shown["to_sign"]
    record = Vote(
        job_id=JobId(shown["job_id"]),
        job_hash=shown["job_hash"],
        snapshot=shown["snapshot"],
        tenant=Tenant(asked["tenant"]),
        approver=ActorId(asked["approver"]),
        roles=tuple(asked["roles"]),
        approve=True,
        reason="looked at it",
        attempt=asked["attempt"],
        issued_ms=SystemClock().now_ms(),
        expires_ms=asked["expires_ms"],
    )
    made = seal(replace(record, **changes), signer)
    return {
        "body": base64.b64encode(made.body).decode(),
        "key": made.key,
        "signature": base64.b64encode(made.signature).decode(),
    }


async def test_a_rule_that_wants_votes_signed_takes_them_signed_and_a_no_without(world: ApiWorld) -> None:
    shown = await held(world, "signed")
    assert shown["to_sign"]["keys"] == [ADA.name]
    reply = await vote(world, shown)
    assert (reply.status_code, code(reply)) == (422, "approval_signature_required")
    assert code(await vote(world, shown, vote=signed(shown))) == "released"
    approval = await world.deps.approvals.require(TENANT, JobId(shown["job_id"]))
    trust = world.deps.trust()
    assert trust is not None
    assert open_signed(approval.votes[0].signed, Vote, trust.approver_keys).approver == "ada"
    assert approval.votes[0].own_key is True
    assert code(await vote(world, await held(world, "signed"), "bea", "reject")) == "rejected"


@pytest.mark.parametrize(
    "changes",
    [
        {"job_id": JobId("job_01890000-0000-7000-8000-000000000000")},
        {"job_hash": digest("another")},
        {"snapshot": digest("another")},
        {"tenant": Tenant("other")},
        {"approver": ActorId("bea")},
        {"approve": False},
        {"reason": "something else"},
        {"attempt": 2},
        {"attempt": 0},
        {"issued_ms": 1},
        {"issued_ms": 2**52},
        {"expires_ms": 1},
        {"expires_ms": 2**52},
        {"on_behalf_of": ActorId("bea")},
        {"grant": "grant"},
        {"break_glass": True},
        {"approve": 1},
        {"signer": OTHER},
        {"key": ADA.name, "signer": OTHER},
    ],
    ids=str,
)
async def test_a_signed_vote_that_says_anything_else_than_was_shown_is_refused(
    world: ApiWorld, changes: dict[str, Any]
) -> None:
    shown = await held(world, "signed")
    more = dict(changes)
    claimed = more.pop("key", None)
    sent = signed(shown, more.pop("signer", ADA), **more)
    if claimed is not None:
        sent["key"] = claimed
    reply = await vote(world, shown, vote=sent)
    assert (reply.status_code, code(reply)) == (422, "approval_signature_invalid"), reply.text
    assert (await shown_to(world, shown["job_id"], "ada"))["votes"] == []


async def test_a_vote_signed_for_somebody_else_or_an_earlier_job_is_not_taken(world: ApiWorld) -> None:
    shown, other = await held(world, "signed"), await held(world, "signed")
    assert code(await vote(world, shown, "bea", vote=signed(shown))) == "approval_signature_invalid"
    assert code(await vote(world, shown, vote=signed(other))) == "approval_signature_invalid"


@pytest.mark.parametrize(
    "body",
    [
        {"vote": "x"},
        {"vote": {"body": "AA==", "key": "k"}},
        {"vote": {"body": "!", "key": "k", "signature": "AA=="}},
        {"vote": {"body": "A" * 40_000, "key": "k", "signature": "AA=="}},
        {"break_glass": 1},
        {"confirm": ["x"]},
        {"on_behalf_of": 7},
        {"on_behalf_of": "\u202eada"},
        {"grant": "g"},
        {"has_read": True},
    ],
    ids=str,
)
async def test_a_form_that_is_none_is_refused_by_field(world: ApiWorld, body: dict[str, Any]) -> None:
    reply = await vote(world, await held(world, "plain"), **body)
    assert (reply.status_code, code(reply)) == (422, "invalid_input"), reply.text


async def test_somebody_votes_in_anothers_stead_and_the_two_count_once(world: ApiWorld) -> None:
    until = rfc3339(SystemClock().now_ms() + 3_600_000)
    shown = await held(world, "pair", by="deputy")
    assert code(await vote(world, shown, "deputy")) == "approval_forbidden"
    assert code(await vote(world, shown, "deputy", on_behalf_of="ada")) == "delegation_forbidden"
    body = {"delegate": "deputy", "roles": ["release-manager"], "until": until, "reason": "on leave"}
    given = await world.client("ada").post("/api/v1/delegations", json=body)
    assert given.status_code == 201, given.text
    assert code(await vote(world, shown, "deputy", on_behalf_of="ada")) == "pending"
    twice = await vote(world, shown, "ada")
    assert code(twice) == "approval_duplicate_vote"
    assert "`ada` counts already" in twice.json()["detail"]
    assert code(await vote(world, shown, "deputy", on_behalf_of="ada")) == "approval_duplicate_vote"
    assert code(await vote(world, shown, "bea")) == "released"
    cast = [item for item in await events(world, shown) if item["type"] == "approval.vote"]
    assert (cast[0]["approver"], cast[0]["on_behalf_of"], len(cast[0]["delegations"])) == ("deputy", "ada", 1)
    mine = await held(world, "pair", by="deputy")
    assert code(await vote(world, mine, "deputy", on_behalf_of="ada")) == "pending"
    assert code(await vote(world, mine, "ada", "reject")) == "rejected"  # who lets another say yes can still say no


async def test_nobody_releases_through_another_what_is_their_own(world: ApiWorld) -> None:
    until = rfc3339(SystemClock().now_ms() + 3_600_000)
    body = {"delegate": "deputy", "roles": ["release-manager"], "until": until, "reason": "on leave"}
    assert (await world.client("busy").post("/api/v1/delegations", json=body)).status_code == 201
    shown = await held(world, "plain", "busy")
    for verb in ("approve", "reject"):
        assert code(await vote(world, shown, "deputy", verb, on_behalf_of="busy")) == "approval_self"


async def test_a_list_is_filtered_and_ordered_and_says_what_hurries(world: ApiWorld) -> None:
    typed, plain = await held(world, "typed"), await held(world, "plain")
    own = await held(world, "plain", "busy")
    client = world.client("ada")

    async def listed(who: httpx.AsyncClient = client, **query: str) -> list[dict[str, Any]]:
        reply = await who.get("/api/v1/approvals", params=query)
        assert reply.status_code == 200, reply.text
        return list(reply.json()["items"])

    assert {item["topic"] for item in await listed(topic="job.typed.run")} == {"job.typed.run"}
    assert {item["severity"] for item in await listed(severity="critical")} == {"critical"}
    by_rule = await listed(rule="plain")
    assert [item["job_id"] for item in by_rule][:2] == [own["job_id"], plain["job_id"]]
    assert {item["shape"] for item in by_rule} == {plain["shape"]}
    assert plain["shape"] != typed["shape"]
    assert by_rule[0]["reason"] == "plain is looked at"
    assert by_rule[0]["remaining_s"] > 0
    mine = [item["job_id"] for item in await listed(world.client("busy"), mine="true", rule="plain")]
    assert plain["job_id"] in mine
    assert own["job_id"] not in mine
    assert await listed(world.client("deputy"), mine="true") == []
    expiring = [item["remaining_s"] for item in await listed(order="expiring")]
    assert expiring == sorted(expiring)
    until = rfc3339(SystemClock().now_ms() + 3_600_000)
    await client.post(f"/api/v1/approvals/{own['job_id']}/defer", json={"until": until, "reason": "later"})
    for order in ("newest", "expiring"):
        assert [item["job_id"] for item in await listed(order=order, rule="plain")][-1] == own["job_id"]
    for query in ({"order": "oldest"}, {"severity": "awful"}, {"mine": "yes"}, {"cursor": "bm9uZQ"}):
        assert (await client.get("/api/v1/approvals", params=query)).status_code in (400, 422)


async def test_who_signed_the_bundle_of_the_rule_releases_nothing_that_it_holds(world: ApiWorld) -> None:
    shown = await held(world, "own")
    (author,) = shown["requirements"][0]["excluded"]
    await add_person(world, author, "approver", "release-manager")
    for verb in ("approve", "reject"):
        reply = await vote(world, shown, author, verb)
        assert code(reply) == "approval_forbidden", reply.text
        assert "its own author" in reply.json()["detail"]
    assert code(await vote(world, shown, "bea")) == "released"


async def test_in_anothers_stead_nobody_breaks_the_glass_nor_signs(world: ApiWorld) -> None:
    until = rfc3339(SystemClock().now_ms() + 3_600_000)
    body = {"delegate": "bea", "roles": ["release-manager"], "until": until, "reason": "on leave"}
    assert (await world.client("cid").post("/api/v1/delegations", json=body)).status_code == 201
    shown = await held(world, "plain")
    for more in ({"break_glass": True}, {"vote": signed(shown)}):
        assert code(await vote(world, shown, "bea", on_behalf_of="cid", **more)) == "invalid_input"
    assert code(await vote(world, shown, "bea", on_behalf_of="cid")) == "released"


async def test_a_vote_signed_before_it_escalated_does_not_count_after(world: ApiWorld) -> None:
    shown = await held(world, "later", by="boss")
    now_ms = SystemClock().now_ms()
    await world.scripts.command("HSET", key(TENANT, "approval", shown["job_id"]), "created", now_ms - 3_660_000)
    again = await shown_to(world, shown["job_id"], "boss")
    early = signed(again, BOSS, issued_ms=now_ms - 120_000)
    assert code(await vote(world, again, "boss", vote=early)) == "approval_forbidden"
    assert code(await vote(world, again, "boss", vote=signed(again, BOSS))) == "released"


async def test_an_earlier_yes_by_another_way_is_not_given_again(world: ApiWorld) -> None:
    shown = await held(world, "pair")
    assert shown["can_reconfirm"] is False
    body = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"]}
    reply = await world.client("ada").post(f"/api/v1/approvals/{shown['job_id']}/reconfirm", json=body)
    assert (reply.status_code, code(reply)) == (409, "approval_not_reconfirmable")
