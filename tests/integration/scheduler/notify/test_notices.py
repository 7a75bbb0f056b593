"""Which changes people are told of, and what a notice says."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.client import verify_webhook
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.ids import ActorId, Digest, JobId, Tenant
from holdgate.kernel.records import ApprovalRequirement, Job, Outcome, Verdict
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.entry import Submission
from holdgate.scheduler.state.quarantine import Act, SealedRequest, SealedVote
from holdgate.scheduler.state.transitions import State
from support.notifying import SECRET, Post
from support.receiver import Received, Receiver
from support.state import TENANT, World, make_admission, make_decision, make_job

HOUR_MS = 3_600_000
MEMBERS = {
    "id",
    "type",
    "time",
    "tenant",
    "job_id",
    "topic",
    "actor",
    "by",
    "outcome",
    "rules",
    "reason",
    "severity",
    "expires_at",
    "link",
}


def notice_of(received: Received) -> dict[str, Any]:
    """What a receiver sees, that looks at the signature."""
    return verify_webhook(received.headers, received.body, SECRET, int(received.headers["webhook-timestamp"]))


async def notices(post: Post, receiver: Receiver, service: Any) -> list[dict[str, Any]]:
    """Send what is due; all that came so far, in order of the events."""
    await post.send(service)
    found = [notice_of(received) for received in receiver.received]
    return sorted(found, key=lambda notice: int(str(notice["id"]).split("_")[2]))


async def test_a_held_job_is_told_with_a_link_and_nothing_of_its_content(post: Post, receiver: Receiver) -> None:
    """Neither payload nor prompt nor labels, and a link that only says where."""
    service = await post.notifier({"name": "chat", "url": receiver.url}, console_url="https://holdgate.example/")
    job = await post.world.held(payload=b'{"card":"4111"}', prompt="buy it all", labels={"customer": "jane"})
    [notice] = await notices(post, receiver, service)
    assert set(notice) == MEMBERS
    assert (notice["type"], notice["tenant"], notice["job_id"]) == ("held", TENANT, job.job_id)
    assert (notice["topic"], notice["actor"], notice["rules"]) == (job.topic, job.actor, ["rule"])
    assert (notice["reason"], notice["severity"]) == ("a test says so", "medium")
    approval = await post.world.approvals.require(TENANT, job.job_id)
    assert notice["expires_at"] == rfc3339(approval.expires_ms)
    assert notice["link"] == f"https://holdgate.example/approvals/{job.job_id}"
    for hidden in (b"4111", b"buy it", b"jane", b"customer"):
        assert hidden not in receiver.received[0].body


async def test_without_a_console_there_is_no_link(post: Post, receiver: Receiver) -> None:
    """Rather than one that leads nowhere."""
    service = await post.notifier({"name": "chat", "url": receiver.url})
    await post.world.held()
    [notice] = await notices(post, receiver, service)
    assert notice["link"] is None


@pytest.mark.parametrize(("approve", "outcome"), [(True, "released"), (False, "rejected")])
async def test_a_decision_is_told_with_who_made_it(post: Post, receiver: Receiver, approve: bool, outcome: str) -> None:
    """Its outcome, its reason."""
    service = await post.notifier({"name": "chat", "url": receiver.url})
    job = await post.world.held()
    await post.world.vote(job, approve=approve)
    held, decided = await notices(post, receiver, service)
    assert (held["type"], decided["type"], decided["outcome"]) == ("held", "decided", outcome)
    assert (decided["by"], decided["job_id"]) == (["ada"], job.job_id)


async def test_an_approval_that_ran_out_is_told(post: Post, receiver: Receiver) -> None:
    """By nobody."""
    service = await post.notifier({"name": "chat", "url": receiver.url, "events": ["expired"]})
    job = await post.world.held()
    post.world.pass_ms(23 * HOUR_MS + HOUR_MS)
    await post.world.approvals.expire(TENANT, post.world.now_ms)
    [notice] = await notices(post, receiver, service)
    assert (notice["type"], notice["job_id"], notice["by"]) == ("expired", job.job_id, [])


async def test_an_escalation_is_told_once(post: Post, receiver: Receiver) -> None:
    """With how grave the rule says it is."""
    service = await post.notifier({"name": "chat", "url": receiver.url, "events": ["escalated"]})
    world, job = post.world, make_job(post.now_ms())
    needed = ApprovalRequirement(rule="hold", roles=("release-manager",), escalate_after_s=60)
    decision = make_decision(job, Verdict.REQUIRE_APPROVAL, approvals=(needed,))
    submission = Submission(job, decision, make_admission(job, Outcome.HELD), State.HELD)
    await world.jobs.accept(submission, world.now_ms)
    world.pass_ms(60_000)
    [approval] = await world.approvals.escalations_due(TENANT, world.now_ms, 10)
    for _ in range(2):
        await world.approvals.escalate(TENANT, approval, {"rules": ["hold"], "severity": "medium"}, world.now_ms)
    [notice] = await notices(post, receiver, service)
    assert (notice["type"], notice["job_id"], notice["severity"]) == ("escalated", job.job_id, "medium")


async def test_breaking_the_glass_is_told_of_each_person(post: Post, receiver: Receiver) -> None:
    """Before the second one makes it a release."""
    service = await post.notifier({"name": "chat", "url": receiver.url})
    job = await post.world.held()
    for person in ("ada", "bob"):
        await post.world.vote(job, person, roles=("break_glass",), break_glass=True)
    _held, first, second, decided = await notices(post, receiver, service)
    assert [notice["type"] for notice in (first, second, decided)] == ["break_glass", "break_glass", "decided"]
    assert (first["by"], second["by"], decided["by"]) == (["ada"], ["bob"], ["ada", "bob"])


async def quarantined(world: World) -> JobId:
    """A job whose output is sealed."""
    picked, token = await world.running()
    request = world.finish_request(
        picked,
        token,
        State.QUARANTINED,
        verdict={"verdict": "quarantine", "rules": ["no-keys"], "sealed_digest": "sha256:x"},
        sealed=b"SEALED",
        event={"severity": "critical", "categories": ["private_key"]},
    )
    await world.results.finish(TENANT, [request], world.now_ms)
    return picked.job.job_id


async def test_quarantine_and_what_became_of_it_are_told(post: Post, receiver: Receiver) -> None:
    """How bad it is, by which rules, where to look; never what or where in the output."""
    service = await post.notifier({"name": "chat", "url": receiver.url}, console_url="https://holdgate.example")
    job_id = await quarantined(post.world)
    vote = SealedVote(ActorId("ada"), Act.DESTROY, "not needed", post.world.now_ms)
    request = SealedRequest(job_id, vote, Digest("sha256:x"), 0, completes=True, attempt=1)
    await post.world.quarantine.vote(TENANT, request, post.world.now_ms)
    sealed, destroyed = await notices(post, receiver, service)
    assert (sealed["type"], sealed["severity"], sealed["rules"]) == ("quarantined", "critical", ["no-keys"])
    assert sealed["link"] == f"https://holdgate.example/quarantine/{job_id}"
    assert (destroyed["type"], destroyed["outcome"], destroyed["by"]) == ("quarantine_decided", "destroyed", ["ada"])


@pytest.mark.parametrize("word", ["requested", "active", "revoked", "void", "exhausted"])
async def test_standing_grants_are_told_without_their_labels_and_not_each_use(
    post: Post, receiver: Receiver, word: str
) -> None:
    """Who asked for what, for which agent."""
    service = await post.notifier({"name": "chat", "url": receiver.url}, console_url="https://holdgate.example")
    details = {
        "grant_id": "grant_1",
        "approver": "ada",
        "reason": "nightly",
        "agent": "deploy-agent",
        "agent_topic": "job.deploy.apply",
        "labels": {"customer": "jane"},
        "rules": ["hold"],
        "expires_ms": post.now_ms(),
    }
    for event in (f"grant.{word}", "grant.used", "grant.approved"):
        await post.world.audit.append(TENANT, event, details, post.now_ms())
    await post.world.held()  # so that the tenant is known
    notice, _held = await notices(post, receiver, service)
    assert (notice["type"], notice["outcome"], notice["by"], notice["job_id"]) == ("grant", word, ["ada"], None)
    assert (notice["actor"], notice["topic"], notice["rules"]) == ("deploy-agent", "job.deploy.apply", ["hold"])
    assert (notice["link"], notice["expires_at"]) == ("https://holdgate.example/grants/grant_1", rfc3339(post.now_ms()))
    assert all(b"jane" not in received.body for received in receiver.received)


async def test_jobs_that_just_run_leave_no_notices(post: Post) -> None:
    """Submit, run, end: the path that must stay fast."""
    picked, token = await post.world.running()
    await post.world.results.finish(
        TENANT, [post.world.finish_request(picked, token, State.SUCCEEDED, value=b"1")], post.world.now_ms
    )
    assert await post.world.scripts.command("EXISTS", key(TENANT, "notices")) == 0


async def test_the_notices_of_a_tenant_are_bounded(post: Post) -> None:
    """The newest are kept, in whole nodes of the stream, and the audit trail keeps all."""
    fill = """
    for i = 1, tonumber(ARGV[1]) do
      redis.call('XADD', KEYS[1], i .. '-0', 'n', 'held', 'at', '0', 'j', '', 'w', '', 'd', '')
    end
    """
    await post.world.scripts.command("EVAL", fill, 1, key(TENANT, "notices"), 10_500)
    await post.world.scripts.command("SET", key(TENANT, "seq"), 20_000)
    for _ in range(3):
        await post.world.held()
    assert int(await post.world.scripts.command("XLEN", key(TENANT, "notices"))) <= 10_200


async def test_only_the_kinds_and_tenants_that_a_webhook_wants_reach_it(post: Post, receiver: Receiver) -> None:
    """Each webhook gets its own."""
    service = await post.notifier(
        {"name": "ends", "url": f"{receiver.url}/ends", "events": ["decided"]},
        {"name": "others", "url": f"{receiver.url}/others", "tenants": ["other"]},
    )
    job = await post.world.held()
    await post.world.vote(job)
    await post.world.held(tenant=Tenant("other"))
    await post.send(service)
    got = sorted((received.path, notice_of(received)["type"]) for received in receiver.received)
    assert got == [("/hook/ends", "decided"), ("/hook/others", "held")]


async def test_what_happened_before_a_webhook_was_there_is_not_sent_to_it(post: Post, receiver: Receiver) -> None:
    """A new chat is not flooded with what is long over."""
    await post.world.held()
    post.world.pass_ms(1000)
    service = await post.notifier({"name": "chat", "url": receiver.url})
    job: Job = await post.world.held()
    assert [notice["job_id"] for notice in await notices(post, receiver, service)] == [job.job_id]
