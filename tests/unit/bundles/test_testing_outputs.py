"""Tests of what a bundle says of outputs: classes, destinations, what is let through and until when, shadow."""

from __future__ import annotations

import pytest

from holdgate.bundles.errors import DocumentInvalid
from holdgate.bundles.testing.cases import load_cases
from holdgate.bundles.testing.report import TestReport as Report
from holdgate.bundles.testing.run import run_tests
from support.bundle_tests import bundle_of

RULES = """
output_rules:
  - {id: keep, verdict: quarantine, reason: not to them, match: {destinations: [partner*], data_classes: [restricted]}}
allow_findings:
  - {id: let, reason: an example, expires: "2026-02-01", detectors: [token], fingerprints: [aaaaaaaaaaaaaaaa]}
destinations: {"partner*": restricted, mail: internal}
detectors:
  - {id: custom.x, category: pii, severity: low, regex: 'PRJ-[0-9]{4}', max_len: 8, EXAMPLES}
detector_modes:
  - {detector: custom.x, mode: shadow}
""".replace("EXAMPLES", 'examples: {"true": ["PRJ-1234"], "false": ["PRJ"]}')
TOKENS = "{findings: [{category: secret, severity: high, detector: token, fingerprints: [aaaaaaaaaaaaaaaa]}]}"
CODES = "{findings: [{category: pii, severity: low, detector: custom.x}]}"


def ran(case: str) -> Report:
    return run_tests(bundle_of(RULES, f"given: {{topic: job.a}}\ncases:\n{case}"))


def problems(output: str, expect: str, now: str = "2026-01-05T10:00:00Z") -> tuple[str, ...]:
    return ran(f'  - {{name: n, now: "{now}", output: {output}, expect: {expect}}}').results[0].problems


PASS = [
    (TOKENS, "{verdict: allow, allowed_by: [let], data_class: restricted}"),
    ("{labels: {destination: mail}}", "{verdict: allow, rules: [], data_class: internal}"),
    ("{labels: {destination: mail}, input_class: confidential}", "{verdict: quarantine}"),
    ("{labels: {destination: other}}", "{verdict: quarantine, rules: [holdgate.destination-class]}"),
    ("{labels: {destination: partner.a}, input_class: restricted}", "{verdict: quarantine, rules: [keep]}"),
    (CODES, "{verdict: allow, shadowed: [custom.x], allowed_by: [], marks: []}"),
    (
        "{findings: [{category: untrusted_instructions, severity: low, detector: d}]}",
        "{verdict: allow, marks: [untrusted_instructions], shadowed: []}",
    ),
]


@pytest.mark.parametrize(("output", "expect"), PASS)
def test_all_that_is_decided_about_an_output_can_be_expected(output: str, expect: str) -> None:
    assert problems(output, expect) == ()


def test_what_differs_is_told() -> None:
    said = "{verdict: allow, data_class: public, marks: [x], shadowed: [y], allowed_by: [z]}"
    told = problems(TOKENS, said)
    assert [problem.partition(":")[0] for problem in told] == ["data_class", "marks", "shadowed", "allowed_by"]


def test_an_entry_is_tested_as_of_the_time_of_the_case() -> None:
    after = problems(TOKENS, "{verdict: redact, allowed_by: []}", now="2026-02-01T00:00:00Z")
    assert after == ()


def test_what_the_kernel_itself_keeps_back_is_no_rule_to_cover() -> None:
    report = ran("  - {name: n, output: {labels: {destination: other}}, expect: {verdict: quarantine}}")
    assert [(rule.id, rule.covered) for rule in report.coverage.rules] == [("keep", False)]
    assert report.coverage.rules[0].conditions[0].failed


def test_a_rule_about_whole_outputs_is_covered_where_nothing_was_found() -> None:
    output = "{labels: {destination: partner}, input_class: restricted}"
    case = f"  - {{name: n, output: {output}, expect: {{verdict: quarantine}}}}"
    (rule,) = ran(case).coverage.rules
    assert rule.covered
    assert [(item.name, bool(item.held)) for item in rule.conditions] == [
        ("destinations", True),
        ("data_classes", True),
    ]


@pytest.mark.parametrize(
    "output",
    [
        "{topic: a, input_class: secret}",
        "{topic: a, data_class: public}",
        "{topic: a, findings: [{category: c, severity: s, detector: d, fingerprints: [x]}]}",
        "{topic: a, findings: [{category: c, severity: s, detector: d, value: x}]}",
    ],
)
def test_a_case_that_says_what_there_is_not_is_refused(output: str) -> None:
    with pytest.raises(DocumentInvalid):
        load_cases("t.yaml", f"cases:\n  - {{name: n, output: {output}, expect: {{verdict: allow}}}}".encode())
