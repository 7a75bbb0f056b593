"""How rules combine: which verdict wins, what comes with it, and what a decision says about itself."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.kernel.errors import PolicyInvalid
from holdgate.kernel.evaluate import ALLOWED_BY_DEFAULT, NO_RULE
from holdgate.kernel.ids import ActorId, Tenant
from holdgate.kernel.jobform import Identity
from holdgate.kernel.records import Constraints, Decision, Over, Phase, Verdict
from support.policies import NOW_MS, SNAPSHOT, decide, explain, job, policy, policy_of, rule

ELSEWHERE = {"match": {"topics": ["job.elsewhere"]}}

COMBINATIONS: list[tuple[list[str], str, str | None]] = [
    # (decisions of the matching rules, verdict, what holds within a throttle)
    ([], "deny", None),
    (["allow"], "allow", None),
    (["allow", "allow"], "allow", None),
    (["allow_with_constraints"], "allow_with_constraints", None),
    (["allow", "allow_with_constraints"], "allow_with_constraints", None),
    (["require_approval"], "require_approval", None),
    (["require_approval", "allow"], "require_approval", None),
    (["require_approval", "allow_with_constraints"], "require_approval", None),
    (["deny"], "deny", None),
    (["deny", "allow"], "deny", None),
    (["deny", "require_approval"], "deny", None),
    (["deny", "throttle"], "deny", None),
    (["deny", "allow", "allow_with_constraints", "throttle", "require_approval"], "deny", None),
    (["throttle"], "deny", None),
    (["throttle", "throttle"], "deny", None),
    (["throttle", "allow"], "throttle", "allow"),
    (["throttle", "allow_with_constraints"], "throttle", "allow_with_constraints"),
    (["throttle", "allow", "allow_with_constraints"], "throttle", "allow_with_constraints"),
    (["throttle", "require_approval"], "require_approval", None),
    (["throttle", "require_approval", "allow"], "require_approval", None),
]


def rules_of(decisions: list[str]) -> list[dict[str, Any]]:
    return [rule(f"r{number}", decision) for number, decision in enumerate(decisions)]


@pytest.mark.parametrize(("decisions", "verdict", "within"), COMBINATIONS)
def test_the_strictest_matching_rule_wins(decisions: list[str], verdict: str, within: str | None) -> None:
    for written in (rules_of(decisions), rules_of(decisions)[::-1]):
        decision = decide(policy(*written, rule("away", "deny", **ELSEWHERE)), job())
        assert decision.verdict == verdict
        assert decision.within == within
        assert set(decision.rules) == {item["id"] for item in written}


@pytest.mark.parametrize(("decisions", "verdict", "within"), COMBINATIONS)
def test_over_bundles_the_strictest_wins_too(decisions: list[str], verdict: str, within: str | None) -> None:
    bundles = {f"b{item['id']}": ("deny-overrides", [item]) for item in rules_of(decisions)}
    decision = decide(policy_of({**bundles, "empty": ("deny-overrides", [])}), job())
    assert (decision.verdict, decision.within) == (verdict, within)


def test_no_rule_that_matches_is_a_denial_whatever_a_bundle_says() -> None:
    decision = decide(policy(rule("away", "allow", **ELSEWHERE)), job())
    assert (decision.verdict, decision.reason, decision.rules, decision.deciding) == (Verdict.DENY, NO_RULE, (), ())


def test_a_throttle_alone_allows_nothing() -> None:
    decision = decide(policy(rule("slow", "throttle")), job())
    assert (decision.verdict, decision.reason) == (Verdict.DENY, NO_RULE)
    assert (decision.rules, decision.deciding, decision.throttles) == (("slow",), (), ())


def test_the_default_of_the_root_holds_where_no_rule_matches() -> None:
    decision = decide(policy(default=Verdict.ALLOW), job())
    assert (decision.verdict, decision.reason) == (Verdict.ALLOW, ALLOWED_BY_DEFAULT)
    throttled = decide(policy(rule("slow", "throttle"), default=Verdict.ALLOW), job())
    assert (throttled.verdict, throttled.within) == (Verdict.THROTTLE, Verdict.ALLOW)


def test_deciding_rules_come_first_and_give_the_reason() -> None:
    written = [rule("a-allow"), rule("z-deny", "deny"), rule("b-deny", "deny"), rule("c-hold", "require_approval")]
    decision = decide(policy(*written), job())
    assert decision.rules == ("b-deny", "z-deny", "c-hold", "a-allow")
    assert decision.deciding == ("b-deny", "z-deny")
    assert decision.reason == "because of b-deny"


FIRST: list[tuple[list[str], str, list[str]]] = [
    (["allow", "deny"], "allow", ["r0"]),
    (["deny", "allow"], "deny", ["r0"]),
    (["allow_with_constraints", "deny", "allow"], "allow_with_constraints", ["r0"]),
    (["require_approval", "deny"], "require_approval", ["r0"]),
    (["throttle", "allow"], "deny", ["r0"]),
]


@pytest.mark.parametrize(("decisions", "verdict", "rules"), FIRST)
def test_first_applicable_counts_only_the_first_that_matches(
    decisions: list[str], verdict: str, rules: list[str]
) -> None:
    written = [rule("away", "deny", **ELSEWHERE), *rules_of(decisions)]
    decision = decide(policy(*written, combining="first-applicable"), job())
    assert decision.verdict == verdict
    assert list(decision.rules) == rules


def test_a_first_applicable_bundle_cannot_loosen_another_bundle() -> None:
    bundles = {
        "first": ("first-applicable", [rule("let"), rule("never-reached", "deny")]),
        "other": ("deny-overrides", [rule("no", "deny")]),
    }
    decision = decide(policy_of(bundles), job())
    assert decision.verdict is Verdict.DENY
    assert decision.rules == ("no", "let")


def test_two_first_applicable_bundles_count_one_rule_each() -> None:
    bundles = {
        "one": ("first-applicable", [rule("a1"), rule("a2", "deny")]),
        "two": ("first-applicable", [rule("b1", "require_approval"), rule("b2", "deny")]),
    }
    decision = decide(policy_of(bundles), job())
    assert (decision.verdict, decision.rules) == (Verdict.REQUIRE_APPROVAL, ("b1", "a1"))


def test_in_first_applicable_a_false_condition_gives_way_to_the_next_rule() -> None:
    written = [rule("first", "deny", when='job.topic == "x"'), rule("second")]
    assert decide(policy(*written, combining="first-applicable"), job()).rules == ("second",)


CONSTRAINTS: list[tuple[list[dict[str, Any]], Constraints]] = [
    ([{"max_runtime_s": 60}], Constraints(max_runtime_s=60)),
    ([{"max_runtime_s": 60}, {"max_runtime_s": 30}], Constraints(max_runtime_s=30)),
    (
        [{"max_runtime_s": 60, "max_attempts": 2}, {"max_output_bytes": 10, "max_attempts": 5}],
        Constraints(max_runtime_s=60, max_output_bytes=10, max_attempts=2),
    ),
    ([{"max_concurrency": 4}, {"max_concurrency": 1}, {"max_concurrency": 2}], Constraints(max_concurrency=1)),
    ([{"network": ["a", "b"]}, {"network": ["b", "c"]}], Constraints(network=("b",))),
    ([{"network": ["a"]}, {"network": ["b"]}], Constraints(network=())),
    ([{"network": []}, {"network": ["b"]}], Constraints(network=())),
    ([{"network": ["b", "a", "b"]}, {"max_attempts": 1}], Constraints(network=("a", "b"), max_attempts=1)),
    ([{"paths": ["/etc"]}, {"paths": ["/root"]}], Constraints(paths=("/etc", "/root"))),
    ([{"env": ["HOME", "PATH"]}, {"env": ["PATH"]}], Constraints(env=("PATH",))),
]


@pytest.mark.parametrize(("written", "expected"), CONSTRAINTS)
def test_constraints_merge_to_the_tightest(written: list[dict[str, Any]], expected: Constraints) -> None:
    rules = [rule(f"r{n}", "allow_with_constraints", constraints=item) for n, item in enumerate(written)]
    assert decide(policy(*rules), job()).constraints == expected
    assert decide(policy(*rules[::-1], rule("plain")), job()).constraints == expected


def test_constraints_of_a_hold_and_a_throttle_count_and_a_denial_has_none() -> None:
    allowing = rule("allow", "allow_with_constraints", constraints={"max_runtime_s": 60})
    slow = rule("slow", "throttle", constraints={"max_runtime_s": 20})
    holding = rule("hold", "require_approval", constraints={"max_runtime_s": 10})
    assert decide(policy(allowing, slow), job()).constraints == Constraints(max_runtime_s=20)
    assert decide(policy(allowing, slow, holding), job()).constraints == Constraints(max_runtime_s=10)
    assert decide(policy(allowing, slow, holding, rule("no", "deny")), job()).constraints == Constraints()


def test_remediations_are_those_of_the_deciding_rules() -> None:
    safer = {"id": "read-only", "title": "only read", "topic": "job.demo.list", "labels": {"mode": "ro"}}
    other = {"id": "other", "title": "other", "capability": "demo.list"}
    twin = {"id": "read-only", "title": "the same id in a later rule", "capability": "x"}
    decision = decide(
        policy(
            rule("a", "deny", remediations=[safer]),
            rule("b", "deny", remediations=[other, twin]),
            rule("c", "require_approval", remediations=[{"id": "no", "title": "not deciding", "capability": "y"}]),
        ),
        job(),
    )
    assert [item.as_dict() for item in decision.remediations] == [safer, other]


def test_each_deciding_hold_gives_a_requirement() -> None:
    written = [
        rule("a", "require_approval", approvers={"roles": ["release-manager"], "quorum": 2, "expires": "4h"}),
        rule("b", "require_approval", approvers={"names": ["dana"], "escalate_after": "2h", "signed": True}),
        rule("c", "require_approval"),
        rule("d"),
    ]
    first, second, third = decide(policy(*written), job()).approvals
    assert (first.rule, first.roles, first.names, first.quorum) == ("a", ("release-manager",), (), 2)
    assert (first.expires_s, first.escalate_after_s, first.signed) == (4 * 3600, None, False)
    assert (second.rule, second.roles, second.names, second.quorum) == ("b", (), ("dana",), 1)
    assert (second.expires_s, second.escalate_after_s, second.signed) == (24 * 3600, 2 * 3600, True)
    assert (third.rule, third.roles, third.reason) == ("c", ("approver",), "because of c")


def test_a_denial_asks_nobody_and_counts_nothing() -> None:
    decision = decide(policy(rule("a", "require_approval"), rule("b", "throttle"), rule("c", "deny")), job())
    assert (decision.approvals, decision.throttles) == ((), ())


def test_throttles_say_what_to_count_and_what_then() -> None:
    written = rule(
        "slow", "throttle", throttle={"limit": 50, "per": "1h", "key": ["tenant", "actor", "topic"], "over": "delay"}
    )
    (throttle,) = decide(policy(written, rule("allow")), job()).throttles
    assert (throttle.rule, throttle.limit, throttle.per_s, throttle.over) == ("slow", 50, 3600, Over.DELAY)
    assert throttle.bucket.startswith("slow:")


def test_throttles_are_listed_under_a_hold_as_well() -> None:
    decision = decide(policy(rule("slow", "throttle"), rule("hold", "require_approval")), job())
    assert decision.verdict is Verdict.REQUIRE_APPROVAL
    assert [item.rule for item in decision.throttles] == ["slow"]


def test_a_throttle_that_holds_says_who_releases() -> None:
    written = rule(
        "slow",
        "throttle",
        throttle={"limit": 1, "per": "1m", "key": ["tenant"], "over": "hold"},
        approvers={"roles": ["operator"]},
    )
    decision = decide(policy(written, rule("allow")), job())
    assert [item.roles for item in decision.approvals] == [("operator",)]


BUCKETS: list[tuple[list[str], dict[str, Any], dict[str, Any], bool]] = [
    # (key, job, another job, whether they share a bucket)
    (["tenant"], {}, {"topic": "job.other"}, True),
    (["tenant", "topic"], {}, {"topic": "job.other"}, False),
    (["tenant", "capability"], {"capability": "a"}, {"capability": "b"}, False),
    (["tenant", "capability"], {"capability": "a"}, {}, False),
    (["tenant", "actor"], {}, {"identity": Identity(Tenant("default"), ActorId("agent-2"))}, False),
    (["tenant", "actor"], {}, {"topic": "job.other"}, True),
    (["actor"], {}, {"identity": Identity(Tenant("other"), ActorId("agent-1"))}, False),
    ([], {}, {"identity": Identity(Tenant("other"), ActorId("agent-1"))}, False),
]


@pytest.mark.parametrize(("key", "one", "other", "shared"), BUCKETS)
def test_a_bucket_is_for_the_values_of_its_key_and_never_for_two_tenants(
    key: list[str], one: dict[str, Any], other: dict[str, Any], *, shared: bool
) -> None:
    active = policy(rule("slow", "throttle", throttle={"limit": 1, "per": "1m", "key": key}), rule("allow"))
    buckets = {decide(active, job(**asked)).throttles[0].bucket for asked in (one, other)}
    assert len(buckets) == (1 if shared else 2)


def test_two_rules_never_share_a_bucket() -> None:
    decision = decide(policy(rule("a", "throttle"), rule("b", "throttle"), rule("allow")), job())
    assert len({item.bucket for item in decision.throttles}) == 2


CACHEABLE: list[tuple[list[dict[str, Any]], bool]] = [
    ([rule()], True),
    ([], True),
    ([rule(when='job.topic == "job.demo.read"')], True),
    ([rule(when='now > timestamp("2020-01-01T00:00:00Z")')], False),
    ([rule(), rule("late", "deny", when='now > timestamp("2030-01-01T00:00:00Z")')], False),
    ([rule(), rule("late", "deny", when='now > timestamp("2030-01-01T00:00:00Z")', **ELSEWHERE)], True),
    ([rule(), rule("slow", "throttle")], False),
    ([rule("slow", "throttle", **ELSEWHERE), rule()], True),
    ([rule("slow", "throttle"), rule("no", "deny")], True),
    ([rule(), rule("broken", "deny", when="job.payload.a > 1")], False),
]


@pytest.mark.parametrize(("rules", "cacheable"), CACHEABLE)
def test_what_depends_on_time_rates_or_an_error_is_not_cached(rules: list[dict[str, Any]], *, cacheable: bool) -> None:
    assert decide(policy(*rules), job()).cacheable is cacheable


def test_a_decision_says_what_it_was_made_by_and_for() -> None:
    asked = job()
    decision = decide(policy(rule()), asked, now_ms=NOW_MS + 5, phase=Phase.DISPATCH)
    assert (decision.snapshot, decision.job_hash, decision.phase) == (SNAPSHOT, asked.job_hash(), Phase.DISPATCH)
    assert decision.decided_ms == NOW_MS + 5
    assert decision.trace is None
    assert Decision.from_dict(decision.as_dict()) == decision


def test_explain_says_of_every_rule_whether_it_counted_and_which_field_failed() -> None:
    written = [
        rule("first", when="job.payload.n > 1"),
        rule("second", "deny"),
        rule("third", "deny", match={"actors": ["other"]}),
        rule("fourth", "deny", match={"not": {"topics": ["job.>"]}}),
        rule("fifth", "deny", when='job.topic == "x"'),
        rule("sixth", "deny", when="job.payload.missing > 1"),
    ]
    decision = explain(policy(*written, combining="first-applicable"), job(payload={"n": 2}))
    assert decision.trace is not None
    steps = {step["id"]: step for step in decision.trace}
    assert decision.rules == ("first",)
    assert [name for name, step in steps.items() if step["matched"]] == ["first"]
    assert {name: step.get("failed") for name, step in steps.items()} == {
        "first": None,
        "second": "first-applicable",
        "third": "actors",
        "fourth": "not",
        "fifth": "when",
        "sixth": "first-applicable",
    }
    assert steps["sixth"]["error"] == "`when` failed: `missing` is not there"
    assert Decision.from_dict(decision.as_dict()) == decision


def test_explain_does_not_tell_of_the_rules_of_other_tenants() -> None:
    decision = explain(
        policy(rule("ours", match={"tenants": ["default"]}), rule("theirs", match={"tenants": ["x"]})), job()
    )
    assert decision.trace is not None
    assert [step["id"] for step in decision.trace] == ["ours"]


def test_explain_tells_of_so_many_rules_and_no_more_and_of_those_that_count_first() -> None:
    written = [rule(f"a{number}", "deny", **ELSEWHERE) for number in range(1000)]
    theirs = [rule(f"b{number}", "deny", match={"tenants": ["other"]}) for number in range(5)]
    decision = explain(policy(*written, *theirs, rule("counts")), job())
    assert decision.trace is not None
    assert len(decision.trace) == 1001
    assert (decision.trace[0]["id"], decision.trace[0]["matched"]) == ("counts", True)
    assert decision.trace[-1] == {"left_out": 1}


def test_an_id_that_two_bundles_take_is_refused() -> None:
    with pytest.raises(PolicyInvalid, match="`same` is also taken in bundle `one`"):
        policy_of({"one": ("deny-overrides", [rule("same")]), "two": ("deny-overrides", [rule("same", "deny")])})


@pytest.mark.parametrize(
    ("written", "reads"),
    [
        (rule(), set()),
        (rule(match={"topics": ["a"]}), {"topic"}),
        (rule(match={"environments": ["prod"]}), {"labels.env"}),
        (rule(match={"labels": {"a": "b"}, "mcp": {"tools": ["x"]}}), {"labels.a", "labels.mcp.tool"}),
        (rule(match={"secrets_present": True}), {"secrets_present"}),
        (rule(match={"pii_present": False, "secrets": ["db"]}), {"pii_present", "secrets"}),
        (rule(match={"not": {"requires": ["a"], "tenants": ["a"]}}), {"requires", "tenant"}),
        (rule(when="job.payload.a == 1"), {"payload"}),
        (rule(when='"a" in principal || actor == "b"'), {"principals", "actor"}),
        (rule("t", "throttle"), {"tenant", "actor"}),
    ],
)
def test_a_policy_says_which_fields_it_reads(written: dict[str, Any], reads: set[str]) -> None:
    assert policy(written).reads == reads
