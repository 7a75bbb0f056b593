"""Tests of a bundle: what a case compares, and what of the rules the cases have seen."""

from __future__ import annotations

import pytest

from holdgate.bundles.errors import DocumentInvalid
from holdgate.bundles.testing import load_suite, run, run_suite, run_tests
from holdgate.kernel.errors import PolicyInvalid
from support.bundle_tests import bundle_of

RULES = """
rules:
  - id: hold-prod
    decision: require_approval
    reason: "a person looks"
    match: {topics: ["job.deploy.*"], labels: {env: prod}}
    approvers: {roles: [b-role, a-role], quorum: 2, expires: 4h, signed: true}
    remediations: [{id: go-to-test, title: "take test", labels: {env: test}}]
  - id: bound-deploys
    decision: allow_with_constraints
    reason: "within bounds"
    match: {topics: ["job.deploy.*"]}
    constraints: {max_runtime_s: 600, network: [b.internal, a.internal]}
  - id: limit-mail
    decision: throttle
    reason: "three a minute"
    match: {topics: ["job.mail"]}
    throttle: {limit: 3, per: 1m, key: [actor], over: hold}
    approvers: {names: [ann]}
  - id: allow-mail
    decision: allow
    reason: "mail is fine"
    match: {topics: ["job.mail"]}
  - id: deny-large
    decision: deny
    reason: "too large"
    match: {topics: ["job.pay"]}
    when: "job.payload.amount > 100"
output_rules:
  - id: redact-mail
    verdict: redact
    reason: "no addresses"
    match: {detectors: [email]}
"""
HELD = "{name: n, job: {topic: job.deploy.x, labels: {env: prod}}, expect: {verdict: require_approval, %s}}"
MAIL = "{name: n, job: {topic: job.mail}, expect: {verdict: throttle, %s}}"
FOUND = "{name: n, output: {topic: t, findings: [%s]}, expect: {verdict: %s}}"
EMAIL = "{category: pii, severity: low, detector: email}"


@pytest.mark.parametrize(
    "case",
    [
        HELD % "rules: [hold-prod], matching: [bound-deploys, hold-prod], reason: a person looks",
        HELD % "approvers: {roles: [a-role, b-role], names: [], quorum: 2, expires: 4h, signed: true}",
        HELD % "approvers: [{rule: hold-prod, quorum: 2}], remediations: [go-to-test], throttle: []",
        HELD % "constraints: {max_runtime_s: 600}",
        HELD % "constraints: {max_runtime_s: 600, network: [a.internal, b.internal], env: null, others: none}",
        MAIL % "within: allow, throttle: {limit: 3, per: 60s, key: [actor, tenant], over: hold}",
        MAIL % "approvers: {names: [ann], roles: []}, constraints: {others: none}",
        "{name: n, job: {topic: job.pay, payload: {amount: 101}}, expect: {verdict: deny, rules: [deny-large]}}",
        "{name: n, job: {topic: job.pay, payload: {amount: 1}}, expect: {verdict: deny, rules: []}}",
        "{name: n, job: {topic: job.pay}, expect: {verdict: deny, rules: [deny-large], errors: true}}",
        "{name: n, job: {topic: job.pay}, expect: {verdict: deny, errors: deny-large}}",
        FOUND % (EMAIL, "redact, rules: [redact-mail], findings: [redact], reason: no addresses"),
        FOUND % ("", "allow, rules: [], reason: nothing found"),
    ],
)
def test_a_case_that_says_what_is_decided_passes(case: str) -> None:
    report = run_tests(bundle_of(RULES, f"cases:\n  - {case}"))
    assert [result.problems for result in report.results] == [()]
    assert report.passed


CAREFUL = """
rules:
  - id: hold-wipes
    decision: require_approval
    reason: "a person looks"
    severity: critical
    match: {topics: ["job.wipe"]}
    approvers:
      {roles: [a-role], expires: 4h, escalate_after: 1h, escalate_to: {roles: [c-role, b-role], names: [ann]},
       not_author: true, break_glass: false, read_for: 30s, confirm: wipe it}
  - id: hold-reads
    decision: require_approval
    reason: "a person looks"
    match: {topics: ["job.read"]}
    approvers: {roles: [a-role], expires: 4h, escalate_after: 1h, grants: true}
"""
WIPE = "{name: n, job: {topic: job.wipe}, expect: {verdict: require_approval, approvers: {%s}}}"
READ = "{name: n, job: {topic: job.read}, expect: {verdict: require_approval, approvers: {%s}}}"
SAID: list[tuple[str, str, str]] = [
    # (the case, what is so, what is not)
    (WIPE, "severity: critical", "severity: high"),
    (WIPE, "escalate_to: {roles: [b-role, c-role], names: [ann]}", "escalate_to: {names: [ann, bob]}"),
    (WIPE, "escalate_to: {roles: [c-role, b-role]}", "escalate_to: {roles: [b-role]}"),
    (WIPE, "not_author: true", "not_author: false"),
    (WIPE, "bulk: false", "bulk: true"),
    (WIPE, "break_glass: false", "break_glass: true"),
    (WIPE, "read_for: 30s", "read_for: 1m"),
    (WIPE, "confirm: wipe it", "confirm: wipe"),
    (READ, "escalate_to: {roles: [escalation], names: []}", "escalate_to: {roles: []}"),
    (READ, "severity: medium", "severity: low"),
    (READ, "bulk: true, grants: true, not_author: false, break_glass: true", "grants: false"),
    (READ, "quorum: 1", "read_for: 30s"),
    (READ, "quorum: 1", "confirm: anything"),
]


@pytest.mark.parametrize(("case", "so", "not_so"), SAID, ids=[item[2] for item in SAID])
def test_a_case_says_with_how_much_care_a_job_is_released(case: str, so: str, not_so: str) -> None:
    assert run_tests(bundle_of(CAREFUL, f"cases:\n  - {case % so}")).passed
    report = run_tests(bundle_of(CAREFUL, f"cases:\n  - {case % not_so}"))
    (problem,) = [problem for result in report.results for problem in result.problems]
    assert problem.startswith(f"approvers.{not_so.partition(':')[0]}")


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        (HELD % "rules: []", "rules: expected none, got `hold-prod`"),
        (HELD % "rules: [hold-prod, bound-deploys]", "rules: expected `bound-deploys`, `hold-prod`, got `hold-prod`"),
        (HELD % "matching: [hold-prod]", "matching: expected `hold-prod`, got `bound-deploys`, `hold-prod`"),
        (HELD % "reason: other", "reason: expected `other`, got `a person looks`"),
        (HELD % "within: allow", "within: expected `allow`, got none"),
        (HELD % "remediations: []", "remediations: expected none, got `go-to-test`"),
        (HELD % "constraints: {max_runtime_s: 60}", "constraints.max_runtime_s: expected `60`, got `600`"),
        (HELD % "constraints: {env: []}", "constraints.env: expected an empty list, got not set"),
        (
            HELD % "constraints: {network: null}",
            "constraints.network: expected not set, got `a.internal`, `b.internal`",
        ),
        (
            HELD % "constraints: {max_runtime_s: 600, others: none}",
            "constraints.network: expected not set, got `a.internal`, `b.internal`",
        ),
        (HELD % "approvers: []", "approvers: expected of 0 rules, got of `hold-prod`"),
        (HELD % "approvers: {quorum: 1}", "approvers.quorum of `hold-prod`: expected `1`, got `2`"),
        (
            HELD % "approvers: {roles: [a-role]}",
            "approvers.roles of `hold-prod`: expected `a-role`, got `a-role`, `b-role`",
        ),
        (HELD % "approvers: {expires: 5h}", "approvers.expires of `hold-prod`: expected `18000 s`, got `14400 s`"),
        (HELD % "approvers: {signed: false}", "approvers.signed of `hold-prod`: expected `false`, got `true`"),
        (HELD % "approvers: {rule: other}", "approvers: expected of `other`, got of `hold-prod`"),
        (HELD % "throttle: {limit: 1}", "throttle: expected of 1 rules, got of none"),
        (MAIL % "throttle: {limit: 4}", "throttle.limit of `limit-mail`: expected `4`, got `3`"),
        (MAIL % "throttle: {per: 2m}", "throttle.per of `limit-mail`: expected `120 s`, got `60 s`"),
        (MAIL % "throttle: {key: [tenant]}", "throttle.key of `limit-mail`: expected `tenant`, got `actor`, `tenant`"),
        (MAIL % "throttle: {over: delay}", "throttle.over of `limit-mail`: expected `delay`, got `hold`"),
        (HELD % "errors: true", "errors: expected one, got none"),
        (
            "{name: n, job: {topic: job.pay}, expect: {verdict: deny}}",
            "errors: expected none, got deny-large: `when` failed: it cannot be evaluated",
        ),
        (
            "{name: n, job: {topic: job.pay}, expect: {verdict: deny, errors: budget}}",
            "errors: expected one with `budget`, got deny-large: `when` failed: it cannot be evaluated",
        ),
        (
            "{name: n, job: {topic: job.mail}, expect: {verdict: deny}}",
            "verdict: expected `deny`, got `throttle`; deciding rules `limit-mail`: three a minute",
        ),
        (
            "{name: n, job: {topic: job.other}, expect: {verdict: allow}}",
            "verdict: expected `allow`, got `deny`; no rule decides: no rule allows this",
        ),
        (FOUND % (EMAIL, "allow"), "verdict: expected `allow`, got `redact`; rules `redact-mail`: no addresses"),
        (FOUND % (EMAIL, "redact, rules: []"), "rules: expected none, got `redact-mail`"),
        (FOUND % (EMAIL, "redact, findings: [allow]"), "findings: expected `allow`, got `redact`"),
        (FOUND % (EMAIL, "redact, reason: other"), "reason: expected `other`, got `no addresses`"),
    ],
)
def test_a_case_that_says_something_else_fails_in_words(case: str, problem: str) -> None:
    report = run_tests(bundle_of(RULES, f"cases:\n  - {case}"))
    (result,) = report.failed
    assert (result.file, result.name, result.line, result.problems) == ("tests.yaml", "n", 2, (problem,))
    assert not report.passed


def test_the_time_of_a_case_is_what_a_rule_sees_as_now() -> None:
    rules = """
rules:
  - id: allow-later
    decision: allow
    reason: r
    when: 'now > timestamp("2026-06-01T00:00:00Z")'
"""
    tests = """
now: "2026-01-01T00:00:00Z"
cases:
  - {name: before, job: {topic: t}, expect: {verdict: deny}}
  - {name: after, now: "2026-07-01T00:00:00Z", job: {topic: t}, expect: {verdict: allow}}
"""
    assert run_tests(bundle_of(rules, tests)).failed == ()


def test_several_approvals_and_throttles_are_told_apart_by_their_rules() -> None:
    rules = """
rules:
  - {id: h1, decision: require_approval, reason: r, approvers: {roles: [one]}}
  - {id: h2, decision: require_approval, reason: r, approvers: {roles: [two]}}
"""
    expect = "{verdict: require_approval, approvers: [{rule: h2, roles: [two]}, {rule: h1, roles: [%s]}]}"
    case = "cases:\n  - {name: n, job: {topic: t}, expect: " + expect + "}"
    assert run_tests(bundle_of(rules, case % "one")).passed
    (failed,) = run_tests(bundle_of(rules, case % "two")).failed
    assert failed.problems == ("approvers.roles of `h1`: expected `two`, got `one`",)


def test_all_files_run_in_their_order_and_a_filter_takes_names() -> None:
    first, second = (f"cases:\n  - {{name: {name}, job: {{topic: t}}, expect: {{verdict: deny}}}}" for name in "ab")
    file = bundle_of(RULES, first, second)
    assert [(r.file, r.name) for r in run_tests(file).results] == [("tests.yaml", "a"), ("tests1.yaml", "b")]
    assert [result.name for result in run_tests(file, only="b*").results] == ["b"]
    assert run_tests(file, only="c*").results == ()


def test_rules_or_tests_that_do_not_load_stop_everything() -> None:
    good = "cases:\n  - {name: a, job: {topic: t}, expect: {verdict: deny}}"
    with pytest.raises(PolicyInvalid, match=r"rules.yaml:1"):
        run_tests(bundle_of("rules: 1", good))
    with pytest.raises(DocumentInvalid, match=r"tests1.yaml:1: cases: empty"):
        run_tests(bundle_of(RULES, good, "cases: []"))


def test_more_looks_than_are_done_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six rules and one case are six looks."""
    file = bundle_of(RULES, "cases:\n  - {name: a, job: {topic: t}, expect: {verdict: deny}}")
    monkeypatch.setattr(run, "LOOKS_MAX", 6)
    assert load_suite(file).cases
    monkeypatch.setattr(run, "LOOKS_MAX", 5)
    with pytest.raises(DocumentInvalid, match="too many cases for so many rules"):
        load_suite(file)


COVERED = """
rules:
  - id: allow
    decision: allow
    reason: r
    match: {topics: ["job.a", "job.b"], capabilities: [c], labels: {env: [dev, test], team: x}, mcp: {tools: [t]}}
    not: {risk_tags: [bad]}
    when: "job.payload.ok"
  - {id: deny-all, decision: deny, reason: r, match: {topics: [job.c]}}
output_rules:
  - id: out
    verdict: redact
    reason: r
    match: {topics: [job.a], labels: {env: dev}, categories: [pii], severities: [high]}
"""
GIVEN = """
given: {topic: job.a, capability: c, labels: {env: dev, team: x, mcp.tool: t}, payload: {ok: true}}
cases:
"""


@pytest.mark.parametrize(
    ("job", "seen"),
    [
        (
            "{}",
            {
                "topics": "+",
                "capabilities": "+",
                "labels.env": "+",
                "labels.team": "+",
                "mcp.tools": "+",
                "not": "-",
                "when": "+",
            },
        ),
        ("{topic: job.x}", {"topics": "-"}),
        ("{capability: d}", {"topics": "+", "capabilities": "-"}),
        ("{labels: {env: prod}}", {"topics": "+", "capabilities": "+", "labels.env": "-"}),
        ("{labels: {team: y}}", {"topics": "+", "capabilities": "+", "labels.env": "+", "labels.team": "-"}),
        (
            "{risk_tags: [bad]}",
            {"topics": "+", "capabilities": "+", "labels.env": "+", "labels.team": "+", "mcp.tools": "+", "not": "+"},
        ),
        (
            "{payload: {ok: false}}",
            {
                "topics": "+",
                "capabilities": "+",
                "labels.env": "+",
                "labels.team": "+",
                "mcp.tools": "+",
                "not": "-",
                "when": "-",
            },
        ),
        (
            "{payload: {ok: 1}}",
            {"topics": "+", "capabilities": "+", "labels.env": "+", "labels.team": "+", "mcp.tools": "+", "not": "-"},
        ),
    ],
)
def test_a_condition_is_seen_only_where_all_before_it_held(job: str, seen: dict[str, str]) -> None:
    """`+` held, `-` did not. A `when` that has no answer was seen neither way."""
    case = f"  - {{name: n, job: {job}, expect: {{verdict: allow}}}}"
    rule = run_tests(bundle_of(COVERED, GIVEN + case)).coverage.rules[0]
    assert {item.name: "+" if item.held else "-" for item in rule.conditions if item.held or item.failed} == seen
    assert not any(item.covered for item in rule.conditions)


def test_a_rule_is_covered_by_a_case_in_which_it_counts() -> None:
    report = run_tests(bundle_of(COVERED, GIVEN + "  - {name: n, job: {}, expect: {verdict: allow}}"))
    assert [(rule.id, rule.counted, rule.covered) for rule in report.coverage.rules] == [
        ("allow", 1, True),
        ("deny-all", 0, False),
        ("out", 0, False),
    ]
    assert report.coverage.as_dict()["rules"] == {"total": 3, "covered": 1, "percent": 33.3}
    assert report.coverage.as_dict()["conditions"] == {"total": 12, "covered": 0, "percent": 0.0}


def test_of_a_first_applicable_bundle_only_the_rules_that_count_are_covered() -> None:
    rules = """
combining: first-applicable
rules:
  - {id: first, decision: allow, reason: r, match: {topics: [job.a]}}
  - {id: second, decision: deny, reason: r, match: {topics: [job.a, job.b]}}
"""
    tests = "cases:\n  - {name: n, job: {topic: job.a}, expect: {verdict: allow}}"
    coverage = run_tests(bundle_of(rules, tests)).coverage
    assert [rule.covered for rule in coverage.rules] == [True, False]


@pytest.mark.parametrize(
    ("output", "seen"),
    [
        ("{topic: job.b, findings: [%s]}", {"topics": "-"}),
        ("{findings: [%s]}", {"topics": "+", "categories": "+", "severities": "+", "labels.env": "+"}),
        (
            "{labels: {env: x}, findings: [%s]}",
            {"topics": "+", "categories": "+", "severities": "+", "labels.env": "-"},
        ),
        ("{findings: [{category: secret, severity: high, detector: d}]}", {"topics": "+", "categories": "-"}),
        ("{findings: []}", {}),
    ],
)
def test_conditions_of_an_output_rule_are_looked_at_for_each_finding(output: str, seen: dict[str, str]) -> None:
    said = output.replace("%s", "{category: pii, severity: high, detector: d}")
    case = f"  - {{name: n, output: {said}, expect: {{verdict: redact}}}}"
    rule = run_tests(bundle_of(COVERED, GIVEN + case)).coverage.rules[2]
    assert {item.name: "+" if item.held else "-" for item in rule.conditions if item.held or item.failed} == seen
    assert rule.covered is (set(seen.values()) == {"+"})


def test_a_condition_seen_both_ways_is_covered_and_a_bundle_without_conditions_is_whole() -> None:
    tests = GIVEN + "  - {name: n, expect: {verdict: allow}, each: [{job: {}}, {job: {topic: job.x}}]}"
    assert [item.name for item in run_tests(bundle_of(COVERED, tests)).coverage.conditions if item.covered] == [
        "topics"
    ]
    bare = run_suite(load_suite(bundle_of("rules: [{id: a, decision: allow, reason: r}]")))
    assert (bare.coverage.rules_percent, bare.coverage.conditions_percent, bare.results) == (0.0, 100.0, ())
