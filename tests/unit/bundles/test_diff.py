"""What counts as allowing more, what does not, and what cannot be told: a table of changes, each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from holdgate.bundles.diff import Diff, Direction, compare
from holdgate.bundles.diff.areas import meet_patterns
from holdgate.bundles.diff.hints import hints
from holdgate.bundles.diff.implication import implies
from holdgate.bundles.diff.samples import facts_of
from holdgate.bundles.simulate import Measured, job_of_facts
from holdgate.kernel.conditions import parse_condition
from holdgate.kernel.records import Verdict
from holdgate.kernel.ruleform import parse_rules
from holdgate.kernel.rules import BundleRules
from support.policies import NOW_MS, job, rule

W, T, C, U = Direction.WIDENS, Direction.TIGHTENS, Direction.CHANGES, Direction.UNCLEAR
ALL = rule("all")
"""Allows everything, so that what holds back shows."""


def bundle(*rules: Mapping[str, Any], name: str = "house", **document: Any) -> BundleRules:
    return parse_rules({"rules": list(rules), **document}, name)


def diff(before: list[dict[str, Any]], after: list[dict[str, Any]], **document: Any) -> Diff:
    return compare([bundle(*before, **document)], [bundle(*after, **document)])


def directions(found: Diff) -> list[tuple[str, Direction]]:
    return [(change.rule, change.direction) for change in found.changes]


def prod(decision: str, name: str = "r", **parts: Any) -> dict[str, Any]:
    return rule(name, decision, match={"labels": {"env": "prod"}}, **parts)


def hold(**approvers: Any) -> dict[str, Any]:
    return prod("require_approval", approvers=approvers)


def slow(**more: Any) -> dict[str, Any]:
    return prod("throttle", throttle={"limit": 5, "per": "1h", "key": ["tenant", "actor"], "over": "delay", **more})


def bound(**constraints: Any) -> dict[str, Any]:
    return prod("allow_with_constraints", constraints=constraints)


def deny(**match: Any) -> dict[str, Any]:
    return rule("r", "deny", match=match)


def allow(**match: Any) -> dict[str, Any]:
    return rule("r", "allow", match=match)


def escalated(**to: Any) -> dict[str, Any]:
    return hold(roles=["boss"], expires="4h", escalate_after="1h", escalate_to=to)


def held(name: str, *, reason: str = "because", **approvers: Any) -> dict[str, Any]:
    return prod("require_approval", name, reason=reason, approvers=approvers)


LOOSER: list[tuple[str, dict[str, Any] | None, dict[str, Any] | None]] = [
    # (what, the stricter rule, the looser one): from the first to the second widens, the other way round tightens
    ("a denial removed", prod("deny"), None),
    ("a denial to a hold", prod("deny"), prod("require_approval")),
    ("a hold removed", prod("require_approval"), None),
    ("a hold to an allowance", prod("require_approval"), prod("allow")),
    ("a throttle removed", prod("throttle"), None),
    ("constraints dropped", bound(max_runtime_s=60), prod("allow")),
    ("a constraint loosened", bound(max_runtime_s=60), bound(max_runtime_s=61)),
    ("one constraint of two dropped", bound(max_runtime_s=60, max_attempts=1), bound(max_runtime_s=60)),
    ("a network added to the allowed", bound(network=["a"]), bound(network=["a", "b"])),
    ("a path taken from the forbidden", bound(paths=["/a", "/b"]), bound(paths=["/a"])),
    ("a smaller quorum", hold(roles=["boss"], quorum=2), hold(roles=["boss"], quorum=1)),
    ("another role may release", hold(roles=["boss"]), hold(roles=["boss", "clerk"])),
    ("another name may release", hold(names=["ann"]), hold(names=["ann", "bob"])),
    ("a later expiry", hold(expires="4h"), hold(expires="5h")),
    ("own keys not needed", hold(signed=True), hold(signed=False)),
    ("escalated sooner", hold(expires="4h", escalate_after="2h"), hold(expires="4h", escalate_after="1h")),
    ("escalated at all", hold(expires="4h"), hold(expires="4h", escalate_after="1h")),
    ("escalated to another role", escalated(roles=["boss"]), escalated(roles=["boss", "clerk"])),
    ("escalated to another person", escalated(names=["ann"]), escalated(names=["ann", "bob"])),
    (
        "escalated to the role that need not be named",
        escalated(roles=["boss"]),
        hold(roles=["boss"], expires="4h", escalate_after="1h"),
    ),
    ("authors may release it", hold(not_author=True), hold()),
    ("in bulk", hold(bulk=False), hold()),
    ("in bulk, since it is less severe", prod("require_approval", severity="high"), prod("require_approval")),
    ("by standing grants", hold(), hold(grants=True)),
    ("by breaking glass", hold(break_glass=False), hold()),
    ("read for less long", hold(read_for="30s"), hold(read_for="29s")),
    ("not read for a time", hold(read_for="30s"), hold()),
    ("nothing to type", hold(confirm="yes"), hold()),
    ("a higher limit", slow(limit=5), slow(limit=6)),
    ("a shorter period", slow(per="1h"), slow(per="30m")),
    ("a bucket for each actor", slow(key=["tenant"]), slow(key=["tenant", "actor"])),
    ("delayed and not rejected", slow(over="reject"), slow(over="delay")),
    ("a narrower topic denied", deny(topics=["a.>"]), deny(topics=["a.*"])),
    ("fewer topics denied", deny(topics=["a", "b"]), deny(topics=["a"])),
    ("fewer labels denied", deny(labels={"env": ["a", "b"]}), deny(labels={"env": "a"})),
    ("a field more to deny", deny(topics=["a"]), deny(topics=["a"], capabilities=["write"])),
    ("more to require to deny", deny(requires=["a"]), deny(requires=["a", "b"])),
    ("only with secrets denied", deny(topics=["a"]), deny(topics=["a"], secrets_present=True)),
    ("only with personal data denied", deny(topics=["a"]), deny(topics=["a"], pii_present=True)),
    ("only where a secret is asked for denied", deny(topics=["a"]), deny(topics=["a"], secrets=["db"])),
    ("only without secrets denied", deny(topics=["a"]), deny(topics=["a"], secrets_present=False)),
    ("a tenant less denied", deny(tenants=["a", "b"]), deny(tenants=["a"])),
    ("a principal less denied", deny(principals=["a", "b"]), deny(principals=["a"])),
    ("an actor type less denied", deny(actor_types=["agent", "ci"]), deny(actor_types=["ci"])),
    ("a risk less denied", deny(risk_tags=["a", "b"]), deny(risk_tags=["a"])),
    ("a tool less denied", deny(mcp={"tools": ["a", "b"]}), deny(mcp={"tools": ["a"]})),
    (
        "spared by `not`",
        deny(topics=["a.>"]),
        rule("r", "deny", match={"topics": ["a.>"]}, **{"not": {"actors": ["x"]}}),
    ),
    ("a condition more to deny", prod("deny"), prod("deny", when="job.payload.n > 5")),
    ("a higher bound to deny", prod("deny", when="job.payload.n > 5"), prod("deny", when="job.payload.n > 9")),
    ("denied by night only", prod("deny"), prod("deny", when="now.getHours() < 6")),
]


@pytest.mark.parametrize(("what", "strict", "loose"), LOOSER, ids=[item[0] for item in LOOSER])
def test_less_held_back_widens_and_the_other_way_round_tightens(
    what: str, strict: dict[str, Any] | None, loose: dict[str, Any] | None
) -> None:
    del what
    one, other = ([ALL, *([item] if item else [])] for item in (strict, loose))
    wider, tighter = diff(one, other), diff(other, one)
    assert directions(wider) == [("r", W)]
    assert wider.widens
    assert directions(tighter) == [("r", T)]
    assert not tighter.widens
    assert wider.changes[0].example is not None
    assert tighter.changes[0].example is not None


def test_another_text_to_type_needs_acceptance_whichever_it_is() -> None:
    """Nobody can say which of two texts makes people think."""
    one, other = [ALL, hold(confirm="delete prod")], [ALL, hold(confirm="y")]
    for before, after in ((one, other), (other, one)):
        assert diff(before, after).widens


def test_how_severe_it_is_is_told_and_changes_nothing_by_itself() -> None:
    less, more = (prod("require_approval", severity=severity) for severity in ("high", "critical"))
    for before, after in ((less, more), (more, less)):
        assert directions(diff([ALL, before], [ALL, after])) == [("r", C)]
    (change,) = diff([ALL, less], [ALL, more]).changes
    assert change.what == "`approvers.severity` high → critical"


def test_a_rule_that_holds_less_and_more_is_told_twice_each_time_with_what_leads_there() -> None:
    """In times as rules write them."""
    before = hold(roles=["boss"], expires="4h")
    after = hold(roles=["boss"], expires="90m", escalate_after="30m", read_for="2m", quorum=2)
    looser, tighter = diff([ALL, before], [ALL, after]).changes
    assert (looser.direction, tighter.direction) == (W, T)
    assert looser.what == "`approvers.escalate_after_s` none → 30m"
    assert tighter.what == ("`approvers.quorum` 1 → 2; `approvers.expires_s` 4h → 90m; `approvers.reading_s` 0s → 2m")


def test_who_may_release_it_once_it_escalates_is_no_wider_than_who_may_anyway() -> None:
    before = hold(roles=["boss", "clerk"], expires="4h", escalate_after="1h")
    after = hold(roles=["boss"], expires="4h", escalate_after="2h", escalate_to={"roles": ["clerk"]})
    assert not diff([ALL, before], [ALL, after]).widens


LIMITED = {**slow(over="hold"), "approvers": {"roles": ["boss"], "quorum": 2}}
HOLDS: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]], bool]] = [
    ("by fewer", [ALL, LIMITED], [ALL, LIMITED, held("h", roles=["boss"])], True),
    ("by others", [ALL, LIMITED], [ALL, LIMITED, held("h", roles=["clerk"], quorum=2)], True),
    ("by the same", [ALL, LIMITED], [ALL, LIMITED, held("h", roles=["boss"], quorum=2)], False),
    (
        "by fewer, and by others that are as strict",
        [ALL, LIMITED],
        [ALL, LIMITED, held("h", roles=["clerk"]), held("i", roles=["boss"], quorum=3)],
        False,
    ),
    ("by nobody", [ALL, LIMITED], [ALL, LIMITED, held("h", roles=["clerk"]), rule("d", "deny")], False),
    (
        "by others who did before",
        [ALL, LIMITED, held("h", roles=["clerk"])],
        [ALL, LIMITED, held("i", roles=["clerk"], reason="so")],
        False,
    ),
    (
        "where the limit never was",
        [ALL, LIMITED],
        [ALL, LIMITED, rule("h", "require_approval", match={"labels": {"env": "dev"}})],
        False,
    ),
    (
        "where the limit only rejected",
        [ALL, slow(over="reject")],
        [ALL, slow(over="reject"), held("h", roles=["clerk"])],
        False,
    ),
]


@pytest.mark.parametrize(("what", "before", "after", "widens"), HOLDS, ids=[item[0] for item in HOLDS])
def test_jobs_over_a_limit_are_released_beside_it(
    what: str, before: list[dict[str, Any]], after: list[dict[str, Any]], *, widens: bool
) -> None:
    """A rule that holds a job has its approvers release it, and not those of a limit over which it is too."""
    del what
    found = diff(before, after)
    assert found.widens is widens
    if widens:
        example = found.changes[0].example
        assert example is not None
        assert example["how"] == "over a rate limit easier to approve"


LIFTS: list[tuple[str, dict[str, Any] | None, dict[str, Any]]] = [
    ("a new allowance", None, allow(topics=["a"])),
    ("a new hold where nothing was allowed", None, rule("r", "require_approval", match={"topics": ["a"]})),
    ("a new allowance with constraints", None, bound(max_runtime_s=5)),
    ("another topic", allow(topics=["a"]), allow(topics=["a", "b"])),
    ("a deeper topic", allow(topics=["a.*"]), allow(topics=["a.>"])),
    ("a field less to allow", allow(topics=["a"], actors=["x"]), allow(topics=["a"])),
    ("another capability", allow(capabilities=["a"]), allow(capabilities=["a", "b"])),
    ("less to require", allow(requires=["a", "b"]), allow(requires=["a"])),
    ("nobody spared", rule("r", "allow", **{"not": {"labels": {"env": "prod"}}}), rule("r", "allow")),
    ("a condition dropped", rule("r", "allow", when="job.payload.n < 5"), rule("r", "allow")),
    (
        "a condition loosened",
        rule("r", "allow", when='job.labels.team == "a"'),
        rule("r", "allow", when='job.labels.team in ["a", "b"]'),
    ),
]


@pytest.mark.parametrize(("what", "old", "new"), LIFTS, ids=[item[0] for item in LIFTS])
def test_what_nothing_allowed_before_widens(what: str, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
    del what
    before = [] if old is None else [old]
    found = diff(before, [new])
    assert directions(found) == [("r", W)]
    example = found.changes[0].example
    assert example is not None
    assert example["before"]["verdict"] == "deny"
    assert directions(diff([new], before))[-1] == ("r", T)


HARMLESS: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]], list[tuple[str, Direction]]]] = [
    ("a denial that a wider one keeps", [ALL, prod("deny"), rule("s", "deny")], [ALL, rule("s", "deny")], [("r", C)]),
    ("a denial where nothing is allowed", [prod("deny")], [], [("r", C)]),
    (
        "a hold that a denial keeps",
        [ALL, prod("require_approval"), rule("s", "deny")],
        [ALL, rule("s", "deny")],
        [("r", C)],
    ),
    (
        "a hold that a stricter one replaces",
        [ALL, hold(roles=["boss", "clerk"])],
        [ALL, rule("s", "require_approval", approvers={"roles": ["boss"], "quorum": 2})],
        [("r", C), ("s", T)],
    ),
    ("an allowance inside another", [ALL], [ALL, allow(topics=["a"])], [("r", C)]),
    ("an allowance that a denial covers", [rule("s", "deny")], [rule("s", "deny"), allow(topics=["a"])], [("r", C)]),
    (
        "one rule in place of two",
        [rule("a", match={"topics": ["a"]}), rule("b", match={"topics": ["b"]})],
        [rule("r", match={"topics": ["a", "b"]})],
        [("a", C), ("b", C), ("r", C)],
    ),
    ("another name", [prod("deny")], [prod("deny", "s")], [("r", C), ("s", C)]),
    ("another reason", [rule("r")], [rule("r", reason="so")], [("r", C)]),
    (
        "a safer way offered",
        [prod("deny")],
        [prod("deny", remediations=[{"id": "x", "title": "X", "topic": "a"}])],
        [("r", C)],
    ),
    (
        "an allowance removed",
        [ALL, rule("s", match={"topics": ["a"]})],
        [rule("s", match={"topics": ["a"]})],
        [("all", T)],
    ),
    ("the same in another order", [ALL, prod("deny")], [prod("deny"), ALL], []),
    (
        "a throttle that rejects what it delayed",
        [ALL, slow(over="delay")],
        [ALL, slow(over="reject")],
        [("r", T)],
    ),
]


@pytest.mark.parametrize(("what", "before", "after", "expected"), HARMLESS, ids=[item[0] for item in HARMLESS])
def test_what_is_proven_harmless_needs_no_acceptance(
    what: str, before: list[dict[str, Any]], after: list[dict[str, Any]], expected: list[tuple[str, Direction]]
) -> None:
    del what
    found = diff(before, after)
    assert sorted(directions(found)) == sorted(expected)
    assert not found.widens


def test_a_throttle_split_in_two_is_not_as_tight() -> None:
    """Two rules have two buckets: twice as many jobs may run in the time."""
    limit = {"throttle": {"limit": 5, "per": "1h"}}
    one = rule("r", "throttle", match={"topics": ["a", "b"]}, **limit)
    two = [rule(name, "throttle", match={"topics": [name]}, **limit) for name in ("a", "b")]
    assert diff([ALL, one], [ALL, *two]).widens
    assert not diff([ALL, *two], [ALL, one]).widens


def test_what_cannot_be_shown_harmless_needs_acceptance() -> None:
    """No job was found that the condition is true of; nobody said that there is none."""
    found = diff([], [rule("r", when='job.prompt.matches("^[a-f]{9}$")')])
    assert directions(found) == [("r", U)]
    assert found.changes[0].example is None
    assert found.widens


def test_other_bundles_count() -> None:
    guard = bundle(rule("guard", "deny", match={"topics": ["job.>"]}), name="guard")
    before, after = bundle(ALL), bundle(ALL, allow(topics=["job.x"]))
    assert not compare([guard, before], [guard, after]).widens
    assert compare([guard, before], [before]).widens


FIRST = {"combining": "first-applicable"}


def test_order_counts_in_a_first_applicable_bundle() -> None:
    rules = [prod("deny"), ALL]
    assert directions(diff(rules, rules[::-1], **FIRST))[0] == ("r", W)
    assert not diff(rules[::-1], rules, **FIRST).widens


@pytest.mark.parametrize(
    ("after", "widens"),
    [
        ([rule("first", "deny"), prod("deny"), ALL], False),
        ([prod("deny"), ALL, rule("last", "deny")], False),
        ([rule("first", match={"topics": ["a"]}), prod("deny"), ALL], True),
        ([ALL], True),
        ([prod("deny")], False),
    ],
)
def test_a_rule_put_into_a_first_applicable_bundle(after: list[dict[str, Any]], *, widens: bool) -> None:
    assert diff([prod("deny"), ALL], after, **FIRST).widens is widens


def test_a_change_of_combining_is_looked_at() -> None:
    rules = [ALL, prod("deny")]
    strict, loose = bundle(*rules), bundle(*rules, **FIRST)
    assert directions(compare([strict], [loose]))[0] == ("r", W)
    assert not compare([loose], [strict]).widens


def test_a_root_that_allows_by_default_makes_a_removed_denial_wide() -> None:
    before, after = [bundle(prod("deny"))], [bundle()]
    assert not compare(before, after).widens
    assert compare(before, after, default=Verdict.ALLOW).widens


def output(verdict: str, **match: Any) -> dict[str, Any]:
    return {"id": "o", "verdict": verdict, "reason": "so", "match": match}


OUTPUTS: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]], Direction]] = [
    ("redacted and not quarantined", [output("quarantine")], [output("redact")], W),
    ("let out and not redacted", [output("redact")], [output("allow")], W),
    (
        "a category less quarantined",
        [output("quarantine", categories=["pii", "x"])],
        [output("quarantine", categories=["pii"])],
        W,
    ),
    ("a secret let out", [], [output("allow", categories=["secret"])], W),
    ("a quarantine removed", [output("quarantine", topics=["a.>"])], [], W),
    ("an e-mail address no longer redacted", [output("redact", detectors=["email"])], [], W),
    ("quarantined and not redacted", [output("redact")], [output("quarantine")], T),
    ("a leave to let out taken back", [output("allow", categories=["secret"])], [], T),
    ("what is redacted anyway", [], [output("redact", categories=["secret"])], C),
    ("what is quarantined anyway", [], [output("allow", categories=["private_key"])], C),
    ("another reason", [output("redact")], [{**output("redact"), "reason": "other"}], C),
]


@pytest.mark.parametrize(("what", "before", "after", "expected"), OUTPUTS, ids=[item[0] for item in OUTPUTS])
def test_output_rules(
    what: str, before: list[dict[str, Any]], after: list[dict[str, Any]], expected: Direction
) -> None:
    del what
    one, other = (parse_rules({"output_rules": items}, "house") for items in (before, after))
    assert directions(compare([one], [other])) == [("o", expected)]


def test_a_diff_tells_itself_in_plain_values_the_widening_first() -> None:
    found = diff([ALL, prod("deny")], [ALL, prod("deny", "a-new", reason="so"), prod("allow", "z")]).as_dict()
    assert (found["widens"], [change["direction"] for change in found["changes"]]) == (False, ["changes"] * 3)
    found = diff([ALL, prod("deny")], [ALL]).as_dict()
    assert found["widens"] is True
    (change,) = found["changes"]
    assert change["example"] == {
        "facts": {"labels": {"env": "prod"}, "topic": "some"},
        "before": {"verdict": "deny", "rules": ["r"], "reason": "because of r"},
        "after": {"verdict": "allow", "rules": ["all"], "reason": "because of all"},
        "how": "deny → allow",
    }


@pytest.mark.parametrize(
    ("left", "right", "both"),
    [
        ("a.b", "a.b", "a.b"),
        ("a.*", "*.b", "a.b"),
        ("a.>", "*.b", "a.b"),
        ("a.>", ">", "a.>"),
        ("a.>", "a.*.c", "a.*.c"),
        ("a.>", "a", None),
        ("a.*", "a.b.c", None),
        ("a.b", "a.c", None),
        ("*", ">", "*"),
    ],
)
def test_what_two_patterns_have_in_common(left: str, right: str, both: str | None) -> None:
    assert meet_patterns(left, right) == meet_patterns(right, left) == both


def test_hints_name_what_a_condition_looks_at() -> None:
    found = hints(parse_condition('job.payload.order.amount > 100 && job.labels["team"] == "a"'))
    assert {"payload": {"order": {"amount": 101}}, "labels": {"team": "a"}} in found
    assert len(found) <= 32


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        ("job.payload.n > 9", "job.payload.n > 5", True),
        ("job.payload.n > 5", "job.payload.n > 9", False),
        ("job.payload.n > 5", "job.payload.n >= 5", True),
        ("job.payload.n >= 5", "job.payload.n > 5", False),
        ("job.payload.n < 5", "job.payload.n <= 5", True),
        ("job.payload.n <= 5", "job.payload.n < 5", False),
        ("job.payload.n < 5", "job.payload.n < 9", True),
        ("job.payload.n < 5", "job.payload.n > 1", False),
        ("job.payload.n == 7", "job.payload.n > 5", True),
        ("job.payload.n == 5", "job.payload.n > 5", False),
        ("job.payload.n > 9", "job.payload.m > 5", False),
        ("job.payload.n > 9 && actor == 'a'", "job.payload.n > 5", True),
        ("actor == 'a'", "actor == 'a' && job.payload.n > 5", False),
        ("actor == 'a' || job.payload.n > 9", "job.payload.n > 9", False),
        ("actor == 'a' && job.payload.n > 9 || actor == 'b'", "actor == 'a'", False),
        ("actor == 'a && b' && job.payload.n > 9", "actor == 'a && b'", True),
        ("!(actor == 'a' && actor == 'b')", "!(actor == 'a'", False),
        ("actor == 'a' && true ? true : true", "actor == 'a'", False),
    ],
)
def test_a_condition_follows_from_another(inner: str, outer: str, *, expected: bool) -> None:
    assert implies(inner, outer) is expected


def test_a_condition_without_an_answer_counts_for_what_holds_back_and_not_for_what_allows() -> None:
    """Where it has no answer, a hold lifts what the allowance did not, and the allowance does not constrain."""
    small, limits = {"when": "job.payload.n < 5"}, {"constraints": {"max_runtime_s": 5}}
    allowed, held = rule("yes", "allow", **small), rule("r", "require_approval", **small)
    assert directions(diff([allowed], [allowed, held]))[0] == ("r", W)
    keeper = rule("keeper", "require_approval")
    before = [ALL, keeper, rule("r", "require_approval", **small, **limits)]
    after = [ALL, keeper, rule("r", "allow_with_constraints", **small, **limits)]
    assert directions(diff(before, after))[0] == ("r", W)


def test_the_facts_of_a_job_make_the_same_job_again() -> None:
    asked = job(
        payload={"n": [1, {"a": "b"}]},
        prompt="do",
        labels={"env": "prod"},
        capability="write",
        risk_tags=["pii"],
        requires=["gpu"],
        pool="large",
        priority="high",
        concurrency_key="one",
        run_at="2026-01-02T00:00:00Z",
        deadline="2026-01-03T00:00:00Z",
        max_attempts=1,
        secrets=["db"],
        secrets_present=True,
        pii_present=True,
    )
    facts = facts_of(asked, NOW_MS)
    assert facts.pop("secrets_present") is facts.pop("pii_present") is True
    again, at_ms = job_of_facts(facts, 1, 0, lambda _prompt, _payload: Measured(secrets=True, pii=True))
    assert (again.job_hash(), at_ms) == (asked.job_hash(), NOW_MS)
    assert facts_of(job(), NOW_MS).keys() == {"topic", "now", "tenant", "actor", "actor_type", "principals"}
