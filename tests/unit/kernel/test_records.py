"""Records: what the job hash covers, and that every record comes back from its plain form as it was."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from holdgate.kernel import wire
from holdgate.kernel.canonical import canonical_bytes, digest_bytes, parse_json
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.records import HASHED_FIELDS, JOB_FIELDS, NOT_HASHED, Decision, Job, Priority
from support.policies import decide, job, policy, rule

WHOLE = job(
    payload={"a": 1},
    prompt="do",
    labels={"env": "prod"},
    capability="infra.write",
    risk_tags=["change"],
    requires=["gpu"],
    secrets=["db"],
    pii_present=True,
    concurrency_key="k",
    run_at="2026-01-02T00:00:00Z",
    deadline="2026-01-03T00:00:00Z",
)
CHANGES: dict[str, Any] = {
    "tenant": "other",
    "topic": "job.demo.write",
    "payload_digest": digest_bytes(b'{"a":2}'),
    "actor": "agent-2",
    "actor_type": "human",
    "pool": "gpu",
    "max_attempts": 4,
    "prompt": "do it",
    "labels": {"env": "dev"},
    "capability": "infra.read",
    "risk_tags": ("change", "x"),
    "requires": (),
    "principals": ("team-lead", "alice"),
    "priority": Priority.HIGH,
    "concurrency_key": None,
    "run_at_ms": 1,
    "deadline_ms": None,
    "secrets_present": True,
    "remediation_of": "job_x",
    "secrets": ("mail",),
    "pii_present": False,
}


@pytest.mark.parametrize("name", HASHED_FIELDS)
def test_the_hash_changes_when_anything_that_the_worker_gets_changes(name: str) -> None:
    assert replace(WHOLE, **{name: CHANGES[name]}).job_hash() != WHOLE.job_hash()


def test_a_plain_job_holds_plain_values_only() -> None:
    plain = WHOLE.as_dict()
    assert {type(value) for value in plain.values()} <= {str, int, bool, bytes, type(None), list, dict}
    assert Job.from_dict(plain) == WHOLE
    assert plain["labels"] is not WHOLE.labels


def test_what_the_hash_leaves_out_is_what_the_signed_records_name_themselves() -> None:
    assert frozenset({"job_id", "created_ms", "trace_id", "payload"}) == NOT_HASHED
    assert {item.name for item in fields(Job)} == NOT_HASHED | set(HASHED_FIELDS)
    other = replace(WHOLE, job_id="job_y", created_ms=5, trace_id="u", payload=None)
    assert other.job_hash() == WHOLE.job_hash()


def test_a_payload_that_is_not_the_one_that_was_hashed_is_noticed() -> None:
    assert WHOLE.payload_holds()
    assert not replace(WHOLE, payload=b'{"a":2}').payload_holds()
    assert not WHOLE.with_payload(None).payload_holds()


def test_an_absent_field_hashes_otherwise_than_an_empty_one() -> None:
    assert replace(WHOLE, prompt=None).job_hash() != replace(WHOLE, prompt="").job_hash()
    assert replace(WHOLE, capability=None).job_hash() != replace(WHOLE, capability="").job_hash()


def test_a_job_without_the_younger_fields_reads_and_hashes_as_before_there_were_any() -> None:
    plain = replace(WHOLE, secrets=(), pii_present=False)
    for shown in (plain.as_dict(), plain.hashed()):
        assert not {"secrets", "pii_present"} & shown.keys()
    assert Job.from_dict(plain.as_dict()) == plain
    assert plain.job_hash() != WHOLE.job_hash()


def test_a_job_comes_back_through_msgpack_as_it_was() -> None:
    back = Job.from_dict(wire.unpack(wire.pack(WHOLE.as_dict())))
    assert back == WHOLE
    assert back.job_hash() == WHOLE.job_hash()


@pytest.mark.parametrize(
    "broken",
    [
        {"colour": 1},
        {"labels": {"a": 1}},
        {"risk_tags": [1]},
        {"requires": 7},
        {"priority": "urgent"},
        {"labels": 7},
    ],
)
def test_a_job_of_another_shape_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Job.from_dict({**WHOLE.as_dict(), **broken})


@pytest.mark.parametrize("missing", ["job_id", "tenant", "topic", "payload_digest", "actor"])
def test_a_job_without_a_field_is_refused(missing: str) -> None:
    with pytest.raises(InvalidInput):
        Job.from_dict({name: value for name, value in WHOLE.as_dict().items() if name != missing})


def test_every_field_of_a_job_is_in_its_plain_form() -> None:
    assert tuple(WHOLE.as_dict()) == JOB_FIELDS


def test_a_decision_with_everything_comes_back_through_json_and_msgpack() -> None:
    safer = {"id": "safer", "title": "t", "labels": {"a": "b"}}
    active = policy(
        rule("hold", "require_approval", remediations=[safer], constraints={"network": ["a"], "max_attempts": 1}),
        rule("slow", "throttle"),
        rule("broken", "deny", match={"tenants": ["other"]}),
        rule("unsure", "require_approval", when="job.payload.zzz > 1"),
    )
    decision = decide(active, WHOLE)
    assert decision.approvals
    assert decision.throttles
    assert decision.errors
    assert Decision.from_dict(wire.unpack(wire.pack(decision.as_dict()))) == decision
    shown = parse_json(canonical_bytes(decision.as_dict()))
    assert isinstance(shown, dict)
    assert Decision.from_dict(shown) == decision


@pytest.mark.parametrize("broken", [{"verdict": "maybe"}, {"phase": 1}, {"rules": [1]}, {"more": 1}, {"within": "x"}])
def test_a_decision_of_another_shape_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Decision.from_dict({**decide(policy(rule()), WHOLE).as_dict(), **broken})
