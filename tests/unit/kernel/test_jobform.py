"""The form of a job: what enters, what is refused, and that a refusal names the field and repeats nothing."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.kernel import limits
from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.errors import FormInvalid
from holdgate.kernel.ids import ActorId, JobId, Tenant
from holdgate.kernel.jobform import Identity, job_from_form, parse_form, split_facts
from holdgate.kernel.records import Priority
from support.policies import NOW_MS

FINE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    # (form, what the parsed form has)
    ({}, {"payload": b"null", "pool": "default", "priority": Priority.NORMAL, "max_attempts": 3, "labels": {}}),
    ({"prompt": "two\nlines\tand a tab"}, {"prompt": "two\nlines\tand a tab"}),
    ({"prompt": "x" * limits.PROMPT_CHARS_MAX}, {"prompt": "x" * limits.PROMPT_CHARS_MAX}),
    ({"payload": {"b": 1, "a": [True, None]}}, {"payload": b'{"a":[true,null],"b":1}'}),
    ({"payload": None}, {"payload": b"null"}),
    ({"payload": "text"}, {"payload": b'"text"'}),
    ({"labels": {"env": "prod", "team.name": "ü und 東京"}}, {"labels": {"env": "prod", "team.name": "ü und 東京"}}),
    ({"labels": {f"k{n}": "v" for n in range(64)}}, {"labels": {f"k{n}": "v" for n in range(64)}}),
    ({"capability": "infra.write"}, {"capability": "infra.write"}),
    ({"risk_tags": ["b", "a", "b"]}, {"risk_tags": ("a", "b")}),
    ({"requires": ["gpu"]}, {"requires": ("gpu",)}),
    ({"secrets": ["mail", "db.main", "mail"]}, {"secrets": ("db.main", "mail")}),
    ({"requires": list("hgfedcba")}, {"requires": tuple("abcdefgh")}),
    ({"pool": "gpu-1"}, {"pool": "gpu-1"}),
    ({"priority": "high"}, {"priority": Priority.HIGH}),
    ({"concurrency_key": "repo/main"}, {"concurrency_key": "repo/main"}),
    ({"max_attempts": 100}, {"max_attempts": 100}),
    ({"run_at": "2026-01-01T01:00:00Z"}, {"run_at_ms": NOW_MS + 3_600_000}),
    ({"run_at": "2025-01-01T00:00:00Z"}, {"run_at_ms": 1_735_689_600_000}),
    ({"run_at": "2026-01-01T02:00:00.5+01:00"}, {"run_at_ms": NOW_MS + 3_600_500}),
    ({"deadline": "2026-01-01T00:00:00.001Z"}, {"deadline_ms": NOW_MS + 1}),
    ({"prompt": None, "labels": None, "pool": None, "run_at": None}, {"prompt": None, "pool": "default"}),
]
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    # (form, field, part of the reason)
    ({"topic": None}, "topic", "required"),
    ({"topic": 7}, "topic", "a string"),
    ({"topic": ""}, "topic", "empty"),
    ({"topic": "job..a"}, "topic", "empty token"),
    ({"topic": "job.a b"}, "topic", "letters"),
    ({"topic": "../"}, "topic", "empty token"),
    ({"topic": "job.*"}, "topic", "no wildcards"),
    ({"topic": "job.>"}, "topic", "no wildcards"),
    ({"topic": "a" * 257}, "topic", "longer than 256"),
    ({"prompt": 1}, "prompt", "a string"),
    ({"prompt": "x" * (limits.PROMPT_CHARS_MAX + 1)}, "prompt", "longer than 65536"),
    ({"prompt": "a\x00b"}, "prompt", "control character"),
    ({"prompt": "a\x1bb"}, "prompt", "control character"),
    ({"prompt": "a\ud800b"}, "prompt", "control character"),
    ({"payload": {"n": 2**53}}, "payload", "canonical form"),
    ({"payload": float("nan")}, "payload", "canonical form"),
    ({"payload": ["\ud800"]}, "payload", "canonical form"),
    ({"payload": {1: 2}}, "payload", "canonical form"),
    ({"labels": []}, "labels", "an object"),
    ({"labels": {f"k{n}": "v" for n in range(65)}}, "labels", "more than 64"),
    ({"labels": {"a": 1}}, "labels.a", "a string"),
    ({"labels": {"a": None}}, "labels.a", "a string"),
    ({"labels": {"": "x"}}, "labels.", "a label's name"),
    ({"labels": {"a" * 129: "x"}}, "labels." + "a" * 64, "a label's name"),
    ({"labels": {"a b": "x"}}, "labels.a b", "a label's name"),
    ({"labels": {"a\n": "x"}}, "labels.a?", "a label's name"),
    ({"labels": {"_approved": "x"}}, "labels._approved", "a label's name"),
    ({"labels": {"holdgate.approved": "x"}}, "labels.holdgate.approved", "belong to the system"),
    ({"labels": {"HoldGate.approved": "x"}}, "labels.HoldGate.approved", "belong to the system"),
    ({"labels": {"a": "x" * 1025}}, "labels.a", "longer than 1024"),
    ({"labels": {"a": "x\ny"}}, "labels.a", "control character"),
    ({"labels": {"a": "x\x85y"}}, "labels.a", "control character"),
    ({"labels": {"a": "admin\u202etxt"}}, "labels.a", "control character"),
    ({"capability": ""}, "capability", "the first a letter"),
    ({"capability": "a b"}, "capability", "the first a letter"),
    ({"capability": ["a"]}, "capability", "a string"),
    ({"risk_tags": "change"}, "risk_tags", "a list"),
    ({"risk_tags": ["a"] * 65}, "risk_tags", "more than 64"),
    ({"risk_tags": ["a", 7]}, "risk_tags.1", "a string"),
    ({"risk_tags": ["a", "x" * 129]}, "risk_tags.1", "the first a letter"),
    ({"requires": ["a\n"]}, "requires.0", "the first a letter"),
    ({"requires": {"a": 1}}, "requires", "a list"),
    ({"secrets": ["a"] * 17}, "secrets", "more than 16"),
    ({"secrets": ["DB"]}, "secrets.0", "beginning with a letter"),
    ({"secrets": ["a" * 64]}, "secrets.0", "1 to 63"),
    ({"secrets": {"db": "/run/db"}}, "secrets", "a list"),
    ({"pool": "A"}, "pool", "are expected"),
    ({"pool": "a.b"}, "pool", "are expected"),
    ({"pool": "a" * 64}, "pool", "are expected"),
    ({"pool": 1}, "pool", "are expected"),
    ({"priority": "urgent"}, "priority", "`low`"),
    ({"priority": 1}, "priority", "`low`"),
    ({"priority": ["high"]}, "priority", "`low`"),
    ({"concurrency_key": ""}, "concurrency_key", "empty"),
    ({"concurrency_key": "x" * 129}, "concurrency_key", "longer than 128"),
    ({"concurrency_key": "a\tb"}, "concurrency_key", "control character"),
    ({"max_attempts": 0}, "max_attempts", "an integer"),
    ({"max_attempts": 101}, "max_attempts", "an integer"),
    ({"max_attempts": 1.0}, "max_attempts", "an integer"),
    ({"max_attempts": True}, "max_attempts", "an integer"),
    ({"max_attempts": "3"}, "max_attempts", "an integer"),
    ({"run_at": "tomorrow"}, "run_at", "a time such as"),
    ({"run_at": "2026-01-01"}, "run_at", "a time such as"),
    ({"run_at": "2026-01-01T00:00:00"}, "run_at", "a time such as"),
    ({"run_at": "2026-02-30T00:00:00Z"}, "run_at", "no such time"),
    ({"run_at": "1969-12-31T23:59:59Z"}, "run_at", "1970"),
    ({"run_at": "2028-01-01T00:00:00Z"}, "run_at", "days ahead"),
    ({"run_at": 1_767_225_600_000}, "run_at", "a time such as"),
    ({"deadline": "2026-01-01T00:00:00Z"}, "deadline", "in the past"),
    ({"deadline": "2099-01-01T00:00:00Z"}, "deadline", "days ahead"),
    (
        {"run_at": "2026-01-02T00:00:00Z", "deadline": "2026-01-02T00:00:00Z"},
        "run_at",
        "not before the deadline",
    ),
    ({"tenant": "other"}, "tenant", "unknown key"),
    ({"actor": "root"}, "actor", "unknown key"),
    ({"secrets_present": False}, "secrets_present", "unknown key"),
    ({"pii_present": False}, "pii_present", "unknown key"),
    ({"approved": True}, "approved", "unknown key"),
    ({"Topic": "a"}, "Topic", "unknown key"),
]


@pytest.mark.parametrize(("form", "expected"), FINE)
def test_a_form_enters(form: dict[str, Any], expected: dict[str, Any]) -> None:
    parsed = parse_form({"topic": "job.demo.read", **form}, now_ms=NOW_MS)
    assert {name: getattr(parsed, name) for name in expected} == expected


@pytest.mark.parametrize(("form", "field", "reason"), REFUSED)
def test_a_field_that_is_wrong_is_named(form: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(FormInvalid) as refused:
        parse_form({"topic": "job.demo.read", **form}, now_ms=NOW_MS)
    ((where, why),) = refused.value.problems
    assert where == field
    assert reason in why


def test_all_fields_that_are_wrong_are_named_at_once() -> None:
    with pytest.raises(FormInvalid) as refused:
        parse_form({"pool": "A", "priority": "x", "colour": 1}, now_ms=NOW_MS)
    assert [field for field, _ in refused.value.problems] == ["pool", "priority", "colour", "topic"]


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    secret = "hunter2 with\x00 a control character"
    form = {"topic": secret, "prompt": secret, "labels": {"a": secret}, "pool": secret, "payload": [secret, 2**60]}
    with pytest.raises(FormInvalid) as refused:
        parse_form({**form, "run_at": secret, "capability": secret, "risk_tags": [secret]}, now_ms=NOW_MS)
    assert len(refused.value.problems) == 8
    assert "hunter2" not in str(refused.value)


def test_tenant_and_actor_come_from_the_identity_alone() -> None:
    identity = Identity(Tenant("acme"), ActorId("svc@acme"), "service", ("alice",))
    made = job_from_form(
        {"topic": "job.a", "payload": {"a": 1}},
        identity=identity,
        job_id=JobId("job_x"),
        now_ms=NOW_MS,
        trace_id="t",
        secrets_present=True,
        pii_present=True,
    )
    assert (made.tenant, made.actor, made.actor_type, made.principals) == ("acme", "svc@acme", "service", ("alice",))
    assert (made.created_ms, made.secrets_present, made.pii_present) == (NOW_MS, True, True)
    assert made.payload_digest == digest_bytes(b'{"a":1}')
    assert made.payload_holds()


def test_the_form_with_meta_is_the_flat_form() -> None:
    flat = {"topic": "job.deploy.apply", "labels": {"env": "prod"}, "capability": "infra.write", "risk_tags": ["x"]}
    nested = {
        "job_id": "sim-1",
        "tenant": "default",
        "topic": "job.deploy.apply",
        "labels": {"env": "prod"},
        "meta": {"capability": "infra.write", "risk_tags": ["x"], "actor": "bob", "now": "2026-01-01T00:00:00Z"},
    }
    facts = split_facts(nested)
    assert facts.form == flat
    assert (facts.job_id, facts.tenant, facts.actor, facts.now_ms) == ("sim-1", "default", "bob", NOW_MS)
    assert split_facts(flat).form == flat


@pytest.mark.parametrize(
    ("facts", "field", "reason"),
    [
        ({"meta": []}, "meta", "an object"),
        ({"meta": {"colour": 1}}, "meta.colour", "unknown key"),
        ({"meta": {"meta": {}}}, "meta.meta", "unknown key"),
        ({"pool": "a", "meta": {"pool": "b"}}, "meta.pool", "said twice"),
        ({"tenant": "A B"}, "tenant", "are expected"),
        ({"actor": ""}, "actor", "are expected"),
        ({"actor_type": 1}, "actor_type", "are expected"),
        ({"principals": "alice"}, "principals", "a list"),
        ({"principals": ["a", "b c"]}, "principals.1", "are expected"),
        ({"principals": ["a"] * 17}, "principals", "a list of at most 16"),
        ({"now": "soon"}, "now", "a time such as"),
        ({"now": -1}, "now", "milliseconds"),
        ({"now": 2**60}, "now", "milliseconds"),
        ({"now": True}, "now", "a time such as"),
        ({"job_id": 7}, "job_id", "a string"),
        ({"job_id": "a\nb"}, "job_id", "control character"),
    ],
)
def test_facts_that_are_wrong_are_named(facts: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(FormInvalid) as refused:
        split_facts({"topic": "job.a", **facts})
    ((where, why),) = refused.value.problems
    assert where == field
    assert reason in why
