"""What happens to a result: defaults, rules over them, the floor that no rule loosens, and the strictest of all."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import Tenant
from holdgate.kernel.output import Finding, OutputDecision, OutputFacts, decide_output
from support.policies import NOW_MS, SNAPSHOT, policy

SECRET: Finding = ("github-token", "secret", "high")
KEY: Finding = ("pem", "private_key", "critical")
OWN: Finding = ("platform", "platform_secret", "critical")
EMAIL: Finding = ("email", "pii", "low")
ADDRESS: Finding = ("ip-address", "pii", "low")
ADDRESS_V6: Finding = ("ip-address-v6", "pii", "low")
CARD: Finding = ("card-number", "pii", "medium")
ORDER: Finding = ("ignore-previous", "untrusted_instructions", "medium")


def output_rule(name: str, verdict: str, **match: Any) -> dict[str, Any]:
    written: dict[str, Any] = {"id": name, "verdict": verdict, "reason": f"because of {name}"}
    return {**written, "match": match} if match else written


def facts(*findings: Finding, **parts: Any) -> OutputFacts:
    known: dict[str, Any] = {
        "tenant": Tenant("default"),
        "topic": "job.demo.read",
        "labels": {},
        "classification": None,
    }
    return OutputFacts(**{**known, **parts}, findings=findings)


def decide(rules: list[dict[str, Any]], asked: OutputFacts) -> OutputDecision:
    return decide_output(policy(output_rules=rules), asked, NOW_MS)


DEFAULTS: list[tuple[list[Finding], str]] = [
    ([], "allow"),
    ([SECRET], "redact"),
    ([CARD], "redact"),
    ([EMAIL], "allow"),
    ([ADDRESS, ADDRESS_V6], "allow"),
    ([("ip", "pii", "low")], "redact"),
    ([("new", "unheard-of", "low")], "redact"),
    ([KEY], "quarantine"),
    ([OWN], "quarantine"),
    ([("own", "platform_credential", "low")], "quarantine"),
    ([("scanner", "unscannable", "high")], "quarantine"),
    ([("scanner", "oversize", "high")], "quarantine"),
    ([ORDER], "allow"),
    ([EMAIL, SECRET], "redact"),
    ([SECRET, EMAIL, KEY], "quarantine"),
]


@pytest.mark.parametrize(("findings", "verdict"), DEFAULTS)
def test_without_rules_the_defaults_hold(findings: list[Finding], verdict: str) -> None:
    assert decide([], facts(*findings)).verdict == verdict


def test_each_finding_has_its_own_verdict() -> None:
    decision = decide([], facts(EMAIL, SECRET, KEY))
    assert [str(item) for item in decision.findings] == ["allow", "redact", "quarantine"]
    assert decision.reason == "`private_key` is always quarantined"


MATCHES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    # (match of a rule that quarantines e-mail addresses, what the result has, whether the rule speaks)
    ({}, {}, True),
    ({"categories": ["pii"]}, {}, True),
    ({"categories": ["secret"]}, {}, False),
    ({"detectors": ["email"]}, {}, True),
    ({"detectors": ["card-number"]}, {}, False),
    ({"severities": ["low", "medium"]}, {}, True),
    ({"severities": ["high"]}, {}, False),
    ({"topics": ["job.demo.*"]}, {}, True),
    ({"topics": ["job.other"]}, {}, False),
    ({"labels": {"env": "prod"}}, {"labels": {"env": "prod"}}, True),
    ({"labels": {"env": ["prod", "stage"]}}, {"labels": {"env": "stage"}}, True),
    ({"labels": {"env": "prod"}}, {}, False),
    ({"classifications": ["secret"]}, {"classification": "secret"}, True),
    ({"classifications": ["secret"]}, {}, False),
    ({"tenants": ["default"]}, {}, True),
    ({"tenants": ["other"]}, {}, False),
    ({"categories": ["pii"], "tenants": ["other"]}, {}, False),
    ({"severity_min": "low"}, {}, True),
    ({"severity_min": "medium"}, {}, False),
    ({"destinations": ["ma"]}, {"input_class": "public"}, False),
    ({"destinations": ["*"]}, {}, False),
    ({"data_classes": ["confidential"]}, {}, True),
    ({"data_classes": ["internal", "restricted"]}, {}, False),
    ({"data_classes": ["restricted"]}, {"classification": "top-secret"}, True),
]


@pytest.mark.parametrize(("match", "parts", "speaks"), MATCHES)
def test_every_field_of_an_output_rule(match: dict[str, Any], parts: dict[str, Any], *, speaks: bool) -> None:
    decision = decide([output_rule("strict", "quarantine", **match)], facts(EMAIL, **parts))
    assert decision.verdict == ("quarantine" if speaks else "allow")
    assert decision.rules == (("strict",) if speaks else ())


def test_a_rule_may_loosen_a_default() -> None:
    assert decide([output_rule("let", "allow", categories=["secret"])], facts(SECRET)).verdict == "allow"


@pytest.mark.parametrize(
    "category", ["private_key", "platform_secret", "platform_credential", "unscannable", "oversize"]
)
def test_no_rule_loosens_the_floor(category: str) -> None:
    rules = [output_rule("let", "allow"), output_rule("let-more", "redact", categories=[category])]
    assert decide(rules, facts(("any", category, "low"))).verdict == "quarantine"


def test_the_strictest_rule_that_speaks_of_a_finding_wins_in_any_order() -> None:
    rules = [output_rule("b", "allow"), output_rule("c", "quarantine"), output_rule("a", "redact")]
    for written in (rules, rules[::-1]):
        decision = decide(written, facts(SECRET))
        assert (decision.verdict, decision.reason, decision.rules) == ("quarantine", "because of c", ("a", "b", "c"))


def test_facts_and_decisions_come_back_as_they_were() -> None:
    asked = facts(
        EMAIL,
        KEY,
        labels={"a": "b"},
        classification="secret",
        fingerprints=(("0" * 16, "1" * 16), ()),
        destination="mail",
        input_class="internal",
        shadow_detectors=("email",),
    )
    assert OutputFacts.from_dict(asked.as_dict()) == asked
    decision = decide([output_rule("a", "redact")], asked)
    assert OutputDecision.from_dict(decision.as_dict()) == decision
    assert decision.snapshot == SNAPSHOT


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"tenant": 1},
        {"findings": [["a", "b"]]},
        {"findings": [["a", "b", 1]]},
        {"destination": 1},
        {"input_class": 1},
        {"fingerprints": [["0"], ["1"]]},
        {"shadow_detectors": [1]},
    ],
)
def test_facts_of_another_shape_are_refused(broken: dict[str, Any]) -> None:
    whole = facts(EMAIL).as_dict() if broken else {}
    with pytest.raises(InvalidInput):
        OutputFacts.from_dict({**whole, **broken})


@pytest.mark.parametrize(
    "broken",
    [
        {"verdict": "drop"},
        {"verdict": None},
        {"more": 1},
        {"rules": [1]},
        {"data_class": "secret"},
        {"marks": [1]},
        {"shadowed": [["a"]]},
        {"ignored": None},
        {"allowed_by": [1]},
    ],
)
def test_decisions_of_another_shape_are_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        OutputDecision.from_dict({**decide([], facts(EMAIL)).as_dict(), **broken})
