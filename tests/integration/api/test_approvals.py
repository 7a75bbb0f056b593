"""A held job over HTTP: shown, released, refused; each check of a vote is red without the code that makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from holdgate.bundles.format import build_bundle, sign_bundle
from holdgate.bundles.keys import load_signer
from holdgate.kernel import subjects
from holdgate.kernel.clock import SystemClock, rfc3339
from holdgate.kernel.ids import Digest, JobId, Tenant
from holdgate.kernel.links import Vote
from holdgate.kernel.permits import open_signed
from support.api import ApiWorld, publish_bundle, without_policy

PROD = {"topic": "job.deploy.apply", "labels": {"env": "prod"}, "capability": "infra.write"}


async def held(api: ApiWorld, who: str = "agent", **form: Any) -> dict[str, Any]:
    """A held job's approval as an approver is shown it."""
    reply = await api.submit(who, **PROD, **form)
    assert reply.json()["state"] == "held", reply.text
    shown = await api.client("approver").get(f"/api/v1/approvals/{reply.json()['job_id']}")
    assert shown.status_code == 200, shown.text
    return dict(shown.json())


async def vote(
    api: ApiWorld, shown: dict[str, Any], who: str = "approver", verb: str = "approve", **body: Any
) -> httpx.Response:
    """A vote with what was shown, `body` instead of it."""
    sent = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], "reason": "looked at it", **body}
    return await api.client(who).post(
        f"/api/v1/approvals/{shown['job_id']}/{verb}", json={k: v for k, v in sent.items() if v is not None}
    )


async def state(api: ApiWorld, shown: dict[str, Any]) -> str:
    """The job's state now."""
    return str((await api.client("operator").get(f"/api/v1/jobs/{shown['job_id']}")).json()["state"])


def bundle(api: ApiWorld, directory: Path, rules: str, version: int = 2) -> bytes:
    """The starter bundle's successor with other rules, signed by the author."""
    directory.mkdir()
    (directory / "bundle.yaml").write_text(
        f'name: demo\nversion: {version}\ndescription: "another"\nscope: {{tenants: ["*"], topics: [">"]}}\n'
        'expires: "2040-01-01T00:00:00Z"\nrules: [rules.yaml]\n'
    )
    (directory / "rules.yaml").write_text(rules)
    return sign_bundle(build_bundle(directory), load_signer(api.provisioned.home.key_file("author")))


async def test_an_approver_sees_all_that_would_be_released(api: ApiWorld) -> None:
    shown = await held(api, prompt="ship it", payload={"image": "v2"})
    assert (shown["job"]["prompt"], shown["payload"]) == ("ship it", {"image": "v2"})
    assert shown["rules"] == ["require-approval-prod-write"]
    assert shown["reason"] == "human review required for prod write"
    assert shown["requirements"][0]["roles"] == ["release-manager"]
    assert shown["job_hash"] == shown["decision"]["job_hash"]
    listed = (await api.client("approver").get("/api/v1/approvals")).json()["items"]
    assert [item["job_id"] for item in listed] == [shown["job_id"]]


async def test_an_approver_sees_a_payload_that_lies_in_the_object_store(api: ApiWorld) -> None:
    shown = await held(api, payload={"text": "x" * 300_000})
    assert (shown["payload_shown"], len(shown["payload"]["text"])) == (True, 300_000)


async def test_a_job_whose_payload_is_gone_is_shown_without_and_cannot_be_released(api: ApiWorld) -> None:
    shown = await held(api, payload={"text": "x" * 300_000})
    await api.deps.payloads.delete(Digest(shown["job"]["payload_digest"]))
    again = await api.client("approver").get(f"/api/v1/approvals/{shown['job_id']}")
    assert (again.status_code, again.json()["payload_shown"], again.json()["payload"]) == (200, False, None)
    reply = await vote(api, shown)
    assert (reply.status_code, reply.json()["code"]) == (503, "unavailable"), reply.text
    assert await state(api, shown) == "held"
    assert (await vote(api, shown, verb="reject")).status_code == 200


async def test_without_a_policy_a_release_is_refused_and_changes_nothing(api: ApiWorld) -> None:
    shown = await held(api)
    async with without_policy(api):
        reply = await vote(api, shown)
        assert (reply.status_code, reply.json()["code"]) == (503, "no_policy"), reply.text
    assert await state(api, shown) == "held"
    assert (await vote(api, shown)).json()["status"] == "released"


async def test_a_release_queues_the_job_wakes_its_pool_and_signs_a_vote(api: ApiWorld) -> None:
    shown = await held(api)
    woken = await api.nc.subscribe(subjects.wake("default"))
    await api.nc.flush()
    reply = await vote(api, shown)
    assert (reply.status_code, reply.json()["status"]) == (200, "released"), reply.text
    assert await state(api, shown) == "queued"
    await woken.next_msg(timeout=5)
    approval = await api.deps.approvals.require(Tenant("default"), JobId(shown["job_id"]))
    trust = api.deps.trust()
    assert trust is not None
    signed = open_signed(approval.votes[0].signed, Vote, trust.api)
    assert (signed.approver, signed.approve, signed.job_hash) == ("approver", True, shown["job_hash"])
    again = await vote(api, shown, "approver2")
    assert (again.status_code, again.json()["code"]) == (409, "approval_resolved")


async def test_one_no_ends_it(api: ApiWorld) -> None:
    shown = await held(api)
    reply = await vote(api, shown, verb="reject")
    assert (reply.status_code, reply.json()["status"]) == (200, "rejected")
    assert await state(api, shown) == "denied"


async def test_a_rejection_needs_no_kernel_and_a_release_does(api: ApiWorld) -> None:
    shown = await held(api)
    await api.kernel.stop()
    release = await vote(api, shown)
    assert (release.status_code, release.json()["code"]) == (503, "kernel_unavailable")
    assert await state(api, shown) == "held"
    assert (await vote(api, shown, verb="reject")).status_code == 200


@pytest.mark.parametrize(
    ("who", "body", "status", "code"),
    [
        ("approver", {"job_hash": "sha256:" + "0" * 64}, 409, "approval_stale_job"),
        ("approver", {"snapshot": "sha256:" + "0" * 64}, 409, "approval_stale_policy"),
        ("approver", {"reason": None}, 422, "approval_reason_required"),
        ("approver", {"reason": " \n"}, 422, "approval_reason_required"),
        ("approver", {"reason": "x" * 3000}, 422, "invalid_input"),
        ("approver", {"job_hash": None}, 422, "invalid_input"),
        ("approver", {"snapshot": None}, 422, "invalid_input"),
        ("approver", {"force": True}, 422, "invalid_input"),
        ("bystander", {}, 403, "approval_forbidden"),
        ("agent", {}, 403, "forbidden"),
        ("operator", {}, 403, "forbidden"),
        ("stranger", {}, 404, "approval_not_found"),
    ],
)  # fmt: skip
async def test_a_vote_that_may_not_count_changes_nothing(
    api: ApiWorld, who: str, body: dict[str, Any], status: int, code: str
) -> None:
    shown = await held(api)
    for verb in ("approve", "reject"):
        reply = await vote(api, shown, who, verb, **body)
        assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text
    assert await state(api, shown) == "held"


async def test_nobody_releases_their_own_job_nor_one_made_in_their_name(api: ApiWorld) -> None:
    for who, approver in (("busy", "busy"), ("helper", "approver")):
        shown = await held(api, who)
        reply = await vote(api, shown, approver)
        assert (reply.status_code, reply.json()["code"]) == (403, "approval_self"), reply.text
        assert await state(api, shown) == "held"


async def test_under_a_policy_that_changed_a_release_is_refused_and_the_job_decided_again(
    api: ApiWorld, tmp_path: Path
) -> None:
    shown = await held(api)
    rules = (
        "rules:\n  - id: still-held\n    decision: require_approval\n    reason: now two look at it\n"
        '    match: {topics: ["job.deploy.*"]}\n    approvers: {roles: [release-manager], quorum: 2, expires: 1h}\n'
    )
    await publish_bundle(api, bundle(api, tmp_path / "stricter", rules))
    reply = await vote(api, shown)
    assert (reply.status_code, reply.json()["code"]) == (409, "approval_stale_policy"), reply.text
    fresh = (await api.client("approver").get(f"/api/v1/approvals/{shown['job_id']}")).json()
    assert fresh["snapshot"] != shown["snapshot"]
    assert (fresh["status"], fresh["round"], fresh["requirements"][0]["quorum"]) == ("pending", shown["round"] + 1, 2)
    first = await vote(api, fresh)
    assert (first.json()["status"], first.json()["votes_missing"]) == ("pending", 1)
    twice = await vote(api, fresh)
    assert (twice.status_code, twice.json()["code"]) == (409, "approval_duplicate_vote")
    assert (await vote(api, fresh, "approver2")).json()["status"] == "released"


async def test_a_policy_that_came_to_deny_ends_the_held_job(api: ApiWorld, tmp_path: Path) -> None:
    shown = await held(api)
    rules = 'rules:\n  - {id: freeze, decision: deny, reason: frozen, match: {topics: ["job.>"]}}\n'
    await publish_bundle(api, bundle(api, tmp_path / "frozen", rules))
    reply = await vote(api, shown)
    assert (reply.status_code, reply.json()["code"]) == (409, "approval_stale_policy")
    assert await state(api, shown) == "denied"


async def test_deferring_marks_the_approval_and_changes_neither_job_nor_votes(api: ApiWorld) -> None:
    shown = await held(api)
    until = rfc3339(SystemClock().now_ms() + 3_600_000)
    path = f"/api/v1/approvals/{shown['job_id']}/defer"
    reply = await api.client("approver").post(path, json={"until": until, "reason": "after lunch"})
    assert (reply.status_code, reply.json()["deferred_until"]) == (200, until), reply.text
    assert reply.json()["expires_at"] == shown["expires_at"]
    past = await api.client("approver").post(path, json={"until": "2020-01-01T00:00:00Z", "reason": "late"})
    assert past.status_code == 422
    other = await api.client("bystander").post(path, json={"until": until, "reason": "mine"})
    assert other.json()["code"] == "approval_forbidden"
    assert await state(api, shown) == "held"
    events = (await api.client("auditor").get(f"/api/v1/jobs/{shown['job_id']}/timeline")).json()["items"]
    assert "approval.deferred" in [event["type"] for event in events]
    assert (await vote(api, shown)).json()["status"] == "released"
