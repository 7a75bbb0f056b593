"""Whatever lint says of random policies is true of random jobs: a rule that it calls without effect has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from holdgate.bundles.lint import Finding, LintContext, lint
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import ActorId, Tenant
from holdgate.kernel.jobform import Identity
from holdgate.kernel.output import OutputFacts, decide_output
from holdgate.kernel.policy import Policy, compile_policy
from holdgate.kernel.records import Decision, Job, Phase, Verdict
from holdgate.kernel.ruleform import parse_rules
from holdgate.kernel.rules import BundleRules
from support.policies import NOW_MS, SNAPSHOT, job

WITHOUT_EFFECT = frozenset({"unreachable-rule", "never-holds", "shadowed-rule", "duplicate-rule", "redundant-rule"})
POLICIES = 30
JOBS = 120
CONDITIONS = (
    'job.labels.k == "x"',
    'job.labels.k == "y" && job.labels.env == "x"',
    'job.labels["env"] in ["x", "z"]',
    'job.labels.k == "x" && job.labels.k == "y"',
    'job.capability == "x" && job.capability == "y"',
    'job.capability in ["x"] && job.topic == "job.a"',
    'job.topic == "job.b"',
    'job.tenant != "x"',
    'actor == "y" && job.payload.n > 1',
    "job.payload.zzz > 1",
    "!has(job.labels.k)",
    "job.secrets_present",
    "!job.secrets_present && job.labels.m > 3",
    "job.pii_present && !job.secrets_present",
    "1 == 2",
    "1 / 0 == 1",
    "2 > 1",
    '[1, 2].exists(n, job.labels.k == "x") && job.tenant == "z"',
    'job.capability in [] && job.labels.zzz == "x"',
    'job.actor_type != "x" && job.labels.env != "y"',
    "job.payload.n > 2 && job.payload.n < 2",
    "job.payload.n >= 1 && 1 >= job.payload.n && job.payload.n != 1",
    'job.payload.n == 2 && job.payload.n in [1, "2", true]',
    "job.payload.n >= 1 && job.payload.n <= 2 && job.payload.n != 1",
    "has(job.payload.n) && !has(job.payload.n)",
)


@pytest.mark.parametrize("seed", range(4))
def test_a_rule_that_is_called_without_effect_is_the_difference_in_no_decision(seed: int) -> None:
    chance = Random(seed)
    said: Counter[str] = Counter()
    for _ in range(POLICIES):
        bundles = [_bundle(name, chance) for name in ("one", "two")[: chance.randint(1, 2)]]
        findings = [item for item in lint(bundles, LintContext()) if item.code in WITHOUT_EFFECT]
        findings += [item for item in lint(bundles, LintContext()) if item.code == "contradicting-bundles"]
        jobs = [_job(chance) for _ in range(JOBS)]
        for item in findings:
            if item.code != "contradicting-bundles" or "so none" in item.message:
                said[item.code] += 1
                _assert_no_difference(bundles, item, jobs)
    assert said["shadowed-rule"] > 2
    assert said["never-holds"] > 2


@pytest.mark.parametrize("seed", range(4))
def test_a_job_never_matches_what_is_said_never_to_hold(seed: int) -> None:
    chance = Random(1000 + seed)
    for _ in range(POLICIES):
        bundle = _bundle("one", chance, combining="deny-overrides")
        dead = {item.rule for item in lint([bundle], LintContext()) if item.code == "never-holds"}
        policy = _policy([bundle])
        for _ in range(JOBS):
            decision = evaluate(policy, _job(chance), now_ms=NOW_MS, phase=Phase.SUBMIT)
            assert dead.isdisjoint(decision.rules)


@pytest.mark.parametrize("seed", range(4))
def test_an_output_rule_that_is_called_without_effect_is_the_difference_in_no_verdict(seed: int) -> None:
    chance = Random(seed)
    said = 0
    for _ in range(POLICIES):
        rules = [_output_rule(number, chance) for number in range(6)]
        bundle = parse_rules({"output_rules": rules}, "one")
        for item in lint([bundle], LintContext()):
            if item.code not in WITHOUT_EFFECT:
                continue
            said += 1
            left = replace(bundle, output_rules=tuple(rule for rule in bundle.output_rules if rule.id != item.rule))
            for _ in range(JOBS // 2):
                facts = _facts(chance)
                whole, without = (decide_output(_policy([rules]), facts, NOW_MS) for rules in (bundle, left))
                assert whole.findings == without.findings, item
    assert said > 2


@pytest.mark.parametrize("seed", range(4))
def test_a_remediation_that_is_said_to_be_denied_is_denied(seed: int) -> None:
    chance = Random(seed)
    said = 0
    for _ in range(POLICIES * 2):
        bundle = _bundle("one", chance)
        policy = _policy([bundle])
        findings = [item for item in lint([bundle], LintContext()) if item.code == "remediation-denied"]
        for item in findings:
            rule = next(rule for rule in bundle.rules if rule.id == item.rule)
            (remediation,) = rule.remediations
            for asked in (one for one in (_job(chance) for _ in range(JOBS)) if rule.match.holds(one)):
                said += 1
                taken = replace(
                    asked,
                    topic=remediation.topic or asked.topic,
                    capability=remediation.capability or asked.capability,
                    labels={**asked.labels, **(remediation.labels or {})},
                )
                decision = evaluate(policy, taken, now_ms=NOW_MS, phase=Phase.SUBMIT)
                assert decision.within is Verdict.DENY or decision.verdict is Verdict.DENY, item
    assert said > 10


def _assert_no_difference(bundles: Sequence[BundleRules], item: Finding, jobs: Sequence[Job]) -> None:
    without = [
        replace(
            bundle, rules=tuple(rule for rule in bundle.rules if (bundle.name, rule.id) != (item.bundle, item.rule))
        )
        for bundle in bundles
    ]
    before, after = _policy(bundles), _policy(without)
    for asked in jobs:
        assert _decided(before, asked) == _decided(after, asked), (item, asked)


def _decided(policy: Policy, asked: Job) -> tuple[Any, ...]:
    """What a decision comes to, without the names of the rules that made it."""
    decision: Decision = evaluate(policy, asked, now_ms=NOW_MS, phase=Phase.SUBMIT)
    demands = {(item.roles, item.names, item.quorum, item.expires_s, item.signed) for item in decision.approvals}
    limits = {(item.limit, item.per_s, item.over, item.bucket.split(":")[1]) for item in decision.throttles}
    return decision.verdict, decision.within, decision.constraints, demands, limits


def _policy(bundles: Sequence[BundleRules]) -> Policy:
    return compile_policy(bundles, snapshot=SNAPSHOT)


def _bundle(name: str, chance: Random, combining: str | None = None) -> BundleRules:
    rules = [_rule(f"{name}-{number}", chance) for number in range(chance.randint(2, 9))]
    chosen = combining or chance.choice(["deny-overrides", "deny-overrides", "first-applicable"])
    return parse_rules({"combining": chosen, "rules": rules}, name)


def _rule(name: str, chance: Random) -> dict[str, Any]:
    decision = chance.choice([str(verdict) for verdict in Verdict])
    written: dict[str, Any] = {"id": name, "decision": decision, "reason": "a reason", "match": _match(chance, 0.25)}
    if chance.random() < 0.2:
        written["not"] = _match(chance, 0.3) or {"tenants": ["x"]}
    if chance.random() < 0.3:
        written["when"] = chance.choice(CONDITIONS)
    if decision == "throttle":
        written["throttle"] = {"limit": chance.randint(1, 2), "per": "1m", "over": chance.choice(["reject", "hold"])}
    if decision == "allow_with_constraints" or (decision == "require_approval" and chance.random() < 0.3):
        written["constraints"] = {"max_runtime_s": chance.randint(1, 3)}
    if decision == "require_approval":
        written["approvers"] = {"roles": [chance.choice(["r", "s"])]}
    if decision in ("deny", "require_approval") and chance.random() < 0.5:
        change = chance.choice([{"topic": _topic(chance)}, {"capability": "x"}, {"labels": {"k": "x"}}])
        written["remediations"] = [{"id": "safer", "title": "Safer", **change}]
    return written


def _match(chance: Random, often: float) -> dict[str, Any]:
    match: dict[str, Any] = {}
    if chance.random() < 0.7:
        match["topics"] = [_pattern(chance) for _ in range(chance.randint(1, 2))]
    for name in ("tenants", "capabilities", "risk_tags", "requires", "actors", "principals", "environments"):
        if chance.random() < often / 3:
            match[name] = _values(chance)
    if chance.random() < often * 2:
        match["labels"] = {key: _values(chance) for key in chance.sample(["k", "env", "m"], chance.randint(1, 2))}
    if chance.random() < often / 3:
        match["mcp"] = {"servers": _values(chance)}
    if chance.random() < often / 2:
        match["secrets_present"] = chance.random() < 0.5
    if chance.random() < often / 2:
        match["pii_present"] = chance.random() < 0.5
    if chance.random() < often / 3:
        match["secrets"] = _values(chance)
    return match


def _pattern(chance: Random) -> str:
    return chance.choice(["job.a", "job.b", "job.*", "job.>", "job.a.>", "job.*.a", "*.a", ">"])


def _topic(chance: Random) -> str:
    return chance.choice(["job.a", "job.b", "job.c", "job.a.a", "job.b.a", "job.a.b.c", "x.a"])


def _values(chance: Random) -> list[str]:
    return chance.sample(["x", "y", "z"], chance.randint(1, 2))


def _job(chance: Random) -> Job:
    names = ["x", "y", "z", "w"]
    principals = tuple(chance.sample(names, chance.randint(0, 2)))
    return job(
        identity=Identity(
            Tenant(chance.choice(names)), ActorId(chance.choice(names)), chance.choice(names), principals
        ),
        secrets_present=chance.random() < 0.5,
        pii_present=chance.random() < 0.5,
        secrets=chance.sample(names, chance.randint(0, 2)),
        topic=_topic(chance),
        payload={"n": chance.randint(0, 3)},
        labels={key: chance.choice(names) for key in ["k", "env", "m", "mcp.server"] if chance.random() < 0.7},
        capability=chance.choice([None, *names]),
        risk_tags=chance.sample(names, chance.randint(0, 3)),
        requires=chance.sample(names, chance.randint(0, 3)),
    )


def _output_rule(number: int, chance: Random) -> dict[str, Any]:
    match: dict[str, Any] = {}
    for name, values in (
        ("categories", ["secret", "pii", "private_key"]),
        ("detectors", ["email", "iban"]),
        ("severities", ["low", "high"]),
        ("classifications", ["x", "y"]),
    ):
        if chance.random() < 0.35:
            match[name] = chance.sample(values, chance.randint(1, 2))
    if chance.random() < 0.3:
        match["topics"] = [_pattern(chance)]
    if chance.random() < 0.2:
        match["labels"] = {"k": _values(chance)}
    verdict = chance.choice(["quarantine", "redact", "allow"])
    return {"id": f"o{number}", "verdict": verdict, "reason": "a reason", "match": match}


def _facts(chance: Random) -> OutputFacts:
    found = [
        (chance.choice(["email", "iban", "x"]), chance.choice(["secret", "pii", "private_key", "x"]), severity)
        for severity in chance.sample(["low", "high"], chance.randint(1, 2))
    ]
    return OutputFacts(
        tenant=Tenant("x"),
        topic=_topic(chance),
        labels={"k": chance.choice("xyzw")},
        classification=chance.choice([None, "x", "y"]),
        findings=tuple(found),
    )
