"""The comparison of what bundles say of outputs beside their rules: whatever lets more out is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdgate.bundles.diff import Direction, compare
from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.output import STRICTNESS, OutputFacts, decide_output
from holdgate.kernel.policy import Policy, compile_policy
from holdgate.kernel.ruleform import parse_rules
from holdgate.kernel.rules import BundleRules
from support.drawn import PATTERNS, TOPICS, maybe, optional, some
from support.policies import DETECTOR, SNAPSHOT

W, U, T, C = Direction.WIDENS, Direction.UNCLEAR, Direction.TIGHTENS, Direction.CHANGES
LET = {"id": "let", "reason": "an example", "expires": "2026-06-01", "detectors": ["iban"], "topics": ["a.>"]}
SHADOW = {"detector": "iban", "mode": "shadow"}
OURS = {**DETECTOR, "tenants": ["acme"]}


def entry(**parts: Any) -> dict[str, Any]:
    return {"allow_findings": [{**LET, **parts}]}


def mode(**parts: Any) -> dict[str, Any]:
    return {"detector_modes": [{**SHADOW, **parts}]}


def detector(**parts: Any) -> dict[str, Any]:
    return {"detectors": [{**OURS, **parts}]}


def to(**classes: Any) -> dict[str, Any]:
    return {"destinations": classes}


CASES: list[tuple[str, dict[str, Any], dict[str, Any], Direction]] = [
    ("findings let through", {}, entry(), W),
    ("single values let through", {}, entry(fingerprints=["a" * 16]), U),
    ("findings not let through any more", entry(), {}, T),
    ("let through for longer", entry(), entry(expires="2026-07-01"), U),
    ("let through less long", entry(), entry(expires="2026-05-01"), T),
    ("let through elsewhere too", entry(), entry(topics=["a.>", "b.>"]), W),
    ("let through in less places", entry(), entry(topics=["a.b"]), T),
    ("any value let through", entry(fingerprints=["a" * 16]), entry(), W),
    ("only one value let through", entry(), entry(fingerprints=["a" * 16]), T),
    ("let through for another reason", entry(), entry(reason="because"), C),
    ("a detector set to shadow", {}, mode(), W),
    ("a detector ignored", mode(), mode(mode="ignore", reason="noise"), U),
    ("a detector in shadow for longer", mode(expires="2026-02-01"), mode(), U),
    ("a detector that counts again", mode(), {}, T),
    ("a detector that is enforced", {}, mode(mode="enforce"), T),
    ("a detector not enforced any more", mode(mode="enforce"), {}, U),
    ("a mode for another reason", mode(reason="so"), mode(reason="or so"), None),  # type: ignore[list-item]
    ("a detector added", {}, detector(), T),
    ("a detector removed", detector(), {}, U),
    ("another pattern", detector(), detector(regex=r"\bPRJ-\d{5}\b"), U),
    ("a detector for everybody", detector(), detector(tenants=None), T),
    ("a detector for others", detector(), detector(tenants=["rival"]), U),
    ("a detector with other examples", detector(), detector(examples={"true": ["PRJ-123456"], "false": ["x"]}), C),
    ("a destination known", {}, to(mail="internal"), W),
    ("a destination raised", to(mail="internal"), to(mail="restricted"), W),
    ("a destination lowered", to(mail="internal"), to(mail="public"), T),
    ("a destination forgotten", to(mail="internal"), {}, T),
    ("an exception forgotten", to(**{"mail": "public", "*": "internal"}), to(**{"*": "internal"}), W),
    ("an exception made", to(**{"*": "internal"}), to(**{"mail": "public", "*": "internal"}), T),
    ("a destination for a tenant raised", to(mail="internal"), to(mail={"class": "restricted", "tenants": ["x"]}), W),
    ("a destination on a topic", {}, to(mail={"class": "internal", "topics": ["a.b"]}), W),
]


def parsed(written: dict[str, Any], name: str = "house") -> BundleRules:
    document = {
        key: [{k: v for k, v in item.items() if v is not None} for item in value] if isinstance(value, list) else value
        for key, value in written.items()
    }
    return parse_rules({"rules": [], **document}, name)


@pytest.mark.parametrize(("before", "after", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_change_goes_where_it_goes(before: dict[str, Any], after: dict[str, Any], wanted: Direction | None) -> None:
    changes = compare([parsed(before)], [parsed(after)]).changes
    strictest = min((list(Direction).index(change.direction) for change in changes), default=None)
    assert wanted == (None if strictest is None else list(Direction)[strictest])
    assert all((change.direction is W) <= (change.example is not None) for change in changes)


def test_a_rule_that_goes_where_others_lift_it_widens() -> None:
    """The same words in another bundle hold less, where that bundle lets through what they keep back."""
    rule = {"output_rules": [{"id": "hold", "verdict": "quarantine", "reason": "x", "match": {"detectors": ["iban"]}}]}
    before = [parsed(entry(), "team"), parsed(rule, "house")]
    after = [parsed({**entry(), **rule}, "team"), parsed({}, "house")]
    assert compare(before, after).widens
    assert not compare(after, before).widens


def test_a_rule_that_says_what_the_default_says_holds_against_what_other_bundles_let_through() -> None:
    """Without it the default holds, which they lift."""
    rule = {"output_rules": [{"id": "keep", "verdict": "redact", "reason": "x", "match": {"categories": ["secret"]}}]}
    lift = parsed(entry(), "team")
    assert compare([lift, parsed(rule)], [lift, parsed({})]).widens
    assert not compare([parsed(rule)], [parsed({})]).widens


def test_a_rule_about_whole_outputs_is_not_replaced_by_one_about_findings() -> None:
    def hold(**match: Any) -> list[BundleRules]:
        return [parsed({"output_rules": [{"id": "hold", "verdict": "quarantine", "reason": "x", "match": match}]})]

    (change,) = compare(hold(data_classes=["restricted"]), hold()).changes
    assert change.direction is W
    assert change.example is not None
    assert change.example["output"]["findings"] == []


def test_a_destination_stands_once_in_a_bundle() -> None:
    once = parsed(to(mail="internal"))
    with pytest.raises(Exception, match="two files"):
        compile_policy([replace(once, destinations=once.destinations * 2)], snapshot=SNAPSHOT)


# Random sets ---------------------------------------------------------------------------------------------------------

WHERE: dict[str, Any] = {"topics": some(PATTERNS), "tenants": some(["default", "acme"])}
CLASSES = ["public", "internal", "confidential", "restricted"]
PLACES = ["mail", "mail.*", "mail.a", "chat*", "*"]
RULE = st.fixed_dictionaries(
    {
        "verdict": st.sampled_from(["allow", "redact", "quarantine"]),
        "reason": st.just("so"),
        "match": maybe(
            categories=some(["secret", "pii", "private_key"]),
            detectors=some(["email", "iban"]),
            destinations=some(PLACES),
            data_classes=some(CLASSES),
            **WHERE,
        ),
    }
)
ENTRY = st.builds(
    lambda base, parts: {**base, **parts},
    st.fixed_dictionaries(
        {
            "reason": st.just("so"),
            "expires": st.sampled_from(["2026-02-01", "2026-03-01"]),
            "detectors": some(["email", "iban"]),
        }
    ),
    maybe(categories=some(["secret", "pii"]), fingerprints=some(["a" * 16, "b" * 16]), **WHERE),
)
MODE = st.builds(
    lambda base, parts: {**base, **parts},
    st.fixed_dictionaries(
        {
            "detector": st.sampled_from(["email", "iban"]),
            "mode": st.sampled_from(["shadow", "ignore", "enforce"]),
            "reason": st.just("so"),
        }
    ),
    maybe(expires=st.sampled_from(["2026-02-01", "2026-03-01"]), **WHERE),
)
PLACE = st.sampled_from(CLASSES) | st.builds(
    lambda name, parts: {"class": name, **parts}, st.sampled_from(CLASSES), maybe(**WHERE)
)
DOCUMENT = st.fixed_dictionaries(
    {
        "output_rules": st.lists(RULE, max_size=2),
        "allow_findings": st.lists(ENTRY, max_size=1),
        "detector_modes": st.lists(MODE, max_size=1),
        "destinations": st.dictionaries(st.sampled_from(PLACES), PLACE, max_size=2),
    }
)
OUTPUTS = st.builds(
    OutputFacts,
    tenant=st.sampled_from(["default", "acme"]),
    topic=st.sampled_from(TOPICS),
    labels=st.just({}),
    classification=st.none(),
    findings=st.sampled_from(
        [(), (("email", "pii", "low"),), (("iban", "secret", "high"),), (("iban", "private_key", "high"),)]
    ),
    destination=optional(["mail", "mail.a", "mail.b", "chat", "other"]),
    input_class=optional(CLASSES),
    shadow_detectors=st.sampled_from([(), ("iban",)]),
)
TIMES = [parse_rfc3339(f"2026-{month:02}-15T00:00:00Z") for month in (1, 2, 4)]


def bundles_of(documents: list[dict[str, Any]]) -> list[BundleRules]:
    found = []
    for place, document in enumerate(documents):
        named = {
            key: [{"id": f"{key[0]}{place}{number}", **item} for number, item in enumerate(document[key])]
            for key in ("output_rules", "allow_findings")
        }
        destinations = {"destinations": document["destinations"]} if document["destinations"] else {}
        found.append(parse_rules({**named, "detector_modes": document["detector_modes"], **destinations}, f"b{place}"))
    return found


def strictness(policy: Policy, facts: OutputFacts, now_ms: int) -> int:
    return STRICTNESS[decide_output(policy, facts, now_ms).verdict]


@given(st.lists(DOCUMENT, min_size=2, max_size=2), st.data(), st.lists(OUTPUTS, min_size=10, max_size=20))
@settings(max_examples=60, deadline=None)
def test_no_output_gets_out_unless_the_comparison_says_so(
    written: list[dict[str, Any]], data: st.DataObject, outputs: list[OutputFacts]
) -> None:
    changed = [dict(document) for document in written]
    fresh = data.draw(DOCUMENT)
    where = data.draw(st.integers(0, 1))
    for key in data.draw(st.lists(st.sampled_from(sorted(fresh)), min_size=1, max_size=2, unique=True)):
        changed[where][key] = fresh[key] if data.draw(st.booleans()) else changed[1 - where][key]
    sets = [bundles_of(written), bundles_of(changed)]
    before, after = (compile_policy(bundles, snapshot=SNAPSHOT) for bundles in sets)
    diff = compare(*sets)
    for change in diff.changes:
        if change.direction is W and change.example is not None:
            facts = OutputFacts.from_dict(change.example["output"])
            assert strictness(after, facts, 0) < strictness(before, facts, 0)
    if not diff.widens:
        for facts in outputs:
            filled = replace(facts, fingerprints=(("a" * 16,),) * len(facts.findings))
            for now_ms in TIMES:
                assert strictness(after, filled, now_ms) >= strictness(before, filled, now_ms), filled
