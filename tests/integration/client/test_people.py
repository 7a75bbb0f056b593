"""The calls of approvers, through both clients, against the whole system."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdgate.client import ApprovalError, AsyncClient, Client, Forbidden
from holdgate.client.models import ApprovalChange
from support.secrets import Secrets
from support.whole import Whole

PROD_WRITE: dict[str, Any] = {"labels": {"env": "prod"}, "capability": "infra.write"}
LARGE: dict[str, Any] = {"labels": {"size": "large"}, "capability": "demo.write"}
SECRET = Secrets(5).github()


def held(client: Client, **more: Any) -> str:
    job = client.submit("job.deploy.apply", **{**PROD_WRITE, **more})
    assert job.state == "held"
    return job.job_id


def test_a_dry_run_says_what_would_be_decided_and_leaves_nothing(client: Client) -> None:
    decision = client.jobs.dry_run("job.deploy.apply", **PROD_WRITE)
    assert (decision.verdict, decision.deciding) == ("require_approval", ("require-approval-prod-write",))


def test_what_is_held_is_read_masked_explained_and_revealed(client: Client, approver: Client) -> None:
    job_id = held(client, payload={"token": SECRET})
    assert "redacted" in str(approver.approvals.masked(job_id)["shown"])
    assert SECRET not in str(approver.approvals.masked(job_id))
    assert approver.approvals.reveal(job_id)["payload"] == {"token": SECRET}
    (rule,) = approver.approvals.rules(job_id)
    assert (rule["id"], rule["deciding"], rule["signers"]) == ("require-approval-prod-write", True, ["author"])
    assert isinstance(approver.approvals.similar(job_id), tuple)


def test_a_job_is_put_off_and_several_are_rejected_at_once(client: Client, approver: Client) -> None:
    first, second = (client.submit("job.demo.write", prompt=text, **LARGE).job_id for text in ("1", "2"))
    until = datetime.now(UTC) + timedelta(hours=1)
    assert approver.approvals.defer(first, until=until, reason="later").deferred_until is not None
    shown = [approver.approvals.show(job_id) for job_id in (first, second)]
    stale = shown[1].model_copy(update={"job_hash": shown[0].job_hash})
    result = approver.approvals.bulk([shown[0], stale], "reject", reason="not these")
    assert [item.status for item in result.items] == ["rejected", None]
    assert result.items[1].code == "approval_stale_job"
    assert client.jobs.get(first).state == "denied"
    with pytest.raises(ApprovalError):
        approver.approvals.reconfirm(shown[1])


def test_who_votes_for_whom(whole: Whole, approver: Client) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    given = approver.delegations.give("approver2", roles=["release-manager"], until=until, reason="away")
    assert (given.status, given.delegator, given.delegate) == ("active", "approver", "approver2")
    with Client(whole.key("approver2"), url=whole.api) as other:
        assert given.delegation_id in {item.delegation_id for item in other.delegations.list().items}
    assert approver.delegations.revoke(given.delegation_id).status == "revoked"


def test_a_grant_is_refused_where_the_rule_allows_none(client: Client, approver: Client) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    shown = approver.approvals.show(held(client))
    with pytest.raises((Forbidden, ApprovalError)) as caught:
        approver.grants.request(shown, uses_max=3, expires_at=until, reason="routine", labels=["env"])
    assert caught.value.code == "grant_forbidden"


def test_jobs_of_a_kind_are_released_before_they_come(client: Client, approver: Client) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    shown = approver.approvals.show(client.submit("job.demo.write", **LARGE).job_id)
    grant = approver.grants.request(shown, uses_max=3, expires_at=until, reason="routine", labels=["size"])
    assert (grant.status, grant.uses_max, grant.labels) == ("active", 3, {"size": "large"})
    job = client.submit("job.demo.write", **LARGE)
    assert job.wait(timeout_s=30).state == "succeeded"
    assert [use["job_id"] for use in approver.grants.show(grant.grant_id).used_by] == [job.job_id]
    assert approver.grants.revoke(grant.grant_id, reason="enough").status == "revoked"
    assert client.submit("job.demo.write", **LARGE).state == "held"


def test_a_sealed_output_is_looked_at_and_destroyed(client: Client, approver: Client) -> None:
    job = client.submit("job.demo.key")
    job.wait(timeout_s=30)
    assert job.job_id in {item.job_id for item in approver.quarantine.list().items}
    shown = approver.quarantine.show(job.job_id)
    assert shown.digest is not None
    assert approver.quarantine.destroy(shown, reason="nobody needs it").status == "destroyed"


async def test_the_async_client_has_the_same_calls(whole: Whole, async_client: AsyncClient) -> None:
    job = await async_client.submit("job.deploy.apply", **PROD_WRITE)
    async with AsyncClient(whole.key("approver"), url=whole.api) as approver:
        shown = await approver.approvals.show(job.job_id)
        assert (await approver.approvals.approve(shown, reason="fine")).status == "released"
        assert isinstance((await approver.grants.list()).items, tuple)
        assert isinstance((await approver.delegations.list()).items, tuple)
        assert isinstance((await approver.quarantine.list()).items, tuple)


async def test_a_change_among_held_jobs_is_told_to_who_listens(whole: Whole, async_client: AsyncClient) -> None:
    async with AsyncClient(whole.key("approver"), url=whole.api) as approver:
        stream = approver.approvals.events()
        first = asyncio.ensure_future(anext(stream))
        seen: set[str] = set()
        submitted: set[str] = set()
        while not seen & submitted:  # the stream tells of what happens once it is open
            job = await async_client.submit("job.deploy.apply", **PROD_WRITE)
            submitted.add(job.job_id)
            done, _ = await asyncio.wait({first}, timeout=2)
            if done:
                change = first.result()
                assert change.state == "held"
                seen.add(change.job_id)
                first = asyncio.ensure_future(anext(stream))
        first.cancel()


def test_the_plain_client_hears_of_them_too(client: Client, approver: Client) -> None:
    heard: list[ApprovalChange] = []
    told = threading.Event()

    def listen() -> None:
        for change in approver.approvals.events():
            heard.append(change)
            told.set()
            return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    while not told.wait(1):
        held(client)
    assert heard[0].state == "held"
