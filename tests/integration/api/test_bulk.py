"""One answer to many held jobs: all of a kind or nothing, each vote on its own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdgate.kernel.ids import JobId, Tenant
from holdgate.scheduler.gates.approval import ApprovalGate
from support.api import ApiWorld
from support.held import DEPLOY, held, rule, use_rules

TENANT = Tenant("default")


@pytest.fixture
async def api(api: ApiWorld, tmp_path: Path) -> ApiWorld:
    """Deployments are held by a rule of which many may be released at once."""
    await use_rules(api, tmp_path / "plain", rule())
    return api


async def many(api: ApiWorld, n: int, **form: Any) -> list[dict[str, Any]]:
    """Held jobs, as they must be sent back."""
    client = api.client("agent")
    replies = await asyncio.gather(*(client.post("/api/v1/jobs", json={**DEPLOY, **form}) for _ in range(n)))
    assert all(reply.json()["state"] == "held" for reply in replies)
    return [
        {
            "job_id": reply.json()["job_id"],
            "job_hash": reply.json()["decision"]["job_hash"],
            "snapshot": reply.json()["decision"]["snapshot"],
        }
        for reply in replies
    ]


async def bulk(api: ApiWorld, items: list[dict[str, Any]], who: str = "approver", **body: Any) -> httpx.Response:
    """A release of all of them, `body` instead of it."""
    sent = {"verdict": "approve", "reason": "looked at them", "items": items, **body}
    return await api.client(who).post("/api/v1/approvals/bulk", json=sent)


async def states(api: ApiWorld, items: list[dict[str, Any]]) -> set[str]:
    """The states that they are in now."""
    views = await api.deps.jobs.get_many(TENANT, [JobId(item["job_id"]) for item in items])
    return {str(view.state) for view in views if view is not None}


async def test_a_hundred_jobs_of_a_kind_are_released_in_one_act_each_with_a_vote_of_its_own(api: ApiWorld) -> None:
    items = await many(api, 100)
    began = time.monotonic()
    reply = await bulk(api, items)
    took_s = time.monotonic() - began
    assert reply.status_code == 200, reply.text
    outcomes = reply.json()["items"]
    assert [item["job_id"] for item in outcomes] == [item["job_id"] for item in items]
    assert {(item["status"], item["code"]) for item in outcomes} == {("released", None)}
    assert await states(api, items) == {"queued"}
    events = [event for event in await api.deps.audit.read(TENANT, 0, 5000) if event.type == "approval.vote"]
    assert {event.job_id for event in events} == {item["job_id"] for item in items}
    print(f"\n100 in one act: {took_s * 1000:.0f} ms")
    assert took_s < 5, "far from the second that it may take on a machine that does nothing else"


async def test_rejecting_in_bulk_denies_each(api: ApiWorld) -> None:
    items = await many(api, 3)
    assert {item["status"] for item in (await bulk(api, items, verdict="reject")).json()["items"]} == {"rejected"}
    assert await states(api, items) == {"denied"}


async def test_what_became_of_one_changes_nothing_for_the_others(api: ApiWorld) -> None:
    items = await many(api, 5)
    items[1]["job_hash"] = "sha256:" + "0" * 64
    items[2]["snapshot"] = "sha256:" + "0" * 64
    items[3]["job_id"] = "job_00000000-0000-7000-8000-000000000000"
    await bulk(api, [items[4]])
    outcomes = (await bulk(api, items)).json()["items"]
    assert [item["code"] for item in outcomes] == [
        None,
        "approval_stale_job",
        "approval_stale_policy",
        "approval_not_found",
        "approval_resolved",
    ]
    assert outcomes[0]["status"] == "released"
    assert outcomes[1]["detail"]
    assert await states(api, items[1:3]) == {"held"}


@pytest.mark.parametrize(
    "odd",
    [
        {"topic": "job.deploy.other"},
        {"labels": {"env": "prod"}},
        {"payload": {"other": 1}},
        {"risk_tags": ["risky"]},
    ],
)
async def test_one_of_another_kind_is_named_and_nothing_is_voted(
    api: ApiWorld, tmp_path: Path, odd: dict[str, Any]
) -> None:
    tagged = rule("risky").replace('match: {topics: ["job.deploy.*"]}', "match: {risk_tags: [risky]}")
    await use_rules(api, tmp_path / "rules", rule(), tagged, version=3)
    items = await many(api, 3)
    others = await many(api, 1, **odd)
    reply = await bulk(api, [*others, *items])
    assert (reply.status_code, reply.json()["code"]) == (409, "bulk_mixed"), reply.text
    assert reply.json()["job_ids"] == [others[0]["job_id"]]
    assert await states(api, [*items, *others]) == {"held"}


async def test_a_rule_can_want_each_job_looked_at_by_itself(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "rules", rule(bulk="false"), version=3)
    items = await many(api, 2)
    for verdict in ("approve", "reject"):
        reply = await bulk(api, items, verdict=verdict)
        assert (reply.status_code, reply.json()["code"]) == (403, "bulk_forbidden")
    assert await states(api, items) == {"held"}


async def test_the_text_that_the_rule_wants_is_typed_once_for_all(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "rules", rule(confirm='"ship all"'), version=3)
    items = await many(api, 2)
    outcomes = (await bulk(api, items)).json()["items"]
    assert {item["code"] for item in outcomes} == {"approval_confirmation_required"}
    assert {item["status"] for item in (await bulk(api, items, confirm="ship all")).json()["items"]} == {"released"}


async def test_a_job_that_was_not_read_as_long_as_its_rule_wants_is_left_out(api: ApiWorld, tmp_path: Path) -> None:
    await use_rules(api, tmp_path / "rules", rule(read_for="1h"), version=3)
    items = await many(api, 1)
    (outcome,) = (await bulk(api, items)).json()["items"]
    assert outcome["code"] == "approval_too_soon"
    assert await states(api, items) == {"held"}


async def test_each_vote_is_checked_for_its_own_job(api: ApiWorld) -> None:
    """One of the jobs is the approver's own."""
    own, others = await many_of(api, "busy"), await many(api, 2)
    outcomes = (await bulk(api, [*own, *others], "busy")).json()["items"]
    assert [item["code"] for item in outcomes] == ["approval_self", None, None]


async def many_of(api: ApiWorld, who: str) -> list[dict[str, Any]]:
    """One held job of that submitter."""
    shown = await held(api, who)
    return [{name: shown[name] for name in ("job_id", "job_hash", "snapshot")}]


async def test_without_a_kernel_each_release_says_so_and_nothing_is_released(api: ApiWorld) -> None:
    items = await many(api, 3)
    await api.kernel.stop()
    outcomes = (await bulk(api, items)).json()["items"]
    assert {item["code"] for item in outcomes} == {"kernel_unavailable"}
    assert await states(api, items) == {"held"}


async def test_a_vote_that_breaks_in_an_unknown_way_hides_none_of_the_others(
    api: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = await many(api, 3)
    real = ApprovalGate.approve

    async def breaks_once(self: ApprovalGate, approver: Any, job_id: JobId, form: Any) -> Any:
        if job_id == items[1]["job_id"]:
            raise ZeroDivisionError
        return await real(self, approver, job_id, form)

    monkeypatch.setattr(ApprovalGate, "approve", breaks_once)
    outcomes = (await bulk(api, items)).json()["items"]
    assert [item["code"] for item in outcomes] == [None, "internal_error", None]


async def test_two_acts_on_the_same_jobs_release_each_once(api: ApiWorld) -> None:
    items = await many(api, 50)
    replies = await asyncio.gather(*(bulk(api, items, who) for who in ("approver", "approver2")))
    released = [item["job_id"] for reply in replies for item in reply.json()["items"] if item["status"] == "released"]
    assert sorted(released) == sorted(item["job_id"] for item in items)
    assert await states(api, items) == {"queued"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"items": []}, 422, "invalid_input"),
        ({"items": "all"}, 422, "invalid_input"),
        ({"items": [{"job_id": "job_1", "job_hash": "x", "snapshot": "y"}]}, 422, "invalid_input"),
        ({"verdict": "maybe"}, 422, "invalid_input"),
        ({"reason": " "}, 422, "approval_reason_required"),
        ({"break_glass": True}, 422, "invalid_input"),
    ],
)
async def test_a_form_that_is_none_is_refused(api: ApiWorld, body: dict[str, Any], status: int, code: str) -> None:
    items = await many(api, 1)
    reply = await bulk(api, **{"items": items, **body})
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text
    assert await states(api, items) == {"held"}


async def test_a_job_named_twice_and_more_than_a_hundred_are_refused(api: ApiWorld) -> None:
    items = await many(api, 1)
    assert (await bulk(api, [*items, *items])).json()["code"] == "invalid_input"
    assert (await bulk(api, items * 101)).json()["code"] == "invalid_input"
    assert (await bulk(api, items, "agent")).json()["code"] == "forbidden"
