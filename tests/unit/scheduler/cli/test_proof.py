"""What is signed at a terminal is what was shown there, whatever the API says of it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdgate.bundles.cli.signing import PassphraseFrom
from holdgate.bundles.keys import generate
from holdgate.client.models import Approval
from holdgate.kernel.canonical import canonical_bytes, digest_bytes, parse_json
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, JobId, Tenant
from holdgate.kernel.records import HASHED_FIELDS, Job, Priority
from holdgate.scheduler.api.shapes import job_facts
from holdgate.scheduler.cli.people.look import proved_look
from holdgate.scheduler.cli.people.proof import proved_job
from holdgate.scheduler.cli.people.signing import signed_with

TEXT = b'{"n":[1,1.0,1e21,0.1,-0.0,9007199254740991],"\\u20ac":"\\u202e","cmd":"rm -rf /prod"}'
PAYLOAD = canonical_bytes(parse_json(TEXT))
JOB = Job(
    job_id=JobId("job_01920000-0000-7000-8000-000000000001"),
    created_ms=5,
    trace_id="0" * 32,
    tenant=Tenant("default"),
    topic="job.deploy.apply",
    payload=PAYLOAD,
    payload_digest=digest_bytes(PAYLOAD),
    actor=ActorId("agent"),
    actor_type="agent",
    pool="default",
    max_attempts=3,
    prompt="ship it",
    labels={"env": "prod"},
    capability="infra.write",
    risk_tags=("destructive",),
    requires=("gpu",),
    principals=("alice", "bob"),
    priority=Priority.HIGH,
    concurrency_key="deploys",
    run_at_ms=1_790_000_000_123,
    deadline_ms=1_790_000_900_001,
    secrets_present=True,
    remediation_of="job_01920000-0000-7000-8000-000000000002",
    secrets=("db.main", "mail"),
)
OTHERWISE: dict[str, Any] = {
    "tenant": "other",
    "topic": "job.deploy.plan",
    "payload_digest": digest_bytes(b"{}"),
    "actor": "somebody",
    "actor_type": "human",
    "pool": "gpu",
    "max_attempts": 4,
    "prompt": "tidy up",
    "labels": {"env": "dev"},
    "capability": None,
    "risk_tags": (),
    "requires": (),
    "principals": ("alice",),
    "priority": Priority.LOW,
    "concurrency_key": None,
    "run_at_ms": None,
    "deadline_ms": 1_790_000_900_002,
    "secrets_present": False,
    "pii_present": True,
    "remediation_of": None,
    "secrets": ("mail",),
}


def reply(of: Job = JOB, **otherwise: Any) -> Approval:
    """What the API says of the job `of`, under the hash of the real one."""
    said = {
        "job_id": of.job_id,
        "status": "pending",
        "job_hash": JOB.job_hash(),
        "snapshot": "sha256:1",
        "topic": of.topic,
        "actor": of.actor,
        "principals": list(of.principals),
        "job": {**job_facts(of), "prompt": of.prompt, "state": "held"},
        "payload": json.loads(of.payload or b"null"),
        "payload_shown": True,
        "to_sign": {"tenant": "default", "approver": "ann", "attempt": 1, "expires_ms": 9, "roles": ["r"]},
        **otherwise,
    }
    return Approval.model_validate(json.loads(json.dumps(said)))


def test_every_field_that_is_hashed_is_in_the_reply() -> None:
    assert replace(proved_job(reply()), created_ms=5, trace_id="0" * 32) == JOB


@pytest.mark.parametrize("name", HASHED_FIELDS)
def test_a_field_that_was_altered_is_not_signed(name: str) -> None:
    with pytest.raises(InvalidInput, match="nothing was signed"):
        proved_job(reply(replace(JOB, **{name: OTHERWISE[name]})))


@pytest.mark.parametrize(
    "otherwise",
    [
        {"payload": {"cmd": "ls"}},
        {"payload": None},
        {"topic": "job.deploy.plan"},
        {"actor": "somebody"},
        {"principals": []},
        {"job_id": "job_01920000-0000-7000-8000-000000000009"},
        {"job": None},
        {"job": {}},
        {"job_hash": "sha256:" + "0" * 64},
    ],
    ids=lambda said: "-".join(f"{name}" for name in said),
)
def test_a_reply_that_says_two_things_is_not_signed(otherwise: dict[str, Any], tmp_path: Path) -> None:
    generate(tmp_path / "mine.key", "approver")
    assert signed_with(tmp_path / "mine.key", PassphraseFrom(None, None), reply(), "fine").key
    with pytest.raises(InvalidInput, match="nothing was signed"):
        signed_with(tmp_path / "mine.key", PassphraseFrom(None, None), reply(**otherwise), "fine")


@pytest.mark.parametrize("otherwise", [{"payload_shown": False}, {"payload_left_out": True, "payload": None}])
def test_what_is_not_shown_whole_is_not_signed(otherwise: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="cannot be had"):
        proved_job(reply(**otherwise))


class Lying:
    """An API that shows the truth where it is hashed, and something harmless where people look."""

    def __init__(self) -> None:
        self.approvals = self

    def show(self, _: str) -> Approval:
        return reply()

    def masked(self, _: str) -> dict[str, Any]:
        return {"shown": {"labels": {}, "prompt": "ls", "payload": {"cmd": "ls"}}, "masked": 0}

    def rules(self, _: str) -> tuple[()]:
        return ()

    similar = rules


def test_what_is_looked_at_before_signing_is_made_of_what_was_proved() -> None:
    look = proved_look(Lying(), JOB.job_id)  # type: ignore[arg-type]  the calls that a look makes
    assert look.content is not None
    assert (look.content["payload"]["cmd"], look.content["prompt"]) == ("rm -rf /prod", "ship it")


def test_secrets_are_masked_before_signing_too() -> None:
    secret = "ghp_" + os.urandom(18).hex()
    job = replace(JOB, prompt=f"use {secret}")

    class Client(Lying):
        def show(self, _: str) -> Approval:
            return reply(job, job_hash=job.job_hash())

    look = proved_look(Client(), JOB.job_id)  # type: ignore[arg-type]  the calls that a look makes
    assert look.masked == 1
    assert secret not in json.dumps(look.content)
