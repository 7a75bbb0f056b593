"""Capitals in a name make nobody else: the person of a key in capitals is who signs in elsewhere in small letters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from holdgate.kernel.clock import SystemClock, rfc3339
from holdgate.kernel.ids import ActorId
from holdgate.scheduler.gates.approval import Approver
from holdgate.scheduler.identity.claims import ClaimRules, principal_of
from support.api import ApiWorld
from support.held import held as held_deploy
from support.held import rule as taking_grants
from support.held import use_rules
from support.holding import add_people, add_person
from support.servers import Servers
from support.voting import TENANT, code, held, shown_to, signed, vote, voting

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROLES = ("approver", "release-manager")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiWorld]:
    """The people and the rules; some people have a second key in capitals."""
    names = ("AGENT", "Ada", "Deputy", "Zoe@Example.org", "zoe@example.org")
    async with voting(servers, tmp_path_factory.mktemp("capitals"), dict.fromkeys(names, ("agent", *ROLES))) as api:
        yield api


async def test_nobody_releases_their_own_job_under_a_name_that_a_provider_wrote_small(world: ApiWorld) -> None:
    claims = {"email": "Zoe@Example.org", "email_verified": True, "roles": list(ROLES)}
    assert principal_of(claims, ClaimRules(tenant=TENANT)).actor == "zoe@example.org"
    for submits, votes in (("Zoe@Example.org", "zoe@example.org"), ("zoe@example.org", "Zoe@Example.org")):
        shown = await held(world, "plain", submits)
        assert (await shown_to(world, shown["job_id"], votes))["refused_for"] == "approval_self"
        for verb in ("approve", "reject"):
            assert code(await vote(world, shown, votes, verb)) == "approval_self"
        mine = (await world.client(votes).get("/api/v1/approvals?mine=true")).json()["items"]
        assert shown["job_id"] not in [item["job_id"] for item in mine]


async def test_two_names_of_one_person_are_one_vote_and_one_look(world: ApiWorld) -> None:
    shown = await held(world, "pair")
    assert code(await vote(world, shown, "ada")) == "pending"
    assert code(await vote(world, shown, "Ada")) == "approval_duplicate_vote"
    assert (await shown_to(world, shown["job_id"], "Ada"))["refused_for"] == "approval_duplicate_vote"
    assert code(await vote(world, shown, "bea")) == "released"


async def test_an_author_releases_nothing_under_the_same_name_in_capitals(world: ApiWorld) -> None:
    shown = await held(world, "own")
    author = shown["requirements"][0]["excluded"][0].upper()
    await add_person(world, author, *ROLES)
    assert code(await vote(world, shown, author)) == "approval_forbidden"


async def test_an_own_key_signs_under_either_name_and_counts_once(world: ApiWorld) -> None:
    shown = await held(world, "signed", by="Ada")
    assert code(await vote(world, shown, "Ada", vote=signed(shown))) == "released"


async def test_a_delegation_is_between_people_not_spellings(world: ApiWorld) -> None:
    form = {"delegate": "DEPUTY", "roles": ["release-manager"], "reason": "on leave"}
    form["until"] = rfc3339(SystemClock().now_ms() + 3_600_000)
    gives = world.client("cid")
    assert (await world.client("Ada").post("/api/v1/delegations", json={**form, "delegate": "ADA"})).json()[
        "code"
    ] == "delegation_forbidden"
    given = (await gives.post("/api/v1/delegations", json=form)).json()
    shown = await held(world, "pair")
    reply = await vote(world, shown, "deputy", on_behalf_of="CID")
    assert code(reply) == "pending", reply.text
    assert (await shown_to(world, shown["job_id"], "ada"))["votes"][0]["on_behalf_of"] == "cid"
    assert code(await vote(world, shown, "cid")) == "approval_duplicate_vote"
    for name in ("deputy", "Deputy"):
        listed = (await world.client(name).get("/api/v1/delegations")).json()["items"]
        assert given["delegation_id"] in [item["delegation_id"] for item in listed]
    assert (await gives.delete(f"/api/v1/delegations/{given['delegation_id']}")).status_code == 200
    again = await held(world, "pair")
    assert code(await vote(world, again, "deputy", on_behalf_of="cid")) == "delegation_forbidden"


async def test_the_roles_of_a_person_are_those_of_all_their_keys(world: ApiWorld) -> None:
    keys = world.deps.keys
    assert keys.roles_of(TENANT, ActorId("ADA")) == keys.roles_of(TENANT, ActorId("ada")) == {"agent", *ROLES}


@pytest.mark.asyncio(loop_scope="function")
async def test_a_standing_grant_counts_its_givers_once_and_never_the_agent(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "rules", taking_grants(quorum=2))
    await add_people(api, {"AGENT": ROLES, "Approver": ROLES})
    shown = await held_deploy(api)
    sent: dict[str, Any] = {name: shown[name] for name in ("job_id", "job_hash", "snapshot")}
    sent |= {"labels": ["env"], "uses_max": 3, "reason": "this week"}
    sent["expires_at"] = rfc3339(SystemClock().now_ms() + 3_600_000)
    asked = (await api.client("approver").post("/api/v1/grants", json=sent)).json()
    assert asked["status"] == "pending", asked

    async def approve(who: str) -> httpx.Response:
        form = {"grant_digest": asked["grant_digest"], "reason": "so do I"}
        return await api.client(who).post(f"/api/v1/grants/{asked['grant_id']}/approve", json=form)

    assert code(await approve("AGENT")) == "approval_self"
    assert code(await approve("Approver")) == "approval_duplicate_vote"
    assert code(await approve("approver2")) == "active"
    approver = Approver(TENANT, ActorId("APPROVER"), ROLES)
    assert (await api.deps.grant_gate.end(approver, asked["grant_id"], "enough", anyones=False)).stored.ended_ms
