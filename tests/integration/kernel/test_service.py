"""A kernel over real NATS: decisions, permits, verdicts; hostile questions; no kernel at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from holdgate.kernel import calls, limits, subjects, wire
from holdgate.kernel.breaker import BreakerState
from holdgate.kernel.client import KernelClient, KernelRefused
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.custody import PermitRequest
from holdgate.kernel.errors import KernelUnavailable, NoPolicy
from holdgate.kernel.ids import Tenant, WorkerId
from holdgate.kernel.links import Permit
from holdgate.kernel.output import OutputFacts, OutputVerdict
from holdgate.kernel.permits import Keyring, open_signed
from holdgate.kernel.records import Job, Phase, Verdict
from holdgate.kernel.trust import NO_POLICY_SNAPSHOT
from support.trust import ALLOW_READS, HOLD_WRITES, admission, bundle, job, signer, vote
from support.waiting import Eventually

from .conftest import System

OUTPUTS = """
output_rules:
  - {id: keep, verdict: quarantine, reason: stays here, match: {categories: [pii]}}
allow_findings:
  - {id: let, reason: an example, expires: "%s", detectors: [email]}
detectors:
  - id: custom.project
    category: pii
    severity: high
    regex: 'PRJ-[0-9]{6}'
    max_len: 10
    tenants: [default]
    examples: {"true": ["PRJ-123456"], "false": ["PRJ"]}
"""


@pytest.mark.parametrize("reply", ["$KV.holdgate-policy.starter", subjects.POLICY_SNAPSHOT, "_INBOX_worker.x.y"])
async def test_an_answer_goes_to_the_inbox_of_somebody_who_may_ask(system: System, reply: str) -> None:
    """A kernel's answer on the subject of announcements would be believed to be one."""
    await system.kernel()
    seen: list[bytes] = []

    async def see(message: Msg) -> None:
        seen.append(message.data)

    await system.nc.subscribe(reply, cb=see)
    question = calls.pack_request([calls.pack_job(job())], system.clock.now_ms() + 1000, Phase.SUBMIT)
    await system.nc.publish(subjects.KERNEL_DECIDE, question, reply=reply)
    await system.nc.publish(subjects.KERNEL_PERMIT, b"unreadable", reply=reply)
    answer = await system.nc.request(subjects.KERNEL_DECIDE, question, timeout=5)
    assert "items" in wire.unpack(answer.data)
    assert [data for data in seen if not {"items", "error"}.isdisjoint(wire.unpack(data))] == []


async def test_without_a_policy_nothing_that_waits_is_decided(system: System) -> None:
    """A denial for want of a policy must not end a held job; what would be said is still shown."""
    await system.kernel()
    client = await system.client()
    for phase in (Phase.SUBMIT, Phase.DISPATCH):
        with pytest.raises(NoPolicy):
            await client.decide_fresh([job()], phase)
    with pytest.raises(NoPolicy):
        await client.decide_now(job())
    (shown,) = await client.decide_fresh([job()], Phase.SIMULATE)
    assert shown.errors == ("no_policy",)


async def test_what_is_decided_now_is_asked_for_together_and_never_from_the_cache(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    client = await system.client()
    asked: list[int] = []
    real = client._ask_jobs

    async def counted(jobs: Sequence[Job], phase: Phase, **more: Any) -> list[dict[str, Any]]:
        asked.append(len(jobs))
        return await real(jobs, phase, **more)

    monkeypatch.setattr(client, "_ask_jobs", counted)
    jobs = [job(payload=number) for number in range(100)]
    for _ in range(2):
        decisions = await asyncio.gather(*map(client.decide_now, jobs))
        assert [decision.job_hash for decision in decisions] == [each.job_hash() for each in jobs]
    assert sum(asked) == 200
    assert len(asked) <= 8
    await kernel.stop()
    assert (await client.decide(jobs[0])).verdict is Verdict.ALLOW
    with pytest.raises(KernelUnavailable):
        await client.decide_now(jobs[0])


async def test_without_a_bundle_every_decision_is_deny_and_says_why(system: System) -> None:
    await system.kernel()
    client = await system.client()
    decision = await client.decide(job())
    assert (decision.verdict, decision.reason) == (Verdict.DENY, "no valid policy bundle")
    assert decision.snapshot == NO_POLICY_SNAPSHOT
    assert not decision.cacheable


async def test_decides_signs_and_judges_outputs(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.kernel()
    client = await system.client()
    wanted = job(payload={"n": 1})
    decision = await client.decide(wanted)
    assert decision.verdict is Verdict.ALLOW
    assert decision.job_hash == wanted.job_hash()
    denied = job("job.other")
    replies = await client.permits(
        [PermitRequest(each, admission(each, decision), 1, "default", WorkerId("w1")) for each in (wanted, denied)]
    )
    assert replies[1].refusal == "denied"
    signed = replies[0].permit
    assert signed is not None
    permit = open_signed(signed, Permit, Keyring([signer("kernel").public_key]))
    assert (permit.job_id, permit.job_hash, permit.worker) == (wanted.job_id, wanted.job_hash(), "w1")
    facts = OutputFacts(Tenant("default"), "job.read.all", {}, None, (("rsa", "private_key", "critical"),))
    assert [verdict.verdict for verdict in await client.decide_outputs([facts])] == [OutputVerdict.QUARANTINE]


async def test_hands_out_the_detectors_of_bundles_under_the_snapshot_that_decides(
    system: System, tmp_path: Path
) -> None:
    """And lets a finding through until its day, by the kernel's own clock."""
    until = rfc3339(system.clock.now_ms() + 1000)
    await system.publish(bundle(tmp_path, ALLOW_READS + OUTPUTS % until))
    await system.kernel()
    client = await system.client()
    found = await client.detectors()
    assert [item.id for item in found.of("default", "job.read.all")] == ["custom.project"]
    assert found.of("other", "job.read.all") == ()
    facts = OutputFacts(Tenant("default"), "job.read.all", {}, None, (("email", "pii", "low"),))
    (before,) = await client.decide_outputs([facts])
    assert (before.verdict, before.allowed_by, before.snapshot) == (OutputVerdict.ALLOW, ("let",), found.snapshot)
    system.clock.advance(1)
    (after,) = await client.decide_outputs([facts])
    assert (after.verdict, after.allowed_by) == (OutputVerdict.QUARANTINE, ())


async def test_without_a_policy_there_are_no_detectors(system: System) -> None:
    """None known is not the same as none there are: whoever scans without them could let something out."""
    await system.kernel()
    client = await system.client()
    with pytest.raises(KernelUnavailable, match="no valid policy"):
        await client.detectors()


async def test_a_held_job_runs_only_with_votes_for_it_under_the_policy_in_force(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, HOLD_WRITES))
    kernel = await system.kernel()
    client = await system.client()
    held = job("job.write.all")
    decision = await client.decide(held)
    assert decision.verdict is Verdict.REQUIRE_APPROVAL
    ours = PermitRequest(held, admission(held, decision), 1, "default", WorkerId("w1"))
    voted = PermitRequest(held, ours.admission, 1, "default", WorkerId("w1"), votes=(vote(held, decision),))
    replies = await client.permits([ours, voted])
    assert [reply.refusal for reply in replies] == ["needs_approval", None]

    await system.publish(bundle(tmp_path, HOLD_WRITES + "  # changed\n", version=2))
    await eventually(lambda: (active := kernel.source.current()) and active.snapshot != decision.snapshot)
    assert [reply.refusal for reply in await client.permits([voted])] == ["votes_stale_policy"]


async def test_simulate_may_set_the_time_and_submit_may_not(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.kernel()
    client = await system.client()
    decisions = await client.decide_fresh([job()], Phase.SIMULATE, now_ms=1_234)
    assert decisions[0].decided_ms == 1_234
    explained = await client.decide_fresh([job()], Phase.EXPLAIN, trace=True)
    assert explained[0].trace
    with pytest.raises(KernelRefused, match="only simulate and explain"):
        await client.decide_fresh([job()], Phase.SUBMIT, now_ms=1_234)


HOSTILE = {
    "empty": b"",
    "not msgpack": b"\xc1\xc1\xc1",
    "another version": b"\x81\xa1v\x63",
    "no items": wire.pack({"items": [], "until_ms": 2**52, "phase": "submit"}),
    "items of another type": wire.pack({"items": ["x"], "until_ms": 2**52, "phase": "submit"}),
    "too many items": wire.pack({"items": [b"x"] * 257, "until_ms": 2**52, "phase": "submit"}),
    "unknown phase": wire.pack({"items": [b"x"], "until_ms": 2**52, "phase": "sudo"}),
    "times of another type": wire.pack({"items": [b"x"], "until_ms": "later", "phase": "submit"}),
    "late": wire.pack({"items": [b"x"], "until_ms": 1, "phase": "submit"}),
}


@pytest.mark.parametrize("subject", [subjects.KERNEL_DECIDE, subjects.KERNEL_PERMIT, subjects.KERNEL_OUTPUT])
async def test_hostile_requests_are_answered_with_an_error_and_the_kernel_lives(
    system: System, tmp_path: Path, subject: str
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.kernel()
    for name, body in HOSTILE.items():
        reply = wire.unpack((await system.nc.request(subject, body, timeout=5)).data)
        assert reply["error"] == ("record_newer" if name == "another version" else "invalid_input"), name
        assert "items" not in reply, name
    client = await system.client()
    assert (await client.decide(job())).verdict is Verdict.ALLOW


async def test_a_hostile_item_fails_alone(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.kernel()
    good = job(payload=[1])
    forged = job(payload=[1]).with_payload(b"[2]")
    items = [b"\x00", calls.pack_job(good), calls.pack_job(forged), wire.pack({"job_id": 5})]
    body = calls.pack_request(items, 2**52, Phase.SUBMIT)
    reply = wire.unpack((await system.nc.request(subjects.KERNEL_DECIDE, body, timeout=5)).data)
    assert [item.get("error") for item in reply["items"]] == [
        "invalid_input",
        None,
        "forged_payload",
        "invalid_input",
    ]


async def test_a_large_payload_that_no_rule_reads_is_left_out_and_sent_when_one_does(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.kernel()
    client = await system.client()
    await eventually(lambda: client.snapshot)
    large = job(payload={"amount": 5, "filler": "x" * 9000})
    assert (await client.decide(large)).verdict is Verdict.ALLOW
    rules = """
rules:
  - id: allow-reads
    decision: allow
    reason: small
    match: {topics: ["job.read.>"]}
    when: "job.payload.amount < 10"
"""
    before = client.snapshot
    await system.publish(bundle(tmp_path, rules, version=2))
    await eventually(lambda: client.snapshot != before)
    decision = (await client.decide_fresh([large], Phase.DISPATCH))[0]
    assert (decision.verdict, decision.errors) == (Verdict.ALLOW, ())


async def test_more_than_one_request_carries_is_cut_and_comes_back_in_order(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.kernel()
    client = await system.client()
    jobs = [job(topic=f"job.read.n{number}", prompt="y" * 20_000) for number in range(300)]
    decisions = await client.decide_fresh(jobs, Phase.DISPATCH)
    assert [decision.job_hash for decision in decisions] == [each.job_hash() for each in jobs]


async def test_no_kernel_is_unavailable_at_once_and_opens_the_breaker_until_one_is_back(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    """One that announces itself is tried at once."""
    await system.publish(bundle(tmp_path, ALLOW_READS))
    client = await system.client()
    for _ in range(limits.BREAKER_FAILURES):
        with pytest.raises(KernelUnavailable):
            await client.decide(job())
    assert client.breaker_state is BreakerState.OPEN
    with pytest.raises(KernelUnavailable, match="breaker"):
        await client.decide(job())
    await system.kernel()
    await eventually(lambda: client.breaker_state is BreakerState.HALF_OPEN)
    assert (await client.decide(job())).verdict is Verdict.ALLOW
    assert client.breaker_state is BreakerState.CLOSED


async def test_a_kernel_that_does_not_answer_is_unavailable_within_the_time_limit(
    system: System, eventually: Eventually
) -> None:
    taken: list[object] = []

    async def swallow(message: object) -> None:
        taken.append(message)

    await system.nc.subscribe(subjects.KERNEL_DECIDE, queue=subjects.KERNEL_QUEUE, cb=swallow)
    await system.nc.flush()
    client = await system.client(timeout_s=0.2)
    for question in range(1, limits.BREAKER_FAILURES + 1):
        began = asyncio.get_running_loop().time()
        results = await asyncio.gather(*(client.decide(job()) for _ in range(20)), return_exceptions=True)
        assert all(isinstance(result, KernelUnavailable) for result in results)
        assert asyncio.get_running_loop().time() - began < 1.0
        # However many waited for it, a question without an answer is one failure.
        is_last = question == limits.BREAKER_FAILURES
        state = BreakerState.OPEN if is_last else BreakerState.CLOSED
        await eventually(lambda question=question: failures(client) == question)
        assert (len(taken), client.breaker_state) == (question, state)


def failures(client: KernelClient) -> int:
    return client._breaker._failures


async def test_a_question_in_several_parts_is_one_failure_when_the_kernel_is_silent(system: System) -> None:
    client = await system.client(timeout_s=0.2)
    jobs = [job(topic=f"job.read.n{number}", prompt="y" * 20_000) for number in range(300)]
    with pytest.raises(KernelUnavailable):
        await client.decide_fresh(jobs, Phase.DISPATCH)
    assert failures(client) == 1


async def test_a_job_that_cannot_be_asked_about_fails_alone(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS.replace("}}", '}, when: "has(job.payload)"}')))
    await system.kernel()
    client = await system.client()
    good = job(payload=1)
    too_large = job(payload="x" * (system.nc.max_payload + 1))
    no_message = job(prompt="\ud800")
    asked = (good, too_large, no_message, job(payload=2))
    answers = await asyncio.gather(*map(client.decide, asked), return_exceptions=True)
    shown = [answer.refusal if isinstance(answer, KernelRefused) else type(answer).__name__ for answer in answers]
    assert shown == ["Decision", "too_large", "unpackable", "Decision"]

    decision = await client.decide(good)
    requests = [PermitRequest(each, admission(good, decision), 1, "default", WorkerId("w1")) for each in asked[:3]]
    replies = await client.permits(requests)
    assert [reply.refusal for reply in replies] == [None, "too_large", "unpackable"]
    assert client.breaker_state is BreakerState.CLOSED


async def test_callers_that_come_together_are_asked_for_together_and_get_their_own_answer(
    system: System, tmp_path: Path
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.kernel()
    client = await system.client()
    jobs = [job(topic="job.read.all" if number % 2 else "job.no", payload=number) for number in range(100)]
    for _ in range(3):
        decisions = await asyncio.gather(*map(client.decide, jobs))
        assert [decision.job_hash for decision in decisions] == [each.job_hash() for each in jobs]
        assert [decision.verdict is Verdict.ALLOW for decision in decisions] == [False, True] * 50


async def test_a_caller_that_goes_away_takes_nobody_with_it(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.kernel()
    client = await system.client()
    asked = [asyncio.ensure_future(client.decide(job(payload=number))) for number in range(10)]
    await asyncio.sleep(0)
    asked[0].cancel()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert all(not isinstance(answer, BaseException) for answer in answers[1:])
    assert (await client.decide(job())).verdict is Verdict.ALLOW


async def test_every_replica_says_what_it_decides_under(system: System, tmp_path: Path, eventually: Eventually) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.kernel("k1")
    await system.kernel("k2")
    client = await system.client()

    async def both() -> bool:
        return len(await client.status()) == 2

    await eventually(both)
    one, two = await client.status()
    assert (one.replica, two.replica) == ("k1", "k2")
    assert one.snapshot == two.snapshot
    assert one.bundles[0]["name"] == "house"
    assert one.source["last_error"] is None


async def test_an_answer_larger_than_nats_carries_comes_in_parts(system: System, tmp_path: Path) -> None:
    pad = "x" * 100
    lines = [
        f"  - {{id: r{number}-{pad}, decision: deny, reason: closed, match: {{actors: [agent]}}}}"
        for number in range(3000)
    ]
    await system.publish(bundle(tmp_path, "\n".join(["rules:", *lines])))
    await system.kernel()
    client = await system.client()
    jobs = [job(payload=number) for number in range(system.nc.max_payload // 300_000 + 2)]
    decisions = await client.decide_fresh(jobs, Phase.DISPATCH)
    assert [len(decision.rules) for decision in decisions] == [3000] * len(jobs)
    assert [decision.job_hash for decision in decisions] == [each.job_hash() for each in jobs]
