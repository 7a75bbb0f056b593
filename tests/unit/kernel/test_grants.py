"""Terms of standing grants, and the records that people sign beside votes."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from holdgate.kernel.canonical import digest
from holdgate.kernel.errors import Forged, InvalidInput
from holdgate.kernel.grants import Delegation, GrantPart, GrantTerms, new_delegation_id, new_grant_id, rules_of
from holdgate.kernel.ids import ActorId, JobId, Tenant
from holdgate.kernel.links import Vote
from holdgate.kernel.permits import DOMAINS, Keyring, Signer, open_signed, seal
from holdgate.kernel.records import ApprovalRequirement
from support.policies import IDENTITY, NOW_MS, job

API = Signer.from_seed(b"a" * 32)
RING = Keyring([API.public_key])
TERMS = GrantTerms(
    grant_id=new_grant_id(NOW_MS),
    tenant=IDENTITY.tenant,
    actor=IDENTITY.actor,
    principals=IDENTITY.principals,
    topic="job.deploy.apply",
    capability="infra.write",
    rules=(("hold", digest("as written")),),
    snapshot=digest("policy"),
    uses_max=20,
    requested_by=ActorId("ada"),
    requested_ms=NOW_MS,
    expires_ms=NOW_MS + 1000,
    job_id=JobId("job_00000000-0000-7000-8000-000000000000"),
    reason="the release of this week",
    labels={"env": "prod"},
)
PART = GrantPart(
    grant_id=TERMS.grant_id,
    grant_digest=TERMS.digest(),
    tenant=TERMS.tenant,
    approver=ActorId("ada"),
    roles=("release-manager",),
    reason="yes",
    issued_ms=NOW_MS,
    expires_ms=TERMS.expires_ms,
    keyed=("release-manager",),
)
DELEGATION = Delegation(
    delegation_id=new_delegation_id(NOW_MS),
    tenant=TERMS.tenant,
    delegator=ActorId("ada"),
    delegate=ActorId("bea"),
    roles=("release-manager",),
    reason="on leave",
    issued_ms=NOW_MS,
    expires_ms=NOW_MS + 1000,
    keyed=(),
)


def test_terms_come_back_as_they_were_and_with_their_digest() -> None:
    again = GrantTerms.from_dict(TERMS.as_dict())
    assert (again, again.digest()) == (TERMS, TERMS.digest())


@pytest.mark.parametrize(
    "value", [{}, {"labels": 1}, {**TERMS.as_dict(), "more": 1}, {**TERMS.as_dict(), "rules": [1]}]
)
def test_what_is_not_of_the_shape_is_no_terms(value: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        GrantTerms.from_dict(value)


@pytest.mark.parametrize("name", [item.name for item in fields(GrantTerms)])
def test_the_digest_is_over_every_field_of_the_terms(name: str) -> None:
    others: dict[str, Any] = {
        "uses_max": 21,
        "requested_ms": 1,
        "expires_ms": 1,
        "principals": (),
        "rules": (),
        "labels": {},
        "capability": None,
    }
    changed = replace(TERMS, **{name: others.get(name, "other")})
    assert changed.digest() != TERMS.digest()


@pytest.mark.parametrize(
    ("form", "covered"),
    [
        ({}, True),
        ({"labels": {"env": "prod", "ticket": "7"}}, True),
        ({"payload": {"any": "thing"}, "priority": "high"}, True),
        ({"secrets": ["db"]}, False),
        ({"labels": {"env": "test"}}, False),
        ({"labels": {}}, False),
        ({"topic": "job.deploy.apply.x"}, False),
        ({"topic": "job.deploy"}, False),
        ({"capability": "infra.read"}, False),
        ({"capability": None}, False),
        ({"identity": replace(IDENTITY, actor=ActorId("agent-2"))}, False),
        ({"identity": replace(IDENTITY, tenant=Tenant("other"))}, False),
        ({"identity": replace(IDENTITY, principals=("alice",))}, False),
    ],
)  # fmt: skip
def test_terms_cover_jobs_of_the_same_agent_topic_capability_and_labels_without_secrets(
    form: dict[str, Any], covered: bool
) -> None:
    plain = {"topic": "job.deploy.apply", "capability": "infra.write", "labels": {"env": "prod"}}
    assert TERMS.cover(job(**{**plain, **form})) is covered


def test_rules_are_named_with_their_definitions_in_one_order() -> None:
    two = (
        ApprovalRequirement(rule="b", roles=(), definition="2"),
        ApprovalRequirement(rule="a", roles=(), definition="1"),
    )
    assert rules_of(two) == rules_of(two[::-1]) == (("a", "1"), ("b", "2"))


@pytest.mark.parametrize("record", [PART, DELEGATION], ids=lambda record: type(record).__name__)
def test_a_signed_record_comes_back_whole_and_passes_for_no_other_kind(record: Any) -> None:
    signed = seal(record, API)
    assert open_signed(signed, type(record), RING) == record
    for kind in (kind for kind in (Vote, GrantPart, Delegation) if kind is not type(record)):
        with pytest.raises(Forged):
            open_signed(signed, kind, RING)
    with pytest.raises(Forged):
        open_signed(replace(signed, body=signed.body.replace(b"release", b"RELEASE")), type(record), RING)


def test_each_kind_of_record_has_a_domain_of_its_own() -> None:
    assert len(set(DOMAINS.values())) == len(DOMAINS)
