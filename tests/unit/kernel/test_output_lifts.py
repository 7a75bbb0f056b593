"""What a bundle may let through, for how long and against whom; shadow; data classes and where outputs may go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdgate.kernel import limits
from holdgate.kernel.dataclass import DataClass, class_found, class_of
from holdgate.kernel.errors import PolicyInvalid
from holdgate.kernel.ids import Tenant
from holdgate.kernel.output import FLOOR, Finding, OutputDecision, OutputFacts, decide_output
from holdgate.kernel.policy import Policy, compile_policy
from holdgate.kernel.ruleform import parse_rules
from support.policies import DETECTOR, NOW_MS, SNAPSHOT

DAY_MS = 24 * 3600 * 1000
SECRET: Finding = ("github-token", "secret", "high")
EMAIL: Finding = ("email", "pii", "low")
CARD: Finding = ("card-number", "pii", "medium")
ORDER: Finding = ("ignore-previous", "untrusted_instructions", "medium")
CODE: Finding = ("custom.project", "pii", "high")
LET = {"id": "let", "reason": "an example token", "expires": "2026-06-01", "detectors": ["github-token"]}
HOLD = {"id": "hold", "verdict": "quarantine", "reason": "ours", "match": {"categories": ["secret", "pii"]}}


def of(**bundles: dict[str, Any]) -> Policy:
    return compile_policy([parse_rules(written, name) for name, written in bundles.items()], snapshot=SNAPSHOT)


def facts(*findings: Finding, **parts: Any) -> OutputFacts:
    known: dict[str, Any] = {"labels": {}, "classification": None, "tenant": Tenant("acme"), "topic": "job.a.read"}
    return OutputFacts(**{**known, **parts}, findings=findings)


def decide(written: dict[str, Any], asked: OutputFacts, now_ms: int = NOW_MS) -> OutputDecision:
    return decide_output(of(one=written), asked, now_ms)


# Findings that are let through ---------------------------------------------------------------------------------------


def test_a_finding_is_let_through_until_the_entry_expires_and_not_a_moment_longer() -> None:
    written = {"allow_findings": [{**LET, "expires": "2026-01-02T00:00:00Z"}], "output_rules": [HOLD]}
    before = decide(written, facts(SECRET), NOW_MS + DAY_MS - 1)
    assert (before.verdict, before.allowed_by, before.reason) == ("allow", ("let",), "an example token")
    after = decide(written, facts(SECRET), NOW_MS + DAY_MS)
    assert (after.verdict, after.allowed_by) == ("quarantine", ())


ENTRIES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    # (what the entry says besides, what the output has, whether the finding passes)
    ({}, {}, True),
    ({"detectors": ["email"]}, {}, False),
    ({"categories": ["secret"]}, {}, True),
    ({"categories": ["pii"]}, {}, False),
    ({"topics": ["job.a.*"]}, {}, True),
    ({"topics": ["job.b.*"]}, {}, False),
    ({"tenants": ["acme"]}, {}, True),
    ({"tenants": ["other"]}, {}, False),
    ({"labels": {"env": "test"}}, {"labels": {"env": "test"}}, True),
    ({"labels": {"env": "test"}}, {}, False),
    ({"fingerprints": ["a" * 16, "b" * 16]}, {"fingerprints": (("a" * 16,),)}, True),
    ({"fingerprints": ["a" * 16]}, {"fingerprints": (("a" * 16, "b" * 16),)}, False),
    ({"fingerprints": ["a" * 16]}, {"fingerprints": ((),)}, False),
    ({"fingerprints": ["a" * 16]}, {}, False),
]


@pytest.mark.parametrize(("entry", "parts", "passes"), ENTRIES)
def test_every_field_of_an_entry_must_hold(entry: dict[str, Any], parts: dict[str, Any], *, passes: bool) -> None:
    decision = decide({"allow_findings": [{**LET, **entry}]}, facts(SECRET, **parts))
    assert decision.verdict == ("allow" if passes else "redact")


def test_entries_for_single_values_add_up() -> None:
    entries = [{**LET, "id": name, "fingerprints": [name * 16]} for name in "ab"]
    both = facts(SECRET, fingerprints=(("a" * 16, "b" * 16),))
    assert decide({"allow_findings": entries}, both).allowed_by == ("a", "b")
    assert decide({"allow_findings": entries[:1]}, both).verdict == "redact"


@pytest.mark.parametrize("category", sorted(FLOOR))
def test_nothing_lifts_the_floor(category: str) -> None:
    """Neither an entry, nor a mode, nor a detector that ships in shadow."""
    written = {
        "allow_findings": [{**LET, "detectors": ["any"]}],
        "detector_modes": [{"detector": "any", "mode": "ignore", "reason": "noise"}],
    }
    decision = decide(written, facts(("any", category, "low"), shadow_detectors=("any",)))
    assert (decision.verdict, decision.shadowed, decision.ignored) == ("quarantine", (), ())
    assert decision.data_class == max(class_found([category]), DataClass.INTERNAL, key=lambda item: item.height)
    with pytest.raises(PolicyInvalid, match="always quarantined"):
        of(one={"allow_findings": [{**LET, "categories": [category]}]})


def test_no_bundle_lets_through_what_a_rule_of_another_keeps_back() -> None:
    """Over bundles the strictest wins, here too; its own rules a bundle may lift."""
    lifts: list[dict[str, Any]] = [
        {"allow_findings": [LET]},
        {"detector_modes": [{"detector": "github-token", "mode": "shadow"}]},
        {"detector_modes": [{"detector": "github-token", "mode": "ignore", "reason": "noise"}]},
    ]
    for lift in lifts:
        assert decide({**lift, "output_rules": [HOLD]}, facts(SECRET)).verdict == "allow"
        apart = decide_output(of(one=lift, two={"output_rules": [HOLD]}), facts(SECRET), NOW_MS)
        assert (apart.verdict, apart.allowed_by, apart.shadowed, apart.ignored) == ("quarantine", (), (), ())
        loose = {"output_rules": [{**HOLD, "verdict": "allow"}]}
        assert decide_output(of(one=lift, two=loose), facts(SECRET), NOW_MS).verdict == "allow"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"allow_findings": [{**LET, "expires": None}]}, "no value"),
    ({"allow_findings": [{key: value for key, value in LET.items() if key != "expires"}]}, "required"),
    ({"allow_findings": [{**LET, "expires": "soon"}]}, "a day such as"),
    ({"allow_findings": [{**LET, "expires": "2026-02-30"}]}, "a day such as"),
    ({"allow_findings": [{key: value for key, value in LET.items() if key != "reason"}]}, "required"),
    ({"allow_findings": [{key: value for key, value in LET.items() if key != "detectors"}]}, "`detectors` or"),
    ({"allow_findings": [{**LET, "fingerprints": ["A" * 16]}]}, "hexadecimal"),
    ({"allow_findings": [{**LET, "severity": "low"}]}, "unknown key"),
    ({"allow_findings": [LET, LET]}, "taken twice"),
    ({"destinations": {"mail": "secret"}}, "unknown data class"),
    ({"destinations": {"mail": {"tenants": ["acme"]}}}, "required"),
    ({"destinations": {"a*b": "public"}}, "at the end only"),
    ({"destinations": {}}, "empty"),
    ({"output_rules": [{**HOLD, "match": {"data_classes": ["secret"]}}]}, "unknown data class"),
    ({"output_rules": [{**HOLD, "match": {"severity_min": "worse"}}]}, "unknown severity"),
    ({"output_rules": [{**HOLD, "match": {"severity_min": "low", "severities": ["low"]}}]}, "keep one"),
    ({"detector_modes": [{"detector": "email", "mode": "off"}]}, "unknown mode"),
    ({"detector_modes": [{"detector": "email", "mode": "ignore"}]}, "needs a `reason`"),
    ({"detector_modes": [{"detector": "e mail", "mode": "shadow"}]}, "id of a detector"),
    ({"detectors": [{**DETECTOR, "id": "email"}]}, "begins with `custom.`"),
    ({"detectors": [{**DETECTOR, "category": "private_key"}]}, "unknown category"),
    ({"detectors": [{**DETECTOR, "regex": "PRJ-.*"}]}, "without a bound"),
    ({"detectors": [{**DETECTOR, "max_len": 9}]}, "`max_len`: a match can have 10 bytes"),
    ({"detectors": [{**DETECTOR, "stop": ["(?=x)y"]}]}, "look-around"),
    ({"detectors": [{**DETECTOR, "validator": "luhn"}]}, "unknown key"),
    ({"detectors": [{**DETECTOR, "examples": {"true": ["a"]}}]}, "required"),
    ({"detectors": [{**DETECTOR, "examples": {"true": [], "false": ["b"]}}]}, "empty"),
    ({"detectors": [DETECTOR, DETECTOR]}, "taken twice"),
    ({"detectors": [{**DETECTOR, "keywords": ["naïve"]}]}, "ASCII"),
    ({"unheard_of": []}, "unknown key"),
]


@pytest.mark.parametrize(("written", "reason"), REFUSED)
def test_what_is_not_understood_does_not_load(written: dict[str, Any], reason: str) -> None:
    with pytest.raises(PolicyInvalid, match=reason):
        of(one=written)


def test_ids_are_unique_over_bundles_and_detectors_bounded_in_number() -> None:
    with pytest.raises(PolicyInvalid, match="also taken in bundle `one`"):
        of(one={"detectors": [DETECTOR]}, two={"detectors": [DETECTOR]})
    many = [{**DETECTOR, "id": f"custom.d{number}"} for number in range(51)]
    with pytest.raises(PolicyInvalid, match="more than 50 items"):
        of(one={"detectors": many})
    sets = {
        f"b{place}": {"detectors": [{**item, "id": f"{item['id']}.{place}"} for item in many[:50]]}
        for place in range(5)
    }
    with pytest.raises(PolicyInvalid, match="more than 200 detectors"):
        of(**sets)
    del sets["b4"]
    assert len(of(**sets).detectors) == 200
    half, other = (parse_rules({"detectors": items}, "one") for items in (many[:26], many[26:]))
    with pytest.raises(PolicyInvalid, match="more than 50 detectors in one bundle"):
        compile_policy([replace(half, detectors=half.detectors + other.detectors)], snapshot=SNAPSHOT)


def test_all_detectors_fit_into_one_message_and_one_automaton(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else no output gate could scan any more, whoever's bundle it was."""
    written = {"detectors": [{**DETECTOR, "id": f"custom.d{number}"} for number in range(9)]}
    assert len(of(one=written).detectors) == 9
    for limit, most, reason in (("DETECTOR_BYTES_MAX", 500, "bytes, too many"), ("DETECTOR_SIZE_MAX", 60, "compiled")):
        with monkeypatch.context() as patched:
            patched.setattr(limits, limit, most)
            with pytest.raises(PolicyInvalid, match=reason):
                of(one=written)


# Detectors' modes ----------------------------------------------------------------------------------------------------


def test_a_shadow_detector_counts_and_changes_nothing() -> None:
    """Neither the verdict, nor the class that the bundle's own destinations go by, nor the marks."""
    shadow = {"detector_modes": [{"detector": name, "mode": "shadow"} for name, _, _ in (SECRET, ORDER)]}
    decision = decide({**shadow, "destinations": {"mail": "internal"}}, facts(SECRET, ORDER, destination="mail"))
    assert (decision.verdict, decision.data_class, decision.marks) == ("allow", "restricted", ())
    assert (decision.shadowed, decision.ignored) == ((SECRET, ORDER), ())
    ignored = [{"detector": SECRET[0], "mode": "ignore", "reason": "noise"}]
    decision = decide({"detector_modes": ignored}, facts(SECRET, CARD))
    assert (decision.shadowed, decision.ignored, decision.findings) == ((), (SECRET,), ("allow", "redact"))


def test_a_mode_holds_for_its_tenants_topics_and_time_and_the_strictest_wins() -> None:
    def shadowed(*modes: dict[str, Any], now_ms: int = NOW_MS, **parts: Any) -> bool:
        written = {"detector_modes": [{"detector": SECRET[0], **mode} for mode in modes]}
        return decide(written, facts(SECRET, **parts), now_ms).verdict == "allow"

    shadow = {"mode": "shadow"}
    assert shadowed({**shadow, "tenants": ["acme"], "topics": ["job.a.>"]})
    assert not shadowed({**shadow, "tenants": ["other"]})
    assert not shadowed({**shadow, "topics": ["job.b.>"]})
    assert shadowed({**shadow, "expires": "2026-01-01T00:00:01Z"})
    assert not shadowed({**shadow, "expires": "2026-01-01T00:00:01Z"}, now_ms=NOW_MS + 1000)
    assert not shadowed(shadow, {"mode": "enforce"})
    assert shadowed(shadow_detectors=(SECRET[0],))
    assert not shadowed({"mode": "enforce"}, shadow_detectors=(SECRET[0],))
    shipped = facts(SECRET, shadow_detectors=(SECRET[0],))
    said_again = of(one={"detector_modes": [{"detector": SECRET[0], **shadow}]}, two={"output_rules": [HOLD]})
    assert decide_output(said_again, shipped, NOW_MS).shadowed == (SECRET,)


def test_who_brings_a_detector_says_when_it_counts() -> None:
    """The rules of others about its category wait for that; another bundle cannot say it for them."""
    shadow = {"detector_modes": [{"detector": "custom.project", "mode": "shadow"}]}
    rules = {"output_rules": [HOLD]}
    shadowed = decide_output(of(one={"detectors": [DETECTOR], **shadow}, two=rules), facts(CODE), NOW_MS)
    assert (shadowed.shadowed, shadowed.data_class) == ((CODE,), "internal")
    assert decide_output(of(one={"detectors": [DETECTOR]}, two=rules), facts(CODE), NOW_MS).verdict == "quarantine"
    other = of(one={"detectors": [DETECTOR], **rules}, two=shadow)
    assert decide_output(other, facts(CODE), NOW_MS).verdict == "quarantine"


@pytest.mark.parametrize("mode", ["shadow", "ignore"])
def test_what_one_bundle_does_not_count_counts_for_the_classes_of_others(mode: str) -> None:
    """Else a tenant's bundle would open the destinations of all."""
    lifting = {"detector_modes": [{"detector": SECRET[0], "mode": mode, "reason": "noise"}]}
    guarded = {"destinations": {"mail": "internal"}}
    keeping = {"output_rules": [{**HOLD, "match": {"data_classes": ["restricted"]}}]}
    asked = facts(SECRET, destination="mail")
    for other in (guarded, {**keeping, "destinations": {"mail": "restricted"}}):
        decision = decide_output(of(one=lifting, two=other), asked, NOW_MS)
        assert (decision.verdict, decision.data_class) == ("quarantine", "restricted")
        decision = decide_output(of(one={**lifting, **other}), asked, NOW_MS)
        assert decision.verdict == "allow"
    assert decide_output(of(one=lifting), asked, NOW_MS).verdict == "quarantine"


def test_the_kernel_hands_out_detectors_for_those_whom_they_are_for() -> None:
    own = {**DETECTOR, "id": "custom.own", "tenants": ["acme"], "topics": ["job.a.>"], "keywords": ["Project"]}
    entry = {**LET, "fingerprints": ["a" * 16]}
    found = of(one={"detectors": [own, DETECTOR], "allow_findings": [entry]}).detector_set
    assert type(found).from_dict(found.as_dict()).as_dict() == found.as_dict()
    assert [item.id for item in found.of("acme", "job.a.b")] == ["custom.own", "custom.project"]
    assert [item.id for item in found.of("other", "job.a.b")] == ["custom.project"]
    assert [item.id for item in found.of("acme", "job.b")] == ["custom.project"]
    assert (found.snapshot, found.fingerprints, found.detectors[0].keywords) == (SNAPSHOT, {"a" * 16}, ("project",))
    assert "examples" not in found.as_dict()["detectors"][0]


# Marks ---------------------------------------------------------------------------------------------------------------


def test_instructions_to_an_agent_are_let_through_with_a_mark() -> None:
    decision = decide({"output_rules": []}, facts(ORDER))
    assert (decision.verdict, decision.marks) == ("allow", ("untrusted_instructions",))
    strict = {**HOLD, "match": {"categories": ["untrusted_instructions"]}}
    decision = decide({"output_rules": [strict]}, facts(ORDER))
    assert (decision.verdict, decision.marks) == ("quarantine", ("untrusted_instructions",))
    assert decide({"allow_findings": [{**LET, "detectors": [ORDER[0]]}]}, facts(ORDER)).marks == ()


# Data classes --------------------------------------------------------------------------------------------------------


def test_classes_are_ordered_and_what_is_unknown_is_the_highest() -> None:
    assert [item.height for item in DataClass] == [0, 1, 2, 3]
    assert [class_of(label) for label in (None, "public", "Public", "confidential", "")] == [
        "internal",
        "public",
        "restricted",
        "confidential",
        "restricted",
    ]
    assert [class_found([category]) for category in ("pii", "secret", "untrusted_instructions", "new")] == [
        "confidential",
        "restricted",
        "public",
        "restricted",
    ]
    assert class_found([]) == "public"


CLASSES: list[tuple[dict[str, Any], list[Finding], str]] = [
    ({}, [], "internal"),
    ({"classification": "public"}, [], "public"),
    ({"classification": "mine"}, [], "restricted"),
    ({"classification": "restricted", "input_class": "public"}, [], "public"),
    ({"input_class": "what"}, [], "restricted"),
    ({"input_class": "public"}, [EMAIL], "confidential"),
    ({"input_class": "confidential"}, [EMAIL, SECRET], "restricted"),
    ({"input_class": "restricted"}, [EMAIL], "restricted"),
]


@pytest.mark.parametrize(("parts", "findings", "expected"), CLASSES)
def test_an_output_has_the_highest_class_of_its_input_and_of_what_was_found(
    parts: dict[str, Any], findings: list[Finding], expected: str
) -> None:
    assert decide({"output_rules": []}, facts(*findings, **parts)).data_class == expected


def test_what_is_let_through_still_counts_for_the_class() -> None:
    """That it may be read says nothing about who may have it."""
    written = {"allow_findings": [LET], "destinations": {"mail": "internal"}}
    decision = decide(written, facts(SECRET, destination="mail"))
    assert (decision.verdict, decision.data_class, decision.allowed_by) == ("quarantine", "restricted", ("let",))


NAMES = {"mail": "confidential", "chat.*": "internal", "chat.security": "restricted", "chat.out*": "public"}
DESTINATIONS: list[tuple[str | None, str, bool]] = [
    # (destination, class of the input, whether it may go there)
    (None, "restricted", True),
    ("unheard-of", "internal", False),
    ("unheard-of", "public", True),
    ("mail", "confidential", True),
    ("mail", "restricted", False),
    ("mail2", "internal", False),
    ("chat.a", "internal", True),
    ("chat.a", "confidential", False),
    ("chat.security", "restricted", True),
    ("chat.outside", "internal", False),
    ("", "internal", False),
]


@pytest.mark.parametrize(("destination", "given", "passes"), DESTINATIONS)
def test_an_output_above_the_class_of_its_destination_is_quarantined(
    destination: str | None, given: str, *, passes: bool
) -> None:
    decision = decide({"destinations": NAMES}, facts(destination=destination, input_class=given))
    assert decision.verdict == ("allow" if passes else "quarantine")
    assert decision.rules == (() if passes else ("holdgate.destination-class",))
    assert passes or decision.reason.startswith(f"destination_class: `{given}` output")


def test_of_several_bundles_the_lowest_class_of_a_destination_counts() -> None:
    low = {"destinations": {"mail": {"class": "public", "tenants": ["acme"]}}}
    policy = of(one={"destinations": {"mail": "restricted"}}, two=low)
    assert decide_output(policy, facts(destination="mail"), NOW_MS).verdict == "quarantine"
    other = facts(destination="mail", tenant=Tenant("other"))
    assert decide_output(policy, other, NOW_MS).verdict == "allow"


def test_a_rule_may_ask_where_an_output_goes() -> None:
    for pattern, speaks in (("mail", True), ("ma*", True), ("*", True), ("ma", False), ("mail.*", False)):
        rule = {**HOLD, "match": {"destinations": [pattern], "categories": ["pii"]}}
        decision = decide(
            {"output_rules": [rule], "destinations": {"*": "restricted"}}, facts(CARD, destination="mail")
        )
        assert decision.rules == (("hold",) if speaks else ())


def test_a_rule_about_classes_or_destinations_alone_is_about_the_whole_output() -> None:
    whole = {**HOLD, "match": {"data_classes": ["restricted"], "destinations": ["mail"]}}
    written = {"output_rules": [whole], "destinations": {"mail": "restricted"}}
    decision = decide(written, facts(destination="mail", input_class="restricted"))
    assert (decision.verdict, decision.rules, decision.findings) == ("quarantine", ("hold",), ())
    assert decide(written, facts(destination="mail")).verdict == "allow"
    narrow = {**HOLD, "match": {"data_classes": ["restricted"], "categories": ["pii"]}}
    assert decide({"output_rules": [narrow]}, facts(input_class="restricted")).verdict == "allow"
