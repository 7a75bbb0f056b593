"""Every field of `match`: what makes it hold, what makes it fail, and that explain names the field that failed."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.kernel.ids import ActorId, Tenant
from holdgate.kernel.jobform import Identity
from holdgate.kernel.records import Verdict
from support.policies import decide, explain, job, policy, rule

BOB = Identity(Tenant("other"), ActorId("bob"), "human", ("carol",))

Case = tuple[dict[str, Any], dict[str, Any], bool, str]
CASES: list[Case] = [
    # (match, job, holds, name of the field that fails otherwise)
    ({}, {}, True, ""),
    ({"topics": ["job.demo.read"]}, {}, True, "topics"),
    ({"topics": ["job.other", "job.demo.*"]}, {}, True, "topics"),
    ({"topics": ["job.demo.write"]}, {}, False, "topics"),
    ({"topics": ["JOB.demo.read"]}, {}, False, "topics"),
    ({"tenants": ["default"]}, {}, True, "tenants"),
    ({"tenants": ["other", "default"]}, {}, True, "tenants"),
    ({"tenants": ["other"]}, {}, False, "tenants"),
    ({"tenants": ["other"]}, {"identity": BOB}, True, "tenants"),
    ({"capabilities": ["infra.write"]}, {"capability": "infra.write"}, True, "capabilities"),
    ({"capabilities": ["a", "infra.write"]}, {"capability": "infra.write"}, True, "capabilities"),
    ({"capabilities": ["infra.write"]}, {"capability": "infra.read"}, False, "capabilities"),
    ({"capabilities": ["infra.write"]}, {}, False, "capabilities"),
    ({"risk_tags": ["change"]}, {"risk_tags": ["change"]}, True, "risk_tags"),
    ({"risk_tags": ["change", "pii"]}, {"risk_tags": ["pii", "x"]}, True, "risk_tags"),
    ({"risk_tags": ["change"]}, {"risk_tags": ["x"]}, False, "risk_tags"),
    ({"risk_tags": ["change"]}, {}, False, "risk_tags"),
    ({"requires": ["gpu"]}, {"requires": ["gpu", "net"]}, True, "requires"),
    ({"requires": ["gpu", "net"]}, {"requires": ["net", "gpu"]}, True, "requires"),
    ({"requires": ["gpu", "net"]}, {"requires": ["gpu"]}, False, "requires"),
    ({"requires": ["gpu"]}, {}, False, "requires"),
    ({"labels": {"env": "prod"}}, {"labels": {"env": "prod", "x": "y"}}, True, "labels.env"),
    ({"labels": {"env": ["prod", "stage"]}}, {"labels": {"env": "stage"}}, True, "labels.env"),
    ({"labels": {"env": "prod"}}, {"labels": {"env": "Prod"}}, False, "labels.env"),
    ({"labels": {"env": "prod"}}, {}, False, "labels.env"),
    ({"labels": {"env": "prod", "a": "b"}}, {"labels": {"env": "prod", "a": "c"}}, False, "labels.a"),
    ({"labels": {"env": "prod", "a": "b"}}, {"labels": {"env": "prod", "a": "b"}}, True, ""),
    ({"actors": ["agent-1"]}, {}, True, "actors"),
    ({"actors": ["bob"]}, {}, False, "actors"),
    ({"actors": ["bob", "agent-1"]}, {"identity": BOB}, True, "actors"),
    ({"actor_types": ["agent"]}, {}, True, "actor_types"),
    ({"actor_types": ["human"]}, {}, False, "actor_types"),
    ({"actor_types": ["human"]}, {"identity": BOB}, True, "actor_types"),
    ({"principals": ["team-lead"]}, {}, True, "principals"),
    ({"principals": ["x", "alice"]}, {}, True, "principals"),
    ({"principals": ["carol"]}, {}, False, "principals"),
    ({"principals": ["agent-1"]}, {}, False, "principals"),
    ({"environments": ["prod"]}, {"labels": {"env": "prod"}}, True, "environments"),
    ({"environments": ["prod", "stage"]}, {"labels": {"env": "stage"}}, True, "environments"),
    ({"environments": ["prod"]}, {"labels": {"env": "dev"}}, False, "environments"),
    ({"environments": ["prod"]}, {}, False, "environments"),
    ({"classifications": ["secret"]}, {"labels": {"classification": "secret"}}, True, "classifications"),
    ({"classifications": ["secret"]}, {"labels": {"classification": "public"}}, False, "classifications"),
    ({"classifications": ["secret"]}, {}, False, "classifications"),
    ({"mcp": {"servers": ["git"]}}, {"labels": {"mcp.server": "git"}}, True, "mcp.servers"),
    ({"mcp": {"servers": ["git"]}}, {"labels": {"mcp.server": "web"}}, False, "mcp.servers"),
    ({"mcp": {"servers": ["git"]}}, {}, False, "mcp.servers"),
    ({"mcp": {"tools": ["push", "tag"]}}, {"labels": {"mcp.tool": "tag"}}, True, "mcp.tools"),
    ({"mcp": {"tools": ["push"]}}, {"labels": {"mcp.tool": "pull"}}, False, "mcp.tools"),
    ({"mcp": {"resources": ["repo://a"]}}, {"labels": {"mcp.resource": "repo://a"}}, True, "mcp.resources"),
    ({"mcp": {"resources": ["repo://a"]}}, {"labels": {"mcp.resource": "repo://b"}}, False, "mcp.resources"),
    ({"mcp": {"actions": ["write"]}}, {"labels": {"mcp.action": "write"}}, True, "mcp.actions"),
    ({"mcp": {"actions": ["write"]}}, {"labels": {"mcp.action": "read"}}, False, "mcp.actions"),
    (
        {"mcp": {"servers": ["git"], "actions": ["write"]}},
        {"labels": {"mcp.server": "git", "mcp.action": "read"}},
        False,
        "mcp.actions",
    ),
    ({"secrets_present": True}, {"secrets_present": True}, True, "secrets_present"),
    ({"secrets_present": True}, {}, False, "secrets_present"),
    ({"secrets_present": False}, {}, True, "secrets_present"),
    ({"secrets_present": False}, {"secrets_present": True}, False, "secrets_present"),
    ({"pii_present": True}, {"pii_present": True}, True, "pii_present"),
    ({"pii_present": True}, {"secrets_present": True}, False, "pii_present"),
    ({"pii_present": False}, {}, True, "pii_present"),
    ({"pii_present": False}, {"pii_present": True}, False, "pii_present"),
    ({"secrets": ["db", "mail.smtp"]}, {"secrets": ["mail.smtp", "other"]}, True, "secrets"),
    ({"secrets": ["db"]}, {"secrets": ["other"]}, False, "secrets"),
    ({"secrets": ["db"]}, {}, False, "secrets"),
    (
        {"topics": ["job.demo.*"], "tenants": ["default"], "labels": {"env": "prod"}},
        {"labels": {"env": "prod"}},
        True,
        "",
    ),
    ({"topics": ["job.demo.*"], "tenants": ["default"], "labels": {"env": "prod"}}, {}, False, "labels.env"),
]


@pytest.mark.parametrize(("match", "asked", "holds", "field"), CASES)
def test_a_field_holds_or_fails(match: dict[str, Any], asked: dict[str, Any], field: str, *, holds: bool) -> None:
    decision = explain(policy(rule(match=match)), job(**asked))
    assert decision.verdict is (Verdict.ALLOW if holds else Verdict.DENY)
    assert decision.trace is not None
    if field == "tenants" and not holds:
        assert decision.trace == ()  # a rule for others: not told of
        return
    (step,) = decision.trace
    assert step["matched"] is holds
    assert step.get("failed") == (None if holds else field)


@pytest.mark.parametrize(("match", "asked", "holds", "field"), [case for case in CASES if case[0]])
def test_not_turns_each_field_round(match: dict[str, Any], asked: dict[str, Any], field: str, *, holds: bool) -> None:
    beside = decide(policy(rule(**{"not": match})), job(**asked))
    inside = decide(policy(rule(match={"not": match})), job(**asked))
    assert (beside.verdict is Verdict.ALLOW) is not holds
    assert inside.verdict is beside.verdict


def test_not_means_that_its_fields_do_not_hold_as_a_whole() -> None:
    written = rule(match={"topics": ["job.>"], "not": {"labels": {"env": "prod"}, "tenants": ["default"]}})
    assert decide(policy(written), job(labels={"env": "dev"})).verdict is Verdict.ALLOW
    assert decide(policy(written), job(labels={"env": "prod"})).verdict is Verdict.DENY
    trace = explain(policy(written), job(labels={"env": "prod"})).trace
    assert trace is not None
    assert trace[0]["failed"] == "not"
