"""The client against the whole system: real API, kernel, dispatcher, worker and output gate."""

from __future__ import annotations

import asyncio

import pytest

from holdgate.client import (
    ApprovalError,
    AsyncClient,
    Client,
    Conflict,
    Denied,
    Forbidden,
    Invalid,
    JobNotSucceeded,
    NotFound,
    OutputQuarantined,
    WaitTimeout,
)
from support.cutting import CuttingProxy
from support.whole import Whole

PROD_WRITE = {"labels": {"env": "prod"}, "capability": "infra.write"}


def test_a_job_is_submitted_run_and_its_result_read(client: Client) -> None:
    job = client.submit("job.demo.read", prompt="status", payload={"a": [1, None]})
    assert job.decision.verdict == "allow"
    output = job.result(timeout_s=30)
    assert (output.value["status"], output.value["prompt"]) == ("ok", "status")
    assert job.info().state == "succeeded"
    assert [decision.phase for decision in job.decisions()] == ["submit", "dispatch"]
    assert job.timeline()


def test_a_denial_says_which_rule_why_and_what_would_be_safer(client: Client) -> None:
    with pytest.raises(Denied) as caught:
        client.submit("job.exec.shell", prompt="rm -rf /")
    denied = caught.value
    assert (denied.code, denied.status, denied.rule) == ("denied", 403, "deny-raw-shell")
    assert denied.reason
    assert denied.rules[0] == denied.rule
    assert denied.remediations
    assert denied.decision is not None
    assert denied.job_id is not None


def test_taking_a_remediation_is_a_new_job_through_the_same_gates(client: Client) -> None:
    with pytest.raises(Denied) as caught:
        client.submit("job.exec.shell", prompt="ls")
    denied = caught.value
    assert denied.job_id is not None
    job = client.jobs.remediate(denied.job_id, denied.remediations[0].id)
    assert job.job_id != denied.job_id
    assert job.result(timeout_s=30).value["status"] == "ok"


def test_no_rule_is_a_denial_too(client: Client) -> None:
    with pytest.raises(Denied) as caught:
        client.submit("job.unheard.of")
    assert caught.value.rule is None
    assert "no rule allows this" in caught.value.reason


def test_a_held_job_runs_once_it_is_approved_as_shown(client: Client, approver: Client) -> None:
    job = client.submit("job.deploy.apply", **PROD_WRITE)
    assert job.state == "held"
    assert job.job_id in {item.job_id for item in approver.approvals.list(limit=100).items}
    shown = approver.approvals.show(job.job_id)
    assert (shown.job_hash, shown.snapshot) == (job.decision.job_hash, job.decision.snapshot)
    assert approver.approvals.approve(shown, reason="seen it").state == "queued"
    assert job.result(timeout_s=30).value["applied"] is True
    with pytest.raises(ApprovalError) as caught:
        approver.approvals.approve(shown, reason="again")
    assert caught.value.code in {"approval_resolved", "approval_not_found"}


def test_a_rejected_job_ends_denied(client: Client, approver: Client) -> None:
    job = client.submit("job.deploy.apply", **PROD_WRITE)
    approver.approvals.reject(approver.approvals.show(job.job_id), reason="not today")
    with pytest.raises(JobNotSucceeded) as caught:
        job.result(timeout_s=30)
    assert caught.value.job.state == "denied"


def test_approving_something_else_than_was_shown_is_refused(client: Client, approver: Client) -> None:
    job = client.submit("job.deploy.apply", **PROD_WRITE)
    shown = approver.approvals.show(job.job_id)
    for change, code in (
        ({"job_hash": "sha256:" + "0" * 64}, "approval_stale_job"),
        ({"snapshot": "sha256:" + "0" * 64}, "approval_stale_policy"),
    ):
        with pytest.raises(ApprovalError) as caught:
            approver.approvals.approve(shown.model_copy(update=change), reason="looks fine")
        assert caught.value.code == code
    with pytest.raises(ApprovalError) as caught:
        approver.approvals.approve(shown, reason=" ")
    assert caught.value.code == "approval_reason_required"
    job.cancel()


def test_an_agent_may_not_approve_its_own_job(client: Client) -> None:
    job = client.submit("job.deploy.apply", **PROD_WRITE)
    approval = client.jobs.get(job.job_id).decision
    assert approval is not None
    with pytest.raises((ApprovalError, Forbidden)):
        client.approvals.show(job.job_id)
    job.cancel()


def test_secrets_in_a_result_are_redacted_and_keys_are_sealed(client: Client) -> None:
    leak = client.submit("job.demo.leak").result(timeout_s=30)
    assert "[redacted:" in leak.value["text"]
    assert "ghp_" not in str(leak)
    with pytest.raises(OutputQuarantined):
        client.submit("job.demo.key").result(timeout_s=30)


def test_a_failed_job_raises_with_what_is_known_and_its_error_can_be_read(client: Client) -> None:
    job = client.submit("job.demo.fail", payload={"permanent": True})
    with pytest.raises(JobNotSucceeded) as caught:
        job.result(timeout_s=30)
    assert (caught.value.job.state, caught.value.job.code) == ("failed", "permanent_failure")
    output = job.output()
    assert output.error is not None
    assert output.error.message == "this job fails for good"


def test_a_running_job_is_cancelled(client: Client) -> None:
    job = client.submit("job.demo.slow", payload={"seconds": 60})
    for seen in job.events():
        if seen.state == "running":
            assert job.cancel(reason="changed my mind").cancel_requested
            break
    assert job.wait(timeout_s=20).state == "cancelled"


def test_a_wait_that_is_too_short_says_so_and_changes_nothing(client: Client) -> None:
    job = client.submit("job.demo.slow", payload={"seconds": 30})
    with pytest.raises(WaitTimeout) as caught:
        job.wait(timeout_s=0.2)
    assert caught.value.job.job_id == job.job_id
    job.cancel()


def test_a_typed_payload_that_does_not_fit_fails_for_good(client: Client) -> None:
    with pytest.raises(JobNotSucceeded) as caught:
        client.submit("job.demo.slow", payload={"seconds": "soon"}).result(timeout_s=30)
    assert caught.value.job.code == "payload_invalid"


def test_the_same_idempotency_key_is_the_same_job_and_another_body_is_a_conflict(client: Client) -> None:
    first = client.submit("job.demo.read", prompt="once", idempotency_key="key-1")
    assert client.submit("job.demo.read", prompt="once", idempotency_key="key-1").job_id == first.job_id
    with pytest.raises(Conflict) as caught:
        client.submit("job.demo.read", prompt="twice", idempotency_key="key-1")
    assert caught.value.code == "idempotency_conflict"


def test_a_submit_whose_reply_was_lost_is_sent_again_and_makes_one_job(whole: Whole, client: Client) -> None:
    marker = {"marker": "lost-reply"}
    with CuttingProxy(whole.api, lose=2) as proxy, Client(whole.key("agent"), url=proxy.url) as unlucky:
        job = unlucky.submit("job.demo.read", labels=marker)
        assert proxy.lost == 2
    made = [item.job_id for item in client.jobs.list(limit=100).items if item.labels == marker]
    assert made == [job.job_id]


def test_two_submits_without_a_key_are_two_jobs(client: Client) -> None:
    assert client.submit("job.demo.read").job_id != client.submit("job.demo.read").job_id


def test_invalid_fields_are_named(client: Client) -> None:
    with pytest.raises(Invalid) as caught:
        client.submit("job..demo", priority="urgent")
    assert {error["field"].strip("/") for error in caught.value.errors} >= {"topic"}


def test_another_tenant_or_an_unknown_id_does_not_exist(client: Client, whole: Whole) -> None:
    with pytest.raises(NotFound):
        client.jobs.get("job_01a1fdac-915c-758b-9238-b3e6e3e51c6b")
    with Client(whole.key("agent"), url=whole.api, tenant="other") as other, pytest.raises(Forbidden):
        other.submit("job.demo.read")
    with Client("hgk_wrong", url=whole.api) as stranger, pytest.raises(Forbidden) as caught:
        stranger.submit("job.demo.read")
    assert caught.value.status == 401


def test_simulate_decides_and_explain_says_why_the_others_do_not_match(client: Client) -> None:
    decision = client.policy.simulate("job.deploy.apply", **PROD_WRITE)
    assert (decision.verdict, decision.trace) == ("require_approval", None)
    assert client.policy.explain("job.deploy.apply", **PROD_WRITE).trace


def test_lists_come_in_pages(client: Client) -> None:
    for _ in range(3):
        client.submit("job.demo.read")
    first = client.jobs.list(limit=2)
    second = client.jobs.list(limit=2, cursor=first.next_cursor)
    assert len(first.items) == 2
    assert {job.job_id for job in first.items}.isdisjoint(job.job_id for job in second.items)


def test_a_submit_while_the_kernel_is_away_is_tried_again_and_makes_one_job(whole: Whole, client: Client) -> None:
    client.submit("job.demo.read")
    whole.stop_process("kernel")
    try:
        with Client(whole.key("agent2"), url=whole.api, retry_s=0) as hasty, pytest.raises(Exception) as caught:  # noqa: PT011  its code is looked at
            hasty.submit("job.demo.write", labels={"not": "cached"})
        assert getattr(caught.value, "code", None) == "kernel_unavailable"
    finally:
        whole.resume_process("kernel")
    assert client.submit("job.demo.write", labels={"not": "cached either"}).wait(timeout_s=30).has_ended


async def test_the_async_client_does_the_same(async_client: AsyncClient) -> None:
    jobs = await asyncio.gather(*(async_client.submit("job.demo.read", prompt=str(n)) for n in range(20)))
    outputs = await asyncio.gather(*(job.result(timeout_s=30) for job in jobs))
    assert [output.value["prompt"] for output in outputs] == [str(n) for n in range(20)]
    with pytest.raises(Denied):
        await async_client.submit("job.exec.shell")
    assert (await async_client.policy.simulate("job.demo.read")).verdict == "allow"
    states = [seen.state async for seen in jobs[0].events()]
    assert states == ["succeeded"]
