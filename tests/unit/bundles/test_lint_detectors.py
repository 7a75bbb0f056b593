"""What lint says of detectors, of what is let through, and of names that nothing has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from holdgate.bundles.lint import LintContext, lint
from holdgate.kernel.detectors import Detector
from holdgate.kernel.ruleform import parse_rules
from support.policies import DETECTOR, NOW_MS

LET = {"id": "let", "reason": "an example in the docs", "expires": "2026-06-01", "detectors": ["email"]}
RULE = {"id": "out", "verdict": "redact", "reason": "stays in the house"}


class Knows:
    """A scanner with two detectors, which finds something wrong with each that is called so."""

    def built_in(self) -> dict[str, str]:
        return {"email": "pii", "pem": "private_key"}

    def problems(self, detectors: Sequence[Detector]) -> Sequence[tuple[str, str, bool]]:
        return [(item.id, "not found", "wrong" in item.id) for item in detectors if item.id != "custom.project"]


def found(*, scanner: bool = True, now_ms: int | None = NOW_MS, **document: Any) -> set[tuple[str, str, str]]:
    context = LintContext(scanner=Knows() if scanner else None, now_ms=now_ms)
    items = lint([parse_rules({"rules": [], **document}, "house")], context)
    return {(item.code, str(item.severity), item.rule) for item in items}


CASES: list[tuple[dict[str, Any], set[tuple[str, str, str]]]] = [
    ({"allow_findings": [LET], "detectors": [DETECTOR]}, set()),
    ({"allow_findings": [{**LET, "expires": "2026-01-01"}]}, {("expired", "warning", "let")}),
    ({"allow_findings": [{**LET, "expires": "2026-01-15"}]}, {("expired", "note", "let")}),
    ({"allow_findings": [{**LET, "expires": "2026-01-16"}]}, set()),
    ({"allow_findings": [{**LET, "expires": "2027-01-03"}]}, {("expires-too-late", "error", "let")}),
    ({"allow_findings": [{**LET, "detectors": ["emial"]}]}, {("unknown-detector", "warning", "let")}),
    ({"allow_findings": [{**LET, "detectors": ["custom.project"]}]}, {("unknown-detector", "warning", "let")}),
    ({"allow_findings": [{**LET, "detectors": ["custom.project"]}], "detectors": [DETECTOR]}, set()),
    ({"allow_findings": [{**LET, "detectors": ["pem"]}]}, {("unreachable-rule", "error", "let")}),
    ({"allow_findings": [{**LET, "reason": "todo"}]}, {("missing-reason", "warning", "let")}),
    (
        {
            "allow_findings": [
                {"id": "let", "reason": "all that there is", "expires": "2026-06-01", "categories": ["secret"]}
            ]
        },
        {("released-findings", "warning", "let")},
    ),
    ({"detector_modes": [{"detector": "pem", "mode": "shadow"}]}, {("unreachable-rule", "error", "mode of pem")}),
    ({"detector_modes": [{"detector": "pem", "mode": "enforce"}]}, set()),
    (
        {"detector_modes": [{"detector": "email", "mode": "shadow", "expires": "2025-01-01"}]},
        {("expired", "warning", "mode of email")},
    ),
    ({"detector_modes": [{"detector": "x", "mode": "shadow"}]}, {("unknown-detector", "warning", "mode of x")}),
    ({"output_rules": [{**RULE, "match": {"detectors": ["x"]}}]}, {("unknown-detector", "warning", "out")}),
    ({"output_rules": [{**RULE, "match": {"categories": ["personal"]}}]}, {("unknown-category", "warning", "out")}),
    ({"detectors": [{**DETECTOR, "id": "custom.wrong"}]}, {("detector-examples", "error", "custom.wrong")}),
    ({"detectors": [{**DETECTOR, "id": "custom.noisy"}]}, {("detector-examples", "warning", "custom.noisy")}),
]


@pytest.mark.parametrize(("document", "wanted"), CASES)
def test_lint_tells_what_does_nothing_or_not_what_was_meant(
    document: dict[str, Any], wanted: set[tuple[str, str, str]]
) -> None:
    assert found(**document) == wanted


def test_without_a_scanner_and_a_clock_lint_says_nothing_of_what_only_they_know() -> None:
    document = {
        "allow_findings": [{**LET, "detectors": ["emial"], "expires": "2020-01-01"}],
        "detectors": [{**DETECTOR, "id": "custom.wrong"}],
    }
    assert found(scanner=False, now_ms=None, **document) == set()
    assert found(scanner=False, now_ms=None, allow_findings=[{**LET, "detectors": ["custom.x"]}]) == {
        ("unknown-detector", "warning", "let")
    }


def test_a_stricter_rule_of_a_bundle_that_lets_something_through_makes_no_other_useless() -> None:
    """Against what that bundle lifts, only the rule of the other one holds."""
    strict = {"output_rules": [{"id": "strict", "verdict": "quarantine", "reason": "stays in the house"}]}
    weak = parse_rules({"output_rules": [RULE]}, "two")

    def codes(**document: Any) -> set[str]:
        return {item.code for item in lint([parse_rules({**strict, **document}, "one"), weak], LintContext())}

    assert codes() == {"shadowed-rule"}
    assert codes(allow_findings=[LET]) == set()


def test_a_rule_about_findings_makes_none_about_whole_outputs_useless() -> None:
    rules = [
        {"id": "all", "verdict": "quarantine", "reason": "whatever is found"},
        {"id": "whole", "verdict": "quarantine", "reason": "not to them", "match": {"destinations": ["partner.*"]}},
    ]
    assert found(output_rules=rules) == set()
    assert found(output_rules=[rules[0], {**rules[1], "verdict": "redact"}]) == {("shadowed-rule", "warning", "whole")}
