"""Delegations over HTTP: who may give them, who sees them, who ends them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from holdgate.kernel.clock import SystemClock, rfc3339
from holdgate.kernel.ids import Tenant
from support.api import ApiWorld

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
    assert (await api.client("bystander").delete(path)).json()["code"] == "delegation_forbidden"
    assert (await api.client("approver2").delete(path)).json()["code"] == "delegation_not_found"
    assert (await api.client("stranger").delete(path)).json()["code"] == "delegation_not_found"
    ended = await api.client("approver").delete(path)
    assert (ended.status_code, ended.json()["status"], ended.json()["revoked_by"]) == (200, "revoked", "approver")
    assert (await api.client("approver").delete(path)).json()["code"] == "delegation_ended"
    types = [event.type for event in await api.deps.audit.read(Tenant("default"), 0)]
    assert [kind for kind in types if kind.startswith("delegation.")] == ["delegation.given", "delegation.revoked"]


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


async def test_all_delegations_of_a_tenant_are_listed_in_pieces(api: ApiWorld) -> None:
    ids = [(await give(api)).json()["delegation_id"] for _ in range(5)]
    first = (await api.client("auditor").get("/api/v1/delegations?limit=3")).json()
    rest = (await api.client("auditor").get(f"/api/v1/delegations?limit=3&cursor={first['next_cursor']}")).json()
    assert [item["delegation_id"] for item in (*first["items"], *rest["items"])] == ids[::-1]
    assert rest["next_cursor"] is None
