"""Starter bundles: each tested to the last rule, clean, and fit to stand beside the others."""

from __future__ import annotations

import pytest
import yaml
from jsonschema import Draft202012Validator

from holdgate.bundles.format import build_bundle
from holdgate.bundles.lint import LintContext, Severity
from holdgate.bundles.lint.files import lint_sources, source_of_bundle
from holdgate.bundles.review import require_publishable, review
from holdgate.bundles.schema import header, schema_of
from holdgate.bundles.testing import load_suite, run_tests
from holdgate.bundles.testing.cases import OutputCase
from holdgate.bundles.testing.mutation import Mutation, MutationReport
from holdgate.bundles.trusted import TrustedSet
from holdgate.kernel.output import decide_output
from holdgate.kernel.policy import STRICTNESS
from holdgate.kernel.records import ALLOWING, Verdict
from holdgate.kernel.standing import roles_asked
from support.starters import FOLDER, NAMES, STARTERS, built, cases_of, decide, effective, rules_of, together
from support.trust import NOW_MS, Ceremony, signed

# Each by itself -------------------------------------------------------------------------------------------------------


def test_there_are_six() -> None:
    assert NAMES == ["baseline", "coding-agent", "data-agent", "demo", "infra-agent", "support-agent"]


@pytest.mark.parametrize("name", NAMES)
def test_the_bundle_has_the_name_of_its_directory_and_a_kernel_would_accept_it(name: str) -> None:
    assert built(name).manifest.name == name
    data = signed(build_bundle(FOLDER / name), ["author"])
    assert TrustedSet.under(Ceremony().root).accept(data, NOW_MS).active() is not None


@pytest.mark.parametrize("name", NAMES)
def test_its_tests_pass_and_see_every_rule_and_condition(name: str) -> None:
    report = run_tests(built(name))
    assert [(result.name, result.problems) for result in report.failed] == []
    assert report.results
    unseen = [(rule.id, item.name) for rule in report.coverage.rules for item in rule.conditions if not item.covered]
    assert unseen == []
    assert report.coverage.rules_percent == 100


@pytest.mark.parametrize("name", NAMES)
def test_its_tests_notice_every_change_of_a_rule(name: str) -> None:
    report = MutationReport.of(Mutation(load_suite(built(name))).outcomes())
    assert report.total > 0
    assert [(mutant.rule, mutant.change) for mutant in report.survivors] == []


@pytest.mark.parametrize("name", NAMES)
def test_lint_finds_nothing_at_all(name: str) -> None:
    assert lint_sources([source_of_bundle(built(name))], [], LintContext()) == []


@pytest.mark.parametrize("name", NAMES)
def test_its_words_are_said(name: str) -> None:
    """Without a vocabulary there is nothing that lint could compare with."""
    vocabulary = built(name).manifest.vocabulary
    assert vocabulary.topics
    assert vocabulary.write_capabilities
    approvals = [rule.approval for rule in rules_of(name).rules if rule.approval is not None]
    asked = {role for approval in approvals for role in roles_asked(approval)}
    assert asked == set(vocabulary.roles)


@pytest.mark.parametrize("kind", ["bundle", "rules", "tests"])
@pytest.mark.parametrize("name", NAMES)
def test_its_files_say_what_they_are_and_fit_the_schema(name: str, kind: str) -> None:
    schema = Draft202012Validator(schema_of(kind))
    source = built(name).manifest
    paths = {"bundle": ["bundle.yaml"], "rules": source.rules, "tests": source.tests}[kind]
    assert paths
    for path in paths:
        text = (FOLDER / name / path).read_text(encoding="utf-8")
        assert text.splitlines()[0] == header(kind)
        assert [error.message for error in schema.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_file_beside_the_bundle_is_named_in_it(name: str) -> None:
    """A file of rules that was forgotten would hold for nobody."""
    beside = {path.relative_to(FOLDER / name).as_posix() for path in (FOLDER / name).rglob("*.yaml")}
    assert beside == {"bundle.yaml", *built(name).manifest.paths}


@pytest.mark.parametrize("name", STARTERS)
def test_a_reason_says_more_than_no(name: str) -> None:
    """One that forbids or holds is read by an agent that must do something else."""
    short = [rule.id for rule in rules_of(name).rules if rule.decision not in ALLOWING and len(rule.reason) < 40]
    assert short == []


@pytest.mark.parametrize("name", STARTERS)
def test_what_restricts_reaches_deep_and_what_allows_names_topics_and_constraints(name: str) -> None:
    for rule in rules_of(name).rules:
        if rule.decision in ALLOWING:
            assert not [topic for topic in rule.match.topics if "*" in topic or ">" in topic], rule.id
            assert rule.match.topics, rule.id
            assert rule.match.capabilities, rule.id
            assert rule.constraints.max_runtime_s, rule.id
        else:
            assert all(topic.endswith(".>") for topic in rule.match.topics), rule.id


# All of them ----------------------------------------------------------------------------------------------------------


def test_all_can_be_in_force_together() -> None:
    trusted = TrustedSet.under(Ceremony().root)
    for name in NAMES:
        trusted = trusted.accept(signed(build_bundle(FOLDER / name), ["author"]), NOW_MS)
    active = trusted.active()
    assert active is not None
    assert {rule.bundle for rule in active.policy.rules} == set(NAMES)


def test_all_pass_the_review_of_a_publish_one_after_the_other() -> None:
    """With what they widen acknowledged; nothing else is in the way."""
    in_force: dict[str, bytes] = {}
    for name in NAMES:
        data = signed(build_bundle(FOLDER / name), ["author"])
        require_publishable(review(data, Ceremony().root, in_force, NOW_MS), widening_accepted=True)
        in_force[name] = data


def test_no_id_stands_in_two_of_them() -> None:
    ids = [rule.id for name in NAMES for rule in (*rules_of(name).rules, *rules_of(name).output_rules)]
    assert len(ids) == len(set(ids))


def test_lint_finds_no_contradictions_between_them() -> None:
    """Only that each, since it may stand alone, says of results what the baseline says, too."""
    found = lint_sources([source_of_bundle(built(name)) for name in STARTERS], [], LintContext())
    assert {(item.severity, item.code) for item in found} <= {(Severity.NOTE, "redundant-rule")}


@pytest.mark.parametrize("name", NAMES)
def test_what_one_allows_the_others_leave_alone(name: str) -> None:
    """Work that a bundle means to let run still runs beside all others."""
    policy = together()
    allowed = [case for case in cases_of(name) if effective(decide(together(name), case.job, case.now_ms)) in ALLOWING]
    assert allowed
    stopped = [(case.name, decide(policy, case.job, case.now_ms)) for case in allowed]
    assert [(case, d.reason) for case, d in stopped if effective(d) not in ALLOWING] == []


@pytest.mark.parametrize("name", NAMES)
def test_what_one_forbids_or_holds_the_others_do_not_loosen(name: str) -> None:
    """But for what no rule of it speaks of: there the baseline may ask a person."""
    for case in cases_of(name):
        alone, beside = decide(together(name), case.job, case.now_ms), decide(together(), case.job, case.now_ms)
        if STRICTNESS[effective(beside)] > STRICTNESS[effective(alone)]:
            assert not alone.deciding, case.name
            assert beside.verdict is Verdict.REQUIRE_APPROVAL, case.name
            assert all(rule.startswith("base.hold-") for rule in beside.deciding), case.name


@pytest.mark.parametrize("name", NAMES)
def test_verdicts_about_results_hold_beside_the_others(name: str) -> None:
    cases = [case for case in load_suite(built(name)).cases if isinstance(case, OutputCase)]
    order = ["allow", "redact", "quarantine"]
    assert cases
    for case in cases:
        alone, beside = (decide_output(policy, case.facts, case.now_ms) for policy in (together(name), together()))
        assert order.index(beside.verdict) >= order.index(alone.verdict), case.name
