"""Mutants: which there are, that each differs from its rule, and which of them cases notice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdgate.bundles.testing import Mutation, MutationReport, load_suite, mutation, run_suite
from holdgate.bundles.testing.fields import narrower, wider
from holdgate.bundles.testing.mutants import mutants
from holdgate.bundles.testing.run import Bench, Suite
from holdgate.bundles.testing.terms import looser_approval, looser_constraints
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, JobId, Tenant
from holdgate.kernel.jobform import Identity, job_from_form
from holdgate.kernel.match import Match
from holdgate.kernel.records import ApprovalRequirement, Constraints, Job
from holdgate.kernel.rules import BundleRules, OutputRule, Rule
from support.bundle_tests import bundle_of

ALLOWS = ["dropped", "decision `allow` turned into `deny`"]
DENIES = ["dropped", "decision `deny` turned into `allow`"]
HOLDS = [
    "dropped",
    "decision `require_approval` turned into `allow`",
    "approvers: one role more",
    "approvers: whoever is `approver`",
    "approvers: twice the time until it expires",
]
BOUNDS = [
    "dropped",
    "decision `allow_with_constraints` turned into `allow`",
    "decision `allow_with_constraints` turned into `deny`",
]
SLOWS = [
    "dropped",
    "decision `throttle` turned into `allow`",
    "throttle: limit raised to 6",
    "throttle: counted over 30 s",
    "throttle: counted for each `actor` by itself",
]


@pytest.mark.parametrize(
    ("decision", "rest", "changes"),
    [
        ("allow", "match: {topics: ['job.a']}", [*ALLOWS, "`topics` removed", "topic `job.a` widened to `job.>`"]),
        (
            "allow",
            "match: {topics: ['job.a', 'job.b']}",
            [*ALLOWS, "`topics` removed", "topic `job.a` widened to `job.>`"],
        ),
        ("allow", "match: {topics: ['job.a.*', 'job.>']}", [*ALLOWS, "`topics` removed"]),
        ("allow", "match: {topics: ['>']}", ALLOWS),
        ("allow", "match: {topics: ['job']}", [*ALLOWS, "`topics` removed"]),
        (
            "allow",
            "match: {capabilities: [a, b], requires: [x, y], labels: {env: dev, team: [p, q]}, mcp: {tools: [t]}}",
            [
                *ALLOWS,
                "`capabilities` removed",
                "`labels.env` removed",
                "`labels.team` removed",
                "`mcp.tools` removed",
                "`x` dropped from `requires`",
                "`y` dropped from `requires`",
            ],
        ),
        ("allow", "match: {secrets_present: false}", [*ALLOWS, "`secrets_present` removed"]),
        ("allow", "match: {pii_present: false}", [*ALLOWS, "`pii_present` removed"]),
        ("allow", "match: {environments: [a, b], labels: {env: [a]}}", [*ALLOWS, "`labels.env` removed"]),
        (
            "allow",
            "not: {risk_tags: [a, b], topics: ['job.>']}",
            [
                *ALLOWS,
                "`not` removed",
                "in `not`: topic `job.>` narrowed to `job.*`",
                "in `not`: `a` dropped from `risk_tags`",
                "in `not`: `b` dropped from `risk_tags`",
            ],
        ),
        ("allow", "when: 'job.payload.ok'", [*ALLOWS, "`when` removed", "`when` negated"]),
        ("deny", "match: {topics: ['job.a']}", DENIES),
        (
            "deny",
            "match: {topics: ['job.a', 'job.b.>', 'job.b.c']}",
            [
                *DENIES,
                "`job.a` dropped from `topics`",
                "`job.b.>` dropped from `topics`",
                "topic `job.b.>` narrowed to `job.b.*`",
            ],
        ),
        (
            "deny",
            "match: {labels: {env: [a, b], team: x}}",
            [*DENIES, *[f"`{v}` dropped from `labels.env`" for v in "ab"]],
        ),
        ("deny", "match: {risk_tags: [a, b]}", [*DENIES, *[f"`{value}` dropped from `risk_tags`" for value in "ab"]]),
        ("deny", "not: {capabilities: [a]}", DENIES),
        (
            "deny",
            "not: {capabilities: [a], labels: {env: dev}}",
            [*DENIES, "in `not`: `capabilities` removed", "in `not`: `labels.env` removed"],
        ),
        ("deny", "when: 'job.payload.ok'", [*DENIES, "`when` negated"]),
        (
            "deny",
            "when: '!(job.actor == \"5 < 6\" && job.payload.n <= 50)'",
            [
                *DENIES,
                "`when` negated",
                "in `when`: `50` turned into `51` (character 44)",
                "in `when`: `50` turned into `49` (character 44)",
                "in `when`: `50` turned into `500` (character 44)",
                "in `when`: `==` turned into `!=`, after `job.actor` (character 13)",
                "in `when`: `<=` turned into `<`, after `job.payload.n` (character 41)",
                'in `when`: `&&` turned into `||`, after `"5 < 6"` (character 24)',
                'in `when`: `job.actor == "5 < 6"` dropped (character 3)',
                "in `when`: `job.payload.n <= 50` dropped (character 27)",
            ],
        ),
        (
            "deny",
            "when: 'job.payload.n > 9223372036854775807'",
            [
                *DENIES,
                "`when` negated",
                "in `when`: `9223372036854775807` turned into `9223372036854775806` (character 17)",
                "in `when`: `>` turned into `>=`, after `job.payload.n` (character 15)",
            ],
        ),
        (
            "allow_with_constraints",
            "constraints: {max_output_bytes: 0}",
            [*BOUNDS, "constraint `max_output_bytes` removed", "constraint `max_output_bytes` raised from 0 to 1"],
        ),
        (
            "allow_with_constraints",
            "constraints: {network: [], paths: [/etc, /var]}",
            [
                *BOUNDS,
                "constraint `network` removed",
                "constraint `paths` removed",
                "one more in constraint `network`",
                "`/etc` dropped from constraint `paths`",
                "`/var` dropped from constraint `paths`",
            ],
        ),
        ("require_approval", "approvers: {roles: [a]}", HOLDS),
        ("require_approval", "", [change for change in HOLDS if "whoever" not in change]),
        (
            "require_approval",
            "approvers: {roles: [a], quorum: 2, signed: true}",
            [*HOLDS, "approvers: quorum lowered to 1", "approvers: no signature needed"],
        ),
        (
            "require_approval",
            (
                "approvers: {roles: [a], escalate_after: 1h, escalate_to: {roles: [b]}, not_author: true, bulk: false, "
                "break_glass: false, read_for: 30s, confirm: yes it is}"
            ),
            [
                *HOLDS,
                "approvers: escalated to one role more",
                "approvers: authors, too",
                "approvers: in bulk, too",
                "approvers: by breaking glass, too",
                "approvers: no time to read",
                "approvers: nothing to type",
            ],
        ),
        (
            "require_approval",
            "severity: critical\n    approvers: {roles: [a], escalate_after: 1h, grants: true}",
            [*HOLDS, "severity lowered to `medium`"],
        ),
        ("throttle", "throttle: {limit: 3, per: 1m}", [*SLOWS, "throttle: over the limit `delay` instead of `reject`"]),
        ("throttle", "throttle: {limit: 3, per: 1m, over: delay}", SLOWS),
        (
            "throttle",
            "throttle: {limit: 3, per: 1s, key: [actor, topic, capability], over: hold}",
            [
                "dropped",
                "decision `throttle` turned into `allow`",
                "throttle: limit raised to 6",
                "throttle: over the limit `delay` instead of `hold`",
                "approvers: one role more",
                "approvers: twice the time until it expires",
            ],
        ),
    ],
)
def test_every_rule_is_changed_so_that_it_allows_more_or_something_else(
    decision: str, rest: str, changes: list[str]
) -> None:
    made = list(mutants(rules_of(f"rules:\n  - id: r\n    decision: {decision}\n    reason: y\n    {rest}")))
    assert sorted(mutant.change for mutant in made) == sorted(changes)
    assert all(mutant.after != mutant.before for mutant in made)


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("verdict: redact, match: {categories: [pii]}", ["dropped", "verdict `redact` turned into `allow`"]),
        (
            "verdict: quarantine, match: {severities: [low, high]}",
            [
                "dropped",
                "verdict `quarantine` turned into `redact`",
                "`high` dropped from `severities`",
                "`low` dropped from `severities`",
            ],
        ),
        (
            "verdict: allow, match: {categories: [pii], topics: ['job.a'], labels: {env: x}, tenants: [t]}",
            [
                "dropped",
                "verdict `allow` turned into `quarantine`",
                "`categories` removed",
                "`topics` removed",
                "topic `job.a` widened to `job.>`",
                "`labels.env` removed",
                "`tenants` removed",
            ],
        ),
        ("verdict: quarantine, match: {categories: [private_key]}", ["dropped"]),
    ],
)
def test_output_rules_are_changed_likewise(rule: str, changes: list[str]) -> None:
    """What is always quarantined is so whatever the verdict says: that is no mutant."""
    made = list(mutants(rules_of(f"output_rules:\n  - {{id: r, reason: y, {rule}}}")))
    assert sorted(mutant.change for mutant in made) == sorted(changes)


def test_a_condition_that_would_be_too_long_is_not_negated() -> None:
    long = "job.payload.a == '" + "x" * 1980 + "'"
    made = mutants(rules_of(f'rules:\n  - {{id: r, decision: deny, reason: y, when: "{long}"}}'))
    assert [mutant.change for mutant in made] == [
        *DENIES,
        "in `when`: `==` turned into `!=`, after `job.payload.a` (character 15)",
    ]


WORDS = st.sampled_from("abc")
SETS = st.frozensets(WORDS, max_size=3)
PATTERNS = st.sampled_from([">", "job.>", "job.*", "job.a", "job.a.>", "job.*.b", "job.*.>", "job.a.*", "a"])
LABELS = st.dictionaries(st.sampled_from(["env", "team"]), st.frozensets(WORDS, min_size=1), max_size=2)
MATCHES = st.builds(
    lambda topics, labels, secrets, **sets: Match(
        topics=tuple(topics), labels=tuple(labels.items()), secrets_present=secrets, **sets
    ),
    topics=st.lists(PATTERNS, max_size=3, unique=True),
    labels=LABELS,
    secrets=st.sampled_from([None, True, False]),
    capabilities=SETS,
    risk_tags=SETS,
    requires=SETS,
    environments=SETS,
    actors=SETS,
)
TOPICS = ["a", "job", "job.a", "job.b", "job.a.b", "job.b.b", "job.a.c", "job.a.b.c", "x.y"]
JOBS = st.builds(
    lambda **said: said,
    topic=st.sampled_from(TOPICS),
    labels=st.dictionaries(st.sampled_from(["env", "team"]), WORDS),
    capability=st.one_of(st.none(), WORDS),
    risk_tags=st.lists(WORDS),
    requires=st.lists(WORDS),
)


@settings(deadline=None)
@given(match=MATCHES, form=JOBS, secrets=st.booleans(), actor=WORDS)
def test_a_wider_match_loses_no_job_and_a_narrower_one_gains_none(
    match: Match, form: dict[str, object], secrets: bool, actor: str
) -> None:
    asked = job(form, secrets=secrets, actor=actor)
    holds = match.with_checks().holds(asked)
    for _, changed in wider(match):
        assert changed.with_checks().holds(asked) or not holds
    for _, changed in narrower(match):
        assert holds or not changed.with_checks().holds(asked)


TOKENS = ["job", "a", "b", "z"]
EVERY_TOPIC = [".".join(tokens) for count in range(1, 5) for tokens in product(TOKENS, repeat=count)]
EVERY_LABEL = [
    {key: value for key, value in (("env", env), ("team", team)) if value}
    for env, team in product(["", "a", "b", "c", "z"], repeat=2)
]


@settings(deadline=None)
@given(topics=st.lists(PATTERNS, min_size=1, max_size=4))
@example(topics=["job.>", "job.*.>"])
@example(topics=["job.*", "job.*.>"])
@example(topics=["job.>", "job.*", "job.*.>"])
def test_every_step_of_topics_differs_for_some_topic(topics: list[str]) -> None:
    differs([job({"topic": topic}) for topic in EVERY_TOPIC], Match(topics=tuple(topics)))


@settings(deadline=None)
@given(labels=LABELS, environments=SETS)
@example(labels={"env": frozenset("ab")}, environments=frozenset("a"))
@example(labels={"env": frozenset("a")}, environments=frozenset("ab"))
def test_every_step_of_labels_differs_for_some_label(
    labels: dict[str, frozenset[str]], environments: frozenset[str]
) -> None:
    """`environments` looks at the label `env`, as `labels` may."""
    match = Match(labels=tuple(labels.items()), environments=environments)
    differs([job({"topic": "t", "labels": said}) for said in EVERY_LABEL], match)


def differs(jobs: list[Job], match: Match) -> None:
    before = [match.with_checks().holds(asked) for asked in jobs]
    if any(before):
        for step, changed in [*wider(match), *narrower(match)]:
            assert [changed.with_checks().holds(asked) for asked in jobs] != before, step


def test_what_is_added_is_not_there_yet() -> None:
    constraints = Constraints(network=("mutant-1",))
    assert all(changed != constraints for _, changed in looser_constraints(constraints))
    approval = ApprovalRequirement("r", ("mutant-1", "mutant-2"))
    assert all(
        set(changed.roles) != set(approval.roles) for change, changed in looser_approval(approval) if "role" in change
    )


RULES = """
rules:
  - id: allow-reads
    decision: allow
    reason: r
    match: {topics: ["job.read.*"]}
    not: {labels: {kind: [raw, bulk]}}
  - id: hold-prod
    decision: require_approval
    reason: r
    match: {topics: ["job.deploy.*", "job.restart.*"], labels: {env: prod}}
    approvers: {roles: [release-manager], quorum: 2}
  - id: bound-deploys
    decision: allow_with_constraints
    reason: r
    match: {topics: ["job.deploy.*"]}
    constraints: {max_runtime_s: 600}
  - id: deny-large
    decision: deny
    reason: r
    match: {topics: ["job.deploy.*"]}
    when: "has(job.payload.size) && job.payload.size > 10"
  - id: limit
    decision: throttle
    reason: r
    match: {topics: ["job.read.*"], labels: {kind: counted}}
    throttle: {limit: 3, per: 1m, over: delay}
output_rules:
  - {id: redact-mail, verdict: redact, reason: r, match: {detectors: [email], severities: [low, high]}}
  - {id: pass-tests, verdict: allow, reason: r, match: {categories: [secret], labels: {env: test}}}
"""
WEAK = """
given: {topic: job.read.x, payload: {}}
cases:
  - {name: reads run, job: {}, expect: {verdict: allow}}
  - {name: raw reads do not, job: {labels: {kind: raw}}, expect: {verdict: deny}}
  - {name: few run at once, job: {labels: {kind: counted}}, expect: {verdict: throttle}}
  - {name: prod is held, job: {topic: job.deploy.x, labels: {env: prod}}, expect: {verdict: require_approval}}
  - {name: deploys are bound, job: {topic: job.deploy.x}, expect: {verdict: allow_with_constraints}}
  - {name: large is not, job: {topic: job.deploy.x, payload: {size: 11}}, expect: {verdict: deny}}
  - {name: mail, output: {findings: [{category: pii, severity: low, detector: email}]}, expect: {verdict: redact}}
  - name: tests
    output: {labels: {env: test}, findings: [{category: secret, severity: low, detector: d}]}
    expect: {verdict: allow}
"""
STRONG = """
given: {topic: job.read.x, payload: {}}
cases:
  - name: reads run
    expect: {verdict: allow, rules: [allow-reads]}
    each: [{job: {}}, {job: {topic: job.other.x}, expect: {verdict: deny, rules: []}},
           {job: {topic: job.read.x.y}, expect: {verdict: deny, rules: []}}]
  - name: raw reads do not
    expect: {verdict: deny, rules: []}
    each: [{job: {labels: {kind: raw}}}, {job: {labels: {kind: bulk}}}]
  - name: few run at once
    job: {labels: {kind: counted}}
    expect: {verdict: throttle, within: allow, throttle: {limit: 3, per: 1m, key: [tenant], over: delay}}
  - name: prod is held
    expect:
      {verdict: require_approval, rules: [hold-prod], approvers: {roles: [release-manager], quorum: 2, expires: 24h}}
    each: [{job: {topic: job.deploy.x, labels: {env: prod}}, expect: {constraints: {max_runtime_s: 600, others: none}}},
           {job: {topic: job.restart.x, labels: {env: prod}}}]
  - name: deploys are bound
    expect: {verdict: allow_with_constraints, rules: [bound-deploys], constraints: {max_runtime_s: 600, others: none}}
    each: [{job: {topic: job.deploy.x}}, {job: {topic: job.deploy.x, payload: {size: 10}}}]
  - name: deep deploys are not known
    job: {topic: job.deploy.x.y}
    expect: {verdict: deny, rules: []}
  - name: large is not
    job: {topic: job.deploy.x, payload: {size: 11}}
    expect: {verdict: deny, rules: [deny-large]}
  - name: mail
    expect: {verdict: redact, rules: [redact-mail]}
    each: [{output: {findings: [{category: pii, severity: low, detector: email}]}},
           {output: {findings: [{category: pii, severity: high, detector: email}]}}]
  - name: tests
    expect: {verdict: allow, rules: [pass-tests]}
    each:
      - {output: {labels: {env: test}, findings: [{category: secret, severity: low, detector: d}]}}
      - output: {labels: {env: dev}, findings: [{category: secret, severity: low, detector: d}]}
        expect: {verdict: redact, rules: []}
      - output: {labels: {env: test}, findings: [{category: pii, severity: low, detector: d}]}
        expect: {verdict: redact, rules: []}
"""


def test_cases_that_say_enough_leave_no_survivor() -> None:
    report = mutate(STRONG)
    assert report.survivors == ()
    assert report.total == len(list(mutants(rules_of(RULES))))


def test_what_cases_do_not_say_survives_with_a_hint_of_the_test_to_write() -> None:
    report = mutate(WEAK)
    survived = Counter(mutant.rule for mutant in report.survivors)
    assert survived == {
        "allow-reads": 3,
        "hold-prod": 5,
        "bound-deploys": 3,
        "deny-large": 3,
        "limit": 3,
        "redact-mail": 1,
        "pass-tests": 2,
    }
    (loose,) = (mutant for mutant in report.survivors if mutant.change == "constraint `max_runtime_s` removed")
    assert loose.hint == "a job that `bound-deploys` decides, with `constraints` and `others: none`"
    hints = {mutant.change: mutant.hint for mutant in report.survivors}
    assert hints["in `not`: `bulk` dropped from `labels.kind`"] == (
        "a job like one that `allow-reads` allows, but excluded by its `not`, with `bulk` in `labels.kind`"
    )
    assert hints["`job.restart.*` dropped from `topics`"] == (
        "a job that `hold-prod` decides, with `job.restart.*` in `topics`"
    )
    assert report.as_dict()["survived"] == len(report.survivors)


SMALL = """
rules:
  - id: allow-small
    decision: allow
    reason: r
    when: "job.payload.amount > 0 && job.payload.amount <= 50"
"""
EDGES = """
given: {topic: job.pay}
cases:
  - name: small
    expect: {verdict: allow}
    each: [{job: {payload: {amount: 1}}}, {job: {payload: {amount: 50}}}]
  - name: not small
    expect: {verdict: deny, rules: []}
    each: [{job: {payload: {amount: 0}}}, {job: {payload: {amount: 51}}}]
"""


def test_a_bound_within_a_condition_needs_a_case_on_both_sides() -> None:
    assert mutate(EDGES, SMALL).survivors == ()
    far = mutate(EDGES.replace("amount: 51", "amount: 500").replace("amount: 50}", "amount: 20}"), SMALL)
    assert [(mutant.change, mutant.hint.split(", ")[1]) for mutant in far.survivors] == [
        ("in `when`: `50` turned into `51` (character 49)", "with `job.payload.amount` at 51"),
        ("in `when`: `50` turned into `49` (character 49)", "with `job.payload.amount` at 50"),
        (
            "in `when`: `<=` turned into `<`, after `job.payload.amount` (character 46)",
            "with `job.payload.amount` equal to `50`",
        ),
    ]


def test_the_last_of_many_cases_notices_as_the_first_does() -> None:
    rules = """
rules:
  - {id: r, decision: allow_with_constraints, reason: r, match: {topics: [job.a]}, constraints: {max_attempts: 1}}
"""
    many = "\n".join(
        f"  - {{name: c{number}, job: {{topic: job.a}}, expect: {{verdict: allow_with_constraints}}}}"
        for number in range(100)
    )
    last = (
        "  - {name: z, job: {topic: job.a}, expect: {verdict: allow_with_constraints, constraints: {max_attempts: 1}}}"
    )
    loose = "constraint `max_attempts` removed"
    assert loose in [mutant.change for mutant in mutate(f"cases:\n{many}", rules).survivors]
    assert loose not in [mutant.change for mutant in mutate(f"cases:\n{many}\n{last}", rules).survivors]


@pytest.mark.parametrize("tests", [WEAK, STRONG])
@pytest.mark.parametrize("combining", ["deny-overrides", "first-applicable"])
def test_leaving_rules_and_cases_out_changes_no_outcome(tests: str, combining: str) -> None:
    """Each mutant once more, with all rules and all cases."""
    suite = passing(load_suite(bundle_of(f"combining: {combining}\n{RULES}", tests)))
    for outcome in Mutation(suite).outcomes():
        before, after = outcome.mutant.before, outcome.mutant.after
        if isinstance(before, Rule):
            changed = replace(suite.rules, rules=swapped(suite.rules.rules, before, after))
        else:
            changed = replace(suite.rules, output_rules=swapped(suite.rules.output_rules, before, after))
        bench = Bench.of(changed)
        noticed = any(bench.ask(case)[0] for case in suite.cases)
        assert noticed is (outcome.noticed_by is not None), outcome.mutant


def test_more_mutants_than_are_looked_at_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = load_suite(bundle_of(RULES, STRONG))
    count = len(Mutation(suite).mutants)
    monkeypatch.setattr(mutation, "MUTANTS_MAX", count)
    assert len(Mutation(suite).mutants) == count
    monkeypatch.setattr(mutation, "MUTANTS_MAX", count - 1)
    with pytest.raises(InvalidInput, match=f"more than {count - 1} mutants"):
        Mutation(suite)


def mutate(tests: str, rules: str = RULES) -> MutationReport:
    suite = load_suite(bundle_of(rules, tests))
    assert run_suite(suite).failed == ()
    return MutationReport.of(Mutation(suite).outcomes())


def passing(suite: Suite) -> Suite:
    """The suite without the cases that fail, which first-applicable decides otherwise."""
    results = run_suite(suite).results
    kept = (case for case, result in zip(suite.cases, results, strict=True) if result.passed)
    return replace(suite, cases=tuple(kept))


def swapped(rules: tuple[Rule | OutputRule, ...], before: object, after: object) -> tuple[object, ...]:
    changed = [after if rule is before else rule for rule in rules]
    return tuple(rule for rule in changed if rule is not None)


def rules_of(text: str) -> BundleRules:
    return load_suite(bundle_of(text)).rules


def job(form: dict[str, object], *, secrets: bool = False, actor: str = "a") -> Job:
    identity = Identity(Tenant("t"), ActorId(actor))
    measured = {"secrets_present": secrets, "pii_present": False}
    return job_from_form(form, identity=identity, job_id=JobId("j"), now_ms=0, trace_id="", **measured)
