"""A kernel over real NATS: decisions, permits, verdicts; hostile questions; no kernel at all."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from holdgate.kernel import calls, limits, subjects, wire
from holdgate.kernel.breaker import BreakerState
from holdgate.kernel.client import KernelRefused
from holdgate.kernel.custody import PermitRequest
from holdgate.kernel.errors import KernelUnavailable
from holdgate.kernel.ids import Tenant, WorkerId
from holdgate.kernel.output import OutputFacts, OutputVerdict
from holdgate.kernel.permits import Keyring, open_signed
from holdgate.kernel.records import Permit, Phase, Verdict
from holdgate.kernel.trust import NO_POLICY_SNAPSHOT
from support.trust import ALLOW_READS, HOLD_WRITES, admission, bundle, job, signer, vote
from support.waiting import Eventually

from .conftest import System


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
        [
            PermitRequest(each, admission(each, decision), 1, "default", WorkerId("w1"))
            for each in (wanted, denied)
        ]
    )
    assert replies[1].refusal == "denied"
    signed = replies[0].permit
    assert signed is not None
    permit = open_signed(signed, Permit, Keyring([signer("kernel").public_key]))
    assert (permit.job_id, permit.job_hash, permit.worker) == (wanted.job_id, wanted.job_hash(), "w1")
    facts = OutputFacts(Tenant("default"), "job.read.all", {}, None, (("rsa", "private_key", "critical"),))
    assert [verdict.verdict for verdict in await client.decide_outputs([facts])] == [OutputVerdict.QUARANTINE]
