"""Delegations over HTTP: who may give them, who sees them, who ends them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from holdgate.bundles.keys import load_signer
from holdgate.kernel.clock import SystemClock, rfc3339
from holdgate.kernel.grants import Delegation, new_delegation_id
from holdgate.kernel.ids import ActorId, JobId, Tenant
from holdgate.kernel.links import Vote
from holdgate.kernel.permits import open_signed, seal
from holdgate.scheduler.gates import metrics
from holdgate.scheduler.gates.approval import Approver
from holdgate.scheduler.gates.delegations import DelegationForm, DelegationGate
from holdgate.scheduler.identity.keys import read_keys, write_keys
from holdgate.scheduler.state.connection import key
from support.api import ApiWorld
from support.held import held
from support.waiting import eventually

TENANT = Tenant("default")
DAY_MS = 24 * 3_600_000


def until(days: float = 1.0) -> str:
    """So many days ahead."""
    return rfc3339(SystemClock().now_ms() + int(days * DAY_MS))


async def give(api: ApiWorld, who: str = "approver", **body: Any) -> httpx.Response:
    """A delegation of one role to the bystander, `body` instead of it."""
    sent = {"delegate": "bystander", "roles": ["release-manager"], "until": until(), "reason": "on leave", **body}
    return await api.client(who).post("/api/v1/delegations", json=sent)


async def test_an_approver_lets_somebody_vote_for_them_and_takes_it_back(api: ApiWorld) -> None:
    reply = await give(api)
    assert reply.status_code == 201, reply.text
    given = reply.json()
    assert (given["delegator"], given["delegate"], given["roles"]) == ("approver", "bystander", ["release-manager"])
    assert given["status"] == "active"
    path = f"/api/v1/delegations/{given['delegation_id']}"
    for who in ("approver", "bystander", "operator", "auditor"):
        listed = (await api.client(who).get("/api/v1/delegations")).json()["items"]
        assert [item["delegation_id"] for item in listed] == [given["delegation_id"]], who
    assert (await api.client("approver2").get("/api/v1/delegations")).json()["items"] == []
    assert (await api.client("approver2").delete(path)).json()["code"] == "delegation_not_found"
    assert (await api.client("stranger").delete(path)).json()["code"] == "delegation_not_found"
    ended = await api.client("approver").delete(path)
    assert (ended.status_code, ended.json()["status"], ended.json()["revoked_by"]) == (200, "revoked", "approver")
    assert (await api.client("approver").delete(path)).json()["code"] == "delegation_ended"
    types = [event.type for event in await api.deps.audit.read(TENANT, 0)]
    assert [kind for kind in types if kind.startswith("delegation.")] == ["delegation.given", "delegation.revoked"]


async def test_who_was_given_one_can_end_it(api: ApiWorld) -> None:
    given = (await give(api)).json()
    ended = await api.client("bystander").delete(f"/api/v1/delegations/{given['delegation_id']}")
    assert (ended.status_code, ended.json()["revoked_by"]) == (200, "bystander")
    assert await vote(api, await held(api)) == "delegation_forbidden"


async def test_an_operator_ends_anybodys_delegation(api: ApiWorld) -> None:
    given = (await give(api)).json()
    ended = await api.client("operator").delete(f"/api/v1/delegations/{given['delegation_id']}")
    assert (ended.status_code, ended.json()["revoked_by"]) == (200, "operator")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("who", "body", "status", "code"),
    [
        ("approver", {"delegate": "approver"}, 403, "delegation_forbidden"),
        ("approver", {"roles": ["admin"]}, 403, "delegation_forbidden"),
        ("approver", {"roles": ["legal"]}, 403, "delegation_forbidden"),
        ("busy", {"roles": ["agent"]}, 403, "delegation_forbidden"),
        ("approver", {"roles": []}, 422, "invalid_input"),
        ("approver", {"roles": ["approver", "approver"]}, 422, "invalid_input"),
        ("approver", {"until": until(31)}, 422, "invalid_input"),
        ("approver", {"until": until(-1)}, 422, "invalid_input"),
        ("approver", {"until": "soon"}, 422, "invalid_input"),
        ("approver", {"delegate": "a b"}, 422, "invalid_input"),
        ("approver", {"reason": " "}, 422, "approval_reason_required"),
        ("approver", {"force": True}, 422, "invalid_input"),
        ("operator", {}, 403, "forbidden"),
        ("agent", {}, 403, "forbidden"),
    ],
)
async def test_what_may_not_be_delegated_is_refused_and_nothing_is_kept(
    shared_api: ApiWorld, who: str, body: dict[str, Any], status: int, code: str
) -> None:
    reply = await give(shared_api, who, **body)
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text
    assert (await shared_api.client("operator").get("/api/v1/delegations")).json()["items"] == []


async def test_there_is_an_end_to_how_many_one_person_gives_or_gets(api: ApiWorld) -> None:
    for _ in range(50):
        assert (await give(api)).status_code == 201
    assert (await give(api, delegate="approver2")).json()["code"] == "delegation_limit"
    assert (await give(api, "approver2")).json()["code"] == "delegation_limit"
    assert (await give(api, "approver2", delegate="busy")).status_code == 201
    # Who was given many gives as many as ever, and makes room by ending what was given.
    assert (await give(api, "bystander", delegate="busy", roles=["approver"])).status_code == 201
    mine = (await api.client("bystander").get("/api/v1/delegations")).json()["items"]
    got = next(item for item in mine if item["delegate"] == "bystander")
    assert (await api.client("bystander").delete(f"/api/v1/delegations/{got['delegation_id']}")).status_code == 200
    assert (await give(api, "approver2")).status_code == 201


async def test_all_delegations_of_a_tenant_are_listed_in_pieces(api: ApiWorld) -> None:
    ids = [(await give(api)).json()["delegation_id"] for _ in range(5)]
    first = (await api.client("auditor").get("/api/v1/delegations?limit=3")).json()
    rest = (await api.client("auditor").get(f"/api/v1/delegations?limit=3&cursor={first['next_cursor']}")).json()
    assert [item["delegation_id"] for item in (*first["items"], *rest["items"])] == ids[::-1]
    assert rest["next_cursor"] is None


async def vote(
    api: ApiWorld, shown: dict[str, Any], who: str = "bystander", verb: str = "approve", person: str = "approver"
) -> str:
    """A vote in somebody's stead: the status after it, or the code of what it was refused for."""
    body = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], "reason": "for them", "on_behalf_of": person}
    reply = (await api.client(who).post(f"/api/v1/approvals/{shown['job_id']}/{verb}", json=body)).json()
    return str(reply.get("code", reply["status"]))


async def test_a_vote_by_delegation_releases_and_says_so_in_the_record(api: ApiWorld) -> None:
    shown = await held(api)
    assert await vote(api, shown) == "delegation_forbidden"
    given = (await give(api)).json()
    assert await vote(api, shown) == "released"
    approval = await api.deps.approvals.require(TENANT, JobId(shown["job_id"]))
    trust = api.deps.trust()
    assert trust is not None
    signed = open_signed(approval.votes[0].signed, Vote, trust.api)
    assert (signed.approver, signed.on_behalf_of, signed.roles) == ("bystander", "approver", ("release-manager",))
    (used,) = [event for event in await api.deps.audit.read(TENANT, 0) if event.type == "delegation.used"]
    assert (used.job_id, used.details["delegations"]) == (shown["job_id"], [given["delegation_id"]])


async def test_it_gives_no_more_than_the_roles_that_it_names(api: ApiWorld) -> None:
    shown = await held(api)
    await give(api, roles=["security"])
    assert await vote(api, shown) == "approval_forbidden"


async def test_a_revoked_delegation_counts_no_more(api: ApiWorld) -> None:
    shown, given = await held(api), (await give(api)).json()
    await api.client("approver").delete(f"/api/v1/delegations/{given['delegation_id']}")
    assert await vote(api, shown) == "delegation_forbidden"


async def test_one_that_is_put_back_into_the_lists_after_its_revocation_counts_no_more(api: ApiWorld) -> None:
    shown, given = await held(api), (await give(api)).json()
    await api.client("approver").delete(f"/api/v1/delegations/{given['delegation_id']}")
    await api.scripts.command("ZADD", key(TENANT, "delegations_to", "bystander"), 4e12, given["delegation_id"])
    assert await vote(api, shown) == "delegation_forbidden"


async def test_one_revoked_between_the_look_and_the_vote_counts_no_more(
    api: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, given = await held(api), (await give(api)).json()
    real = DelegationGate.require_stead

    async def revoked_behind(self: DelegationGate, approver: Approver, person: ActorId) -> Any:
        stead = await real(self, approver, person)
        await api.client("approver").delete(f"/api/v1/delegations/{given['delegation_id']}")
        return stead

    monkeypatch.setattr(DelegationGate, "require_stead", revoked_behind)
    assert await vote(api, shown) == "delegation_forbidden"
    assert (await api.deps.approvals.require(TENANT, JobId(shown["job_id"]))).votes == ()


async def test_a_delegation_that_is_over_counts_no_more_whatever_redis_says(api: ApiWorld) -> None:
    """What is signed is what counts: the end in Redis is moved, too."""
    shown, signer = await held(api), load_signer(api.provisioned.home.key_file("api"))
    now_ms = SystemClock().now_ms()
    record = delegation(now_ms - 10_000, expires_ms=now_ms - 5_000)
    await api.deps.delegations.give(record, seal(record, signer), now_ms)
    later = now_ms + DAY_MS
    where = key(TENANT, "delegations_to", "bystander")
    await api.scripts.command("ZADD", where, later, record.delegation_id)
    assert await vote(api, shown) == "delegation_forbidden"
    await api.scripts.command("HSET", key(TENANT, "delegation", record.delegation_id), "expires", later)
    assert await vote(api, shown) == "delegation_forbidden"


async def test_one_that_ended_takes_nothing_from_another_that_holds(api: ApiWorld) -> None:
    revoked, now_ms = (await give(api)).json(), SystemClock().now_ms()
    await api.client("approver").delete(f"/api/v1/delegations/{revoked['delegation_id']}")
    await give(api)
    await api.scripts.command("ZADD", key(TENANT, "delegations_to", "bystander"), 4e12, revoked["delegation_id"])
    over = delegation(now_ms - 10_000, expires_ms=now_ms - 5_000)
    await api.deps.delegations.give(
        over, seal(over, load_signer(api.provisioned.home.key_file("api"))), now_ms - 10_000
    )
    assert await vote(api, await held(api)) == "released"


def delegation(now_ms: int, **changes: Any) -> Delegation:
    """A record of one day, as the gate makes it."""
    plain: dict[str, Any] = {
        "delegation_id": new_delegation_id(now_ms),
        "tenant": TENANT,
        "delegator": ActorId("approver"),
        "delegate": ActorId("bystander"),
        "roles": ("release-manager",),
        "reason": "on leave",
        "issued_ms": now_ms,
        "expires_ms": now_ms + DAY_MS,
        "keyed": (),
    }
    return Delegation(**{**plain, **changes})


@pytest.mark.parametrize(
    "forgery",
    [
        {"signer": "author"},
        {"signed": {"tenant": "other"}},
        {"signed": {"delegate": "busy"}},
        {"signed": {"delegator": "busy"}},
        {"signed": {"delegation_id": "delegation_1"}},
        {"signed": {"roles": ("release-manager",), "expires_ms": 4_000_000_000_000}},
    ],
    ids=str,
)
async def test_a_record_that_the_api_did_not_sign_for_these_two_gives_nothing_and_alarms(
    api: ApiWorld, forgery: dict[str, Any]
) -> None:
    shown, now_ms = await held(api), SystemClock().now_ms()
    record = delegation(now_ms)
    signer = load_signer(api.provisioned.home.key_file(forgery.get("signer", "api")))
    signed = seal(replace(record, **forgery.get("signed", {})), signer)
    await api.deps.delegations.give(record, signed, now_ms)
    before = metrics.RECORDS_FORGED.labels("delegation")._value.get()
    assert await vote(api, shown) == "delegation_forbidden"
    assert metrics.RECORDS_FORGED.labels("delegation")._value.get() == before + 1
    assert (await api.client("operator").get("/api/v1/delegations")).json()["items"] == []


async def test_roles_raised_in_a_signed_record_are_no_roles(api: ApiWorld) -> None:
    """Whoever has the api's key can do much; not pass on what nobody may pass on."""
    shown, now_ms = await held(api), SystemClock().now_ms()
    record = delegation(now_ms, roles=("admin", "break_glass"))
    await api.deps.delegations.give(record, seal(record, load_signer(api.provisioned.home.key_file("api"))), now_ms)
    assert await vote(api, shown) == "delegation_forbidden"


async def test_what_was_delegated_cannot_be_passed_on(api: ApiWorld) -> None:
    shown = await held(api)
    await give(api)
    assert (await give(api, "bystander", delegate="busy")).json()["code"] == "delegation_forbidden"
    assert (await give(api, "bystander", delegate="busy", roles=["approver"])).status_code == 201
    assert await vote(api, shown, "busy", person="approver") == "delegation_forbidden"
    assert await vote(api, shown, "busy", person="bystander") == "approval_forbidden"


async def test_neither_the_submitter_nor_whom_they_act_for_votes_through_another(api: ApiWorld) -> None:
    await give(api, delegate="busy")
    assert await vote(api, await held(api, "busy"), "busy") == "approval_self"
    await give(api)
    assert await vote(api, await held(api, "helper")) == "approval_self"


async def test_it_counts_as_long_as_the_giver_holds_the_role(api: ApiWorld) -> None:
    shown = await held(api)
    await give(api)
    path = api.provisioned.home.api_keys_file
    (record,) = [item for item in read_keys(path) if item.actor == "approver"]
    others = [item for item in read_keys(path) if item.actor != "approver"]
    write_keys(path, [*others, replace(record, roles=("approver",))])
    await eventually(
        lambda: api.deps.keys.roles_of(TENANT, record.actor) == {"approver"}, 5, why="the API read its keys again"
    )
    assert await vote(api, shown) == "delegation_forbidden"
    write_keys(path, [*others, replace(record, disabled=True)])
    await eventually(
        lambda: api.deps.keys.roles_of(TENANT, record.actor) == frozenset(), 5, why="the API read its keys again"
    )
    assert await vote(api, shown) == "delegation_forbidden"


async def test_roles_of_who_signs_in_elsewhere_count_until_the_end(api: ApiWorld) -> None:
    """Nothing here knows better: their keys, if they have any, never gave the role."""
    shown, now_ms = await held(api), SystemClock().now_ms()
    record = delegation(now_ms, delegator=ActorId("carol"))
    await api.deps.delegations.give(record, seal(record, load_signer(api.provisioned.home.key_file("api"))), now_ms)
    assert await vote(api, shown, person="carol") == "released"


async def test_a_role_of_a_provider_ends_with_the_last_key_of_who_had_keys_as_well(api: ApiWorld) -> None:
    """Signed in by the provider, which gives a role that their keys do not; then their keys are revoked."""
    path, now_ms = api.provisioned.home.api_keys_file, SystemClock().now_ms()
    (record,) = [item for item in read_keys(path) if item.actor == "approver"]
    others = [item for item in read_keys(path) if item.actor != "approver"]
    person = Approver(TENANT, record.actor, ("approver", "release-manager", "deploy-lead"))
    roles, shown = ("approver", "deploy-lead"), await held(api)
    form = DelegationForm(ActorId("bystander"), roles, now_ms + DAY_MS, "on leave")
    await api.deps.delegation_gate.give(person, form)
    bystander = Approver(TENANT, ActorId("bystander"), ("approver",))
    stead = await api.deps.delegation_gate.require_stead(bystander, record.actor)
    assert stead.roles == roles
    write_keys(path, [*others, replace(record, disabled=True)])
    await eventually(
        lambda: api.deps.keys.roles_of(TENANT, record.actor) == frozenset(), 5, why="the API read its keys again"
    )
    assert await vote(api, shown) == "delegation_forbidden"


async def test_in_anothers_stead_nobody_breaks_the_glass(api: ApiWorld) -> None:
    shown = await held(api)
    await give(api)
    body = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], "reason": "now", "break_glass": True}
    path = f"/api/v1/approvals/{shown['job_id']}/approve"
    reply = await api.client("bystander").post(path, json={**body, "on_behalf_of": "approver"})
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_input")
