"""What a rule may ask of approvers beside a quorum, over HTTP: text, time, glass, somebody's stead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from holdgate.kernel.clock import SystemClock, rfc3339
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId
from holdgate.scheduler.gates.approval import Approver, Shown, VoteForm
from holdgate.scheduler.metrics import BREAK_GLASS
from holdgate.scheduler.state.connection import key
from support.api import ApiWorld
from support.holding import add_person
from support.servers import Servers
from support.voting import TENANT, code, events, held, shown_to, signed, vote, voting

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiWorld]:
    """The people, the rules and an API."""
    async with voting(servers, tmp_path_factory.mktemp("voting")) as api:
        yield api


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
    form = VoteForm(Shown(shown["job_hash"], shown["snapshot"]), "looked at it", break_glass=True)
    with pytest.raises(InvalidInput, match="break_glass"):
        await world.deps.approval_gate.reject(
            Approver(TENANT, ActorId("ada"), ("release-manager",)), shown["job_id"], form
        )


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
    gravest = [item["severity"] for item in await listed(order="gravest")]
    assert gravest == sorted(gravest, key=["critical", "high", "medium", "low"].index)
    until = rfc3339(SystemClock().now_ms() + 3_600_000)
    await client.post(f"/api/v1/approvals/{own['job_id']}/defer", json={"until": until, "reason": "later"})
    for order in ("newest", "expiring", "gravest"):
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


async def test_an_earlier_yes_by_another_way_is_not_given_again(world: ApiWorld) -> None:
    shown = await held(world, "pair")
    assert shown["can_reconfirm"] is False
    body = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"]}
    reply = await world.client("ada").post(f"/api/v1/approvals/{shown['job_id']}/reconfirm", json=body)
    assert (reply.status_code, code(reply)) == (409, "approval_not_reconfirmable")


async def test_who_votes_in_anothers_stead_has_to_have_read_it_too(world: ApiWorld) -> None:
    until = rfc3339(SystemClock().now_ms() + 3_600_000)
    body = {"delegate": "deputy", "roles": ["release-manager"], "until": until, "reason": "on leave"}
    assert (await world.client("bea").post("/api/v1/delegations", json=body)).status_code == 201
    shown = await held(world, "read", by="deputy")
    assert (shown["may_vote"], shown["reading_left_s"]) == (False, 600)
    await shown_to(world, shown["job_id"], "bea")
    assert code(await vote(world, shown, "deputy", on_behalf_of="bea")) == "approval_too_soon"
    early = SystemClock().now_ms() - 600_000
    await world.scripts.command("HSET", key(TENANT, "approval", shown["job_id"]), "seen:bea", early)
    assert code(await vote(world, shown, "deputy", on_behalf_of="bea")) == "approval_too_soon"
    seen = await world.scripts.command("HGET", key(TENANT, "approval", shown["job_id"]), "seen:deputy")
    assert int(seen) > early
    await world.scripts.command("HSET", key(TENANT, "approval", shown["job_id"]), "seen:deputy", early)
    assert code(await vote(world, shown, "deputy", on_behalf_of="bea")) == "released"
