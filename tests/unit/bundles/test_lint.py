"""Each check of lint fires where it must, and keeps quiet beside it."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.bundles.lint import Finding, LintContext, Severity, lint
from holdgate.bundles.lint.budget import COMPARISONS_MAX
from holdgate.bundles.lint.catalog import BY_CODE, CHECKS
from holdgate.bundles.lint.outputs import COMPARED_MAX
from holdgate.bundles.lint.regions import common_pattern, region_of
from holdgate.kernel.match import Match
from holdgate.kernel.topics import matches
from support.lint_cases import FIRES, QUIET, REASON, WORDS, at, found, held, rule


def _lint(case: dict[str, Any]) -> list[Finding]:
    more = dict(case)
    return found(*more.pop("rules", []), **more)


@pytest.mark.parametrize(("code", "name", "case"), FIRES, ids=[f"{n}-{code}" for n, (code, _, _) in enumerate(FIRES)])
def test_a_check_fires(code: str, name: str, case: dict[str, Any]) -> None:
    if code == "unreachable-rule" and "rules" in case:
        case = {**case, "combining": "first-applicable"}
    findings = [item for item in _lint(case) if item.code == code and item.rule == name]
    assert len(findings) == 1, _lint(case)
    assert findings[0].message
    assert "\n" not in findings[0].message


@pytest.mark.parametrize(("code", "case"), QUIET, ids=[f"{n}-{code}" for n, (code, _) in enumerate(QUIET)])
def test_a_check_keeps_quiet(code: str, case: dict[str, Any]) -> None:
    if code == "unreachable-rule":
        case = {**case, "combining": "first-applicable"}
    assert [item for item in _lint(case) if item.code == code] == []


def test_every_check_has_a_case_in_both_tables() -> None:
    # These have tests of their own, the last five in test_lint_detectors.py.
    bounded = {"not-compared", "bundle-untested", "unknown-detector", "unknown-category", "detector-examples"}
    bounded |= {"expired", "expires-too-late"}
    assert {code for code, _, _ in FIRES} | bounded == set(BY_CODE)
    assert {code for code, _ in QUIET} | bounded == set(BY_CODE)
    assert len(BY_CODE) == len(CHECKS)


def test_an_approval_that_nobody_can_give_is_worse_than_one_that_somebody_else_can() -> None:
    both = {"roles": ["release-manager", "cto"]}
    held = rule("r", "require_approval", at("a"), approvers=both)
    assert [item.severity for item in found(held, roles=frozenset({"cto"}))] == [Severity.WARNING]
    assert [item.severity for item in found(held, roles=frozenset())] == [Severity.ERROR]


def test_of_two_rules_that_say_the_same_only_the_later_one_is_reported() -> None:
    assert [item.rule for item in found(rule("b", match=at("a")), rule("a", match=at("a")))] == ["a"]


def test_a_hole_that_another_bundle_makes_is_not_the_mistake_of_this_one() -> None:
    no, yes = rule("no", "deny", at("job.exec.*")), rule("yes", match=at("job.exec.>"))
    severities = [
        [item.severity for item in findings if item.code == "shallow-restriction"]
        for findings in (found(no, yes), found(no, other=[yes]))
    ]
    assert severities == [[Severity.ERROR], [Severity.WARNING]]
    deeper = rule("yes", match=at("job.exec.tools.>"))
    assert [item.severity for item in found(no, deeper) if item.code == "shallow-restriction"] == [Severity.WARNING]


def test_what_bounds_an_allow_of_everything_makes_it_less_bad() -> None:
    bounded = rule("r", **{"not": {"topics": ["job.exec.>"]}})
    severities = [[item.severity for item in found(each)] for each in (rule("r"), bounded)]
    assert severities == [[Severity.WARNING], [Severity.NOTE]]


def test_a_deny_may_be_about_topics_that_there_should_never_be_unless_one_is_mistyped() -> None:
    topics = ["job.deplyo.*", "job.shell.>"]
    severities = [
        [item.severity for item in found(rule("r", decision, at(*topics)), words=WORDS) if item.code == "unknown-topic"]
        for decision in ("deny", "require_approval")
    ]
    assert severities == [[Severity.WARNING, Severity.NOTE], [Severity.WARNING, Severity.WARNING]]


def test_findings_come_in_the_order_of_bundles_and_rules() -> None:
    findings = found(
        rule("z", "deny", at("a"), reason="x"),
        rule("a", "deny", at("b"), reason="x"),
        other=[rule("b", "deny", at("c"), reason="x")],
    )
    assert [(item.bundle, item.rule) for item in findings] == [("one", "z"), ("one", "a"), ("two", "b")]


def test_a_bundle_without_rules_has_nothing_to_look_at() -> None:
    assert lint([], LintContext()) == []
    assert found() == []


def test_rules_beyond_the_bound_are_said_not_to_have_been_compared() -> None:
    count = int(COMPARISONS_MAX**0.5) + 50
    rules = [rule(f"r{n}", "deny", at("job.>", labels={"k": f"v{n}"})) for n in range(count)]
    assert [item.code for item in found(*rules)] == ["not-compared"]
    output = [
        {"id": f"o{n}", "verdict": "redact", "reason": REASON, "match": {"detectors": [f"d{n}"]}}
        for n in range(COMPARED_MAX + 1)
    ]
    assert [item.code for item in found(output=output)] == ["not-compared"]


TOKENS = ("a", "b", "*")


def test_what_two_patterns_have_in_common_is_what_both_name() -> None:
    stems = ["", *TOKENS, *(f"{x}.{y}" for x in TOKENS for y in TOKENS)]
    patterns = [pattern for pattern in stems if pattern] + [f"{stem}.>".lstrip(".") for stem in stems]
    topics = ["a", "b", "a.a", "a.b", "b.a", "b.b", "a.a.a", "a.b.a", "b.b.b", "b.a.b.a"]
    for one in patterns:
        for other in patterns:
            common = common_pattern(one, other)
            both = [topic for topic in topics if matches(one, topic) and matches(other, topic)]
            assert both == [topic for topic in topics if common is not None and matches(common, topic)], (one, other)


@pytest.mark.parametrize("count", [20, 300])
def test_a_region_of_more_topics_than_are_compared_is_taken_for_larger_and_never_for_smaller(count: int) -> None:
    many = region_of(Match(topics=tuple(f"job.a{n}.*" for n in range(count))))
    others = region_of(Match(topics=tuple(f"job.*.b{n}" for n in range(count))))
    assert many.meet(others).topics == many.topics
    assert not many.is_apart(others)


def test_an_escalation_to_the_role_that_need_not_be_named_is_a_note_where_nobody_has_it() -> None:
    """Whoever wrote it may have meant no more than that it is shown as urgent."""
    roles = frozenset({"approver"})
    for to, severity in (({}, Severity.NOTE), ({"escalate_to": {"roles": ["cto"]}}, Severity.WARNING)):
        (item,) = found(held(escalate_after="1h", **to), roles=roles)
        assert (item.code, item.severity) == ("escalation-unheld", severity)
