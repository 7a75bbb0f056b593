"""A widening is never missed, and an example is always true: random sets of rules, random jobs, the one evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdgate.bundles.diff import Diff, Direction, compare
from holdgate.bundles.diff.strictness import loosened
from holdgate.bundles.simulate import Measured, job_of_facts
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.output import STRICTNESS, OutputFacts, decide_output
from holdgate.kernel.policy import Policy, compile_policy
from holdgate.kernel.records import Phase, Verdict
from holdgate.kernel.ruleform import parse_rules
from holdgate.kernel.rules import BundleRules
from support.drawn import JOBS, PATTERNS, TOPICS, maybe, optional, pairs, some
from support.policies import NOW_MS, SNAPSHOT


def policy_of(bundles: list[BundleRules], default: Verdict) -> Policy:
    return compile_policy(bundles, snapshot=SNAPSHOT, default=default)


def is_looser(before: Policy, after: Policy, facts: Mapping[str, Any], measured: Measured) -> bool:
    job, at_ms = job_of_facts(facts, 1, NOW_MS, lambda _prompt, _payload: measured)
    was = evaluate(before, job, now_ms=at_ms, phase=Phase.SIMULATE)
    now = evaluate(after, job, now_ms=at_ms, phase=Phase.SIMULATE)
    return loosened(was, now, rules_of(before), rules_of(after)) != []


def rules_of(policy: Policy) -> dict[str, Any]:
    return {item.id: item for item in policy.rules}


def check_examples(diff: Diff, before: Policy, after: Policy) -> None:
    for change in diff.changes:
        assert (change.direction is Direction.WIDENS) <= (change.example is not None)
        if change.example is None or "facts" not in change.example:
            continue
        measured = Measured(*(bool(change.example.get(name)) for name in ("secrets_present", "pii_present")))
        if change.direction is Direction.WIDENS:
            assert is_looser(before, after, change.example["facts"], measured)
        else:
            assert change.direction is Direction.TIGHTENS
            assert is_looser(after, before, change.example["facts"], measured)


@given(sets=pairs(), jobs=st.lists(JOBS, min_size=10, max_size=25), default=st.sampled_from(["deny", "deny", "allow"]))
@settings(max_examples=120, deadline=None)
def test_no_job_may_do_more_unless_the_comparison_says_so(
    sets: tuple[list[BundleRules], list[BundleRules]], jobs: list[dict[str, Any]], default: str
) -> None:
    diff = compare(*sets, default=Verdict(default))
    before, after = (policy_of(bundles, Verdict(default)) for bundles in sets)
    check_examples(diff, before, after)
    if diff.widens:
        return
    for job in jobs:
        facts = {name: value for name, value in job.items() if name != "measured"}
        assert not is_looser(before, after, facts, job["measured"]), facts


OUTPUT_MATCH = maybe(
    categories=some(["secret", "pii", "toxic", "private_key"]),
    detectors=some(["email", "iban"]),
    severities=some(["high", "low"]),
    topics=some(PATTERNS),
    tenants=some(["default", "acme"]),
    classifications=some(["open", "closed"]),
)
OUTPUT_RULE = st.fixed_dictionaries(
    {"verdict": st.sampled_from(["allow", "redact", "quarantine"]), "match": OUTPUT_MATCH, "reason": st.just("so")}
)
FINDINGS = st.tuples(
    st.sampled_from(["email", "iban", "x"]),
    st.sampled_from(["secret", "pii", "toxic", "other", "private_key"]),
    st.sampled_from(["high", "low", "x"]),
)
OUTPUTS = st.builds(
    OutputFacts,
    tenant=st.sampled_from(["default", "acme"]),
    topic=st.sampled_from(TOPICS),
    labels=st.just({}),
    classification=optional(["open", "closed"]),
    findings=FINDINGS.map(lambda finding: (finding,)),
)


@given(st.lists(OUTPUT_RULE, max_size=4), st.data(), st.lists(OUTPUTS, min_size=10, max_size=25))
@settings(max_examples=100, deadline=None)
def test_no_output_gets_out_unless_the_comparison_says_so(
    written: list[dict[str, Any]], data: st.DataObject, outputs: list[OutputFacts]
) -> None:
    changed = [data.draw(OUTPUT_RULE) if data.draw(st.booleans()) else item for item in written]
    if data.draw(st.booleans()):
        changed = [*changed[:-1], data.draw(OUTPUT_RULE)]
    sets = [
        [parse_rules({"output_rules": [{"id": f"o{place}", **item} for place, item in enumerate(items)]}, "test")]
        for items in (written, changed)
    ]
    diff = compare(*sets)
    before, after = (policy_of(bundles, Verdict.DENY) for bundles in sets)
    for change in diff.changes:
        if change.example is not None:
            facts = OutputFacts.from_dict(change.example["output"])
            was, now = (STRICTNESS[decide_output(policy, facts, NOW_MS).verdict] for policy in (before, after))
            assert now < was if change.direction is Direction.WIDENS else now > was
    if not diff.widens:
        for facts in outputs:
            was, now = (STRICTNESS[decide_output(policy, facts, NOW_MS).verdict] for policy in (before, after))
            assert now >= was, facts
