"""Rules documents: whatever is wrong is refused, with its place, and nothing is skipped."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.kernel import limits
from holdgate.kernel.errors import PolicyInvalid
from holdgate.kernel.policy import compile_policy, snapshot_of
from holdgate.kernel.records import Verdict
from holdgate.kernel.ruleform import parse_rules
from support.policies import SNAPSHOT, decide, job, policy, rule

SAFER = {"id": "safer", "title": "a safer way", "topic": "job.other"}


def with_match(**match: Any) -> dict[str, Any]:
    return rule(match=match)


def with_when(when: Any) -> dict[str, Any]:
    return rule(when=when)


def approvers(**parts: Any) -> dict[str, Any]:
    return rule("rule", "require_approval", approvers=parts)


def throttle(**parts: Any) -> dict[str, Any]:
    return rule("rule", "throttle", throttle={"limit": 1, "per": "1m", "key": ["tenant"], **parts})


def constraints(**parts: Any) -> dict[str, Any]:
    return rule("rule", "allow_with_constraints", constraints=parts)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in rule().items() if key != name}


REFUSED_RULES: list[tuple[dict[str, Any], str, str]] = [
    # (rule, place in it, part of the reason)
    (without("id"), "id", "required"),
    (without("decision"), "decision", "required"),
    (without("reason"), "reason", "required"),
    (rule(""), "id", "is expected"),
    (rule("a b"), "id", "is expected"),
    (rule("a:b"), "id", "is expected"),
    (rule("x" * 129), "id", "is expected"),
    (rule(id=7), "id", "a text is expected"),
    (rule(decision="maybe"), "decision", "unknown decision"),
    (rule(decision="ALLOW"), "decision", "unknown decision"),
    (rule(decision=True), "decision", "a text is expected"),
    (rule(reason=""), "reason", "one line"),
    (rule(reason="a\nb"), "reason", "one line"),
    (rule(reason="x" * 2001), "reason", "one line"),
    (rule(reasons="x"), "reasons", "unknown key"),
    (rule(priority=1), "priority", "unknown key"),
    (rule(match=None), "match", "no value"),
    (rule(match=["job.a"]), "match", "a mapping is expected"),
    (with_match(topic=["a"]), "match.topic", "unknown key"),
    (with_match(topics=None), "match.topics", "no value"),
    (with_match(topics=[]), "match.topics", "empty"),
    (with_match(topics="job.a"), "match.topics", "a list is expected"),
    (with_match(topics=["job..a"]), "match.topics.0", "empty token"),
    (with_match(topics=["job.a", "job.>.a"]), "match.topics.1", "only at the end"),
    (with_match(topics=["job.a b"]), "match.topics.0", "letters"),
    (with_match(topics=[7]), "match.topics.0", "a text is expected"),
    (with_match(topics=["a"] * 1001), "match.topics", "more than 1000 items"),
    (with_match(tenants=["A B"]), "match.tenants.0", "is expected"),
    (with_match(capabilities=["a b"]), "match.capabilities.0", "is expected"),
    (with_match(capabilities=[""]), "match.capabilities.0", "is expected"),
    (with_match(risk_tags="change"), "match.risk_tags", "a list is expected"),
    (with_match(requires=["a"] * 65), "match.requires", "more than 64 items"),
    (with_match(labels={}), "match.labels", "empty"),
    (with_match(labels={"env": True}), "match.labels.env.0", "quote it"),
    (with_match(labels={"env": []}), "match.labels.env", "empty"),
    (with_match(labels={"_env": "a"}), "match.labels._env", "no job can have"),
    (with_match(labels={"holdgate.env": "a"}), "match.labels.holdgate.env", "no job can have"),
    (with_match(labels={"Holdgate.env": "a"}), "match.labels.Holdgate.env", "no job can have"),
    (with_match(labels={"env": "a\nb"}), "match.labels.env.0", "one line"),
    (with_match(actors=["a b"]), "match.actors.0", "is expected"),
    (with_match(actor_types=["Agent Smith"]), "match.actor_types.0", "is expected"),
    (with_match(principals=[]), "match.principals", "empty"),
    (with_match(environments="prod"), "match.environments", "a list is expected"),
    (with_match(mcp={}), "match.mcp", "empty"),
    (with_match(mcp={"server": ["a"]}), "match.mcp.server", "unknown key"),
    (with_match(mcp={"servers": []}), "match.mcp.servers", "empty"),
    (with_match(secrets_present="yes"), "match.secrets_present", "`true` or `false`"),
    (with_match(secrets_present=1), "match.secrets_present", "`true` or `false`"),
    (with_match(**{"not": {}}), "match.not", "empty"),
    (with_match(**{"not": {"not": {"tenants": ["a"]}}}), "match.not.not", "unknown key"),
    (with_match(**{"not": {"topics": ["a..b"]}}), "match.not.topics.0", "empty token"),
    (rule(match={"not": {"tenants": ["a"]}}, **{"not": {"tenants": ["a"]}}), "", "`not` is said twice"),
    (rule(match={"when": "true"}, when="true"), "", "`when` is said twice"),
    (with_when(""), "when", "Syntax error"),
    (with_when(True), "when", "a text is expected"),
    (with_when("job.payload.a >"), "when", "Syntax error"),
    (with_when("1 + 1"), "when", "gives INT, not bool"),
    (with_when("actor > 5"), "when", "no matching overload"),
    (with_when("nope == 1"), "when", "undeclared"),
    (with_when("job.payloda.a == 1"), "when", "a job has no `payloda`"),
    (with_when('job["colour"] == "red"'), "when", "a job has no `colour`"),
    (with_when('job.topic.matches("[")'), "when", "regular expression"),
    (with_when('job.topic.matches("(a{1000}){1000}")'), "when", "regular expression"),
    (with_when("true" + " " * 2000), "when", "longer than 2000"),
    (with_when(" && ".join(["job.risk_tags.all(t, true)"] * 5)), "when", "more than 4"),
    (
        with_when("job.requires.all(a, job.requires.all(b, job.requires.all(c, a == b)))"),
        "when",
        "nested deeper than 2",
    ),
    (with_when("(" * 40 + "true" + ")" * 40), "when", "limit"),
    (with_when("job.prompt" + " + job.prompt" * 13 + ' == ""'), "when", "more than 12 additions"),
    ({**rule(), "decision": "throttle"}, "", "`throttle` goes with"),
    (rule("rule", "allow", throttle={"limit": 1, "per": "1m"}), "", "`throttle` goes with"),
    (throttle(limit=0), "throttle.limit", "greater than or equal to 1"),
    (throttle(limit=1.5), "throttle.limit", "whole number"),
    (throttle(limit=True), "throttle.limit", "whole number"),
    (throttle(per="1 hour"), "throttle.per", "a time such as"),
    (throttle(per="0s"), "throttle.per", "a time such as"),
    (throttle(per="367d"), "throttle.per", "a time such as"),
    (throttle(per=60), "throttle.per", "a text is expected"),
    (throttle(key=["prompt"]), "throttle.key.0", "unknown key"),
    (throttle(key="tenant"), "throttle.key", "a list is expected"),
    (throttle(over="drop"), "throttle.over", "unknown way"),
    (rule(approvers={"roles": ["a"]}), "", "`approvers` goes with"),
    (rule("rule", "deny", approvers={"roles": ["a"]}), "", "`approvers` goes with"),
    (approvers(roles=[]), "approvers.roles", "empty"),
    (approvers(roles=["A B"]), "approvers.roles.0", "is expected"),
    (approvers(names=["a b"]), "approvers.names.0", "is expected"),
    (approvers(quorum=0), "approvers.quorum", "greater than or equal to 1"),
    (approvers(names=["a", "a"], quorum=2), "approvers", "larger than the number of names"),
    (approvers(expires="soon"), "approvers.expires", "a time such as"),
    (approvers(expires="1h", escalate_after="1h"), "approvers", "not before the expiry"),
    (approvers(escalate_after="2d"), "approvers", "not before the expiry"),
    (approvers(expires="30s", read_for="30s"), "approvers", "`read_for` is not before the expiry"),
    (approvers(expires="2d", read_for="2h"), "approvers", "longer than 60 minutes"),
    (approvers(escalate_to={"roles": ["a"]}), "approvers", "`escalate_to` needs `escalate_after`"),
    (approvers(escalate_after="1h", escalate_to={}), "approvers.escalate_to", "empty"),
    (approvers(escalate_after="1h", escalate_to={"role": ["a"]}), "approvers.escalate_to.role", "unknown key"),
    (approvers(signed=True, grants=True), "approvers", "do not go with `signed`"),
    (approvers(confirm=""), "approvers.confirm", ""),
    (approvers(confirm="a\nb"), "approvers.confirm", ""),
    (approvers(not_author="yes"), "approvers.not_author", "`true` or `false`"),
    (rule("rule", "require_approval", severity="huge"), "severity", "an unknown severity"),
    (rule("rule", "deny", severity="high"), "", "`severity` goes with"),
    (approvers(signed="yes"), "approvers.signed", "`true` or `false`"),
    (approvers(minimum=2), "approvers.minimum", "unknown key"),
    ({**rule(), "decision": "allow_with_constraints"}, "", "without `constraints`"),
    (rule("rule", "allow", constraints={"max_attempts": 1}), "", "say `allow_with_constraints`"),
    (rule("rule", "deny", constraints={"max_attempts": 1}), "", "do not go with `deny`"),
    (constraints(), "constraints", "empty"),
    (constraints(max_runtime_s=0), "constraints.max_runtime_s", "greater than or equal to 1"),
    (constraints(max_runtime_s="60"), "constraints.max_runtime_s", "whole number"),
    (constraints(max_memory=1), "constraints.max_memory", "unknown key"),
    (constraints(network="*"), "constraints.network", "a list is expected"),
    (constraints(max_attempts=101), "constraints.max_attempts", "less than or equal to 100"),
    (rule("rule", "allow", remediations=[SAFER]), "", "`remediations` are for"),
    (rule("rule", "deny", remediations=[SAFER, SAFER]), "remediations.1.id", "taken twice"),
    (rule("rule", "deny", remediations=[{"id": "a", "title": "b"}]), "remediations.0", "nothing to replace"),
    (rule("rule", "deny", remediations=[{**SAFER, "topic": "job.*"}]), "remediations.0.topic", "no wildcards"),
    (rule("rule", "deny", remediations=[{**SAFER, "labels": {"_a": "b"}}]), "remediations.0.labels._a", "no job"),
    (rule("rule", "deny", remediations=[{"id": "a", "topic": "b"}]), "remediations.0.title", "required"),
]
REFUSED_OUTPUT_RULES: list[tuple[dict[str, Any], str, str]] = [
    ({"id": "o", "verdict": "drop", "reason": "x"}, "verdict", "unknown verdict"),
    ({"id": "o", "verdict": "allow"}, "reason", "required"),
    ({"id": "o", "verdict": "allow", "reason": "x", "match": {"kinds": ["a"]}}, "match.kinds", "unknown key"),
    ({"id": "o", "verdict": "allow", "reason": "x", "match": {"categories": []}}, "match.categories", "empty"),
    ({"id": "o", "verdict": "allow", "reason": "x", "match": {"topics": ["a..b"]}}, "match.topics.0", "empty token"),
]
REFUSED_DOCUMENTS: list[tuple[Any, str, str]] = [
    ({}, "", "none of `rules`, `output_rules`"),
    ([], "", "a mapping is expected"),
    ("rules", "", "a mapping is expected"),
    ({"rules": None}, "rules", "no value"),
    ({"rules": {}}, "rules", "a list is expected"),
    ({"rules": [None]}, "rules.0", "no value"),
    ({"rules": ["a"]}, "rules.0", "a mapping is expected"),
    ({"rules": [], "version": 1}, "version", "unknown key"),
    ({"rules": [], "combining": "permit-overrides"}, "combining", "unknown way"),
    ({"rules": [], "default": "allow"}, "default", "unknown key"),
    ({"rules": [rule("a"), rule("b"), rule("a")]}, "rules.2.id", "taken twice"),
    (
        {"rules": [rule("a")], "output_rules": [{"id": "a", "verdict": "allow", "reason": "x"}]},
        "output_rules.0.id",
        "taken twice",
    ),
]


def refusal(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(PolicyInvalid) as refused:
        parse_rules(document, "test")
    return [(".".join(map(str, place)), why) for place, why in refused.value.problems]


@pytest.mark.parametrize(("written", "place", "reason"), REFUSED_RULES)
def test_a_rule_that_is_wrong_is_refused_with_its_place(written: dict[str, Any], place: str, reason: str) -> None:
    ((where, why),) = refusal({"rules": [rule("fine"), written]})
    assert where == ("rules.1." + place).rstrip(".")
    assert reason in why


@pytest.mark.parametrize(("written", "place", "reason"), REFUSED_OUTPUT_RULES)
def test_an_output_rule_that_is_wrong_is_refused_with_its_place(
    written: dict[str, Any], place: str, reason: str
) -> None:
    ((where, why),) = refusal({"output_rules": [written]})
    assert where == "output_rules.0." + place
    assert reason in why


@pytest.mark.parametrize(("document", "place", "reason"), REFUSED_DOCUMENTS)
def test_a_document_that_is_wrong_is_refused(document: Any, place: str, reason: str) -> None:
    ((where, why),) = refusal(document)
    assert where == place
    assert reason in why


def test_every_problem_is_named_not_only_the_first() -> None:
    problems = refusal({"rules": [rule(decision="x"), rule("b", match={"topics": ["a..b"]}, colour="red")], "x": 1})
    assert [place for place, _ in problems] == ["rules.0.decision", "rules.1.match.topics.0", "rules.1.colour", "x"]


def test_too_many_rules_are_refused_in_one_document_and_in_all_together() -> None:
    assert refusal({"rules": [rule(f"r{n}") for n in range(limits.RULES_MAX + 1)]}) == [
        ("rules", f"more than {limits.RULES_MAX} items")
    ]
    half = [
        parse_rules({"rules": [rule(f"{name}{n}") for n in range(limits.RULES_MAX // 2 + 1)]}, name) for name in "ab"
    ]
    with pytest.raises(PolicyInvalid, match="in all bundles together"):
        compile_policy(half, snapshot=SNAPSHOT)


def test_the_two_rules_of_the_starter_bundle_mean_what_they_say() -> None:
    active = policy(
        {
            "id": "deny-destructive-exec",
            "decision": "deny",
            "reason": "destructive command class blocked",
            "match": {"topics": ["job.exec.*"], "labels": {"command_class": "destructive"}},
        },
        {
            "id": "require-approval-prod-write",
            "decision": "require_approval",
            "reason": "human review required for prod write",
            "match": {"topics": ["job.deploy.*"], "labels": {"env": "prod"}, "capabilities": ["infra.write"]},
            "approvers": {"roles": ["release-manager"], "quorum": 1, "expires": "4h", "escalate_after": "2h"},
        },
    )
    denied = decide(active, job(topic="job.exec.shell", labels={"command_class": "destructive"}))
    held = decide(active, job(topic="job.deploy.apply", labels={"env": "prod"}, capability="infra.write"))
    assert (denied.verdict, denied.deciding) == (Verdict.DENY, ("deny-destructive-exec",))
    assert (held.verdict, held.approvals[0].roles) == (Verdict.REQUIRE_APPROVAL, ("release-manager",))


def test_a_reason_folded_over_lines_loses_only_its_last_line_end() -> None:
    (parsed,) = parse_rules({"rules": [rule(reason="folded text\n")]}, "test").rules
    assert parsed.reason == "folded text"


def test_the_snapshot_changes_with_bundles_root_and_combining_and_not_with_order() -> None:
    base = snapshot_of(["a", "b"], 1)
    assert snapshot_of(["b", "a"], 1) == base
    assert len({base, snapshot_of(["a"], 1), snapshot_of(["a", "b"], 2), snapshot_of(["a", "b"], 1, "other")}) == 4
