"""Two decisions about one job: which lets more through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdgate.bundles.comparison import Outcome, Terms, compare_terms, compare_verdicts, is_certain
from holdgate.kernel.records import Constraints, Verdict
from support.policies import decide, job, policy, rule

PAYLOAD = frozenset({"payload"})
ROLES = {"roles": ["lead"], "quorum": 1, "expires": "1h"}


def terms(**parts: Any) -> Terms:
    """Those of a decision by one rule of these parts."""
    return Terms.of(decide(policy(rule(**parts)), job()))


def test_a_laxer_verdict_is_wider_and_a_stricter_one_tighter() -> None:
    order = list(Verdict)
    for place, before in enumerate(order):
        for other, after in enumerate(order):
            expected = Outcome.SAME if other == place else Outcome.WIDER if other > place else Outcome.TIGHTER
            assert compare_verdicts(before, after) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Constraints(max_runtime_s=60), Constraints(max_runtime_s=30), Outcome.TIGHTER),
        (Constraints(max_runtime_s=60), Constraints(max_runtime_s=90), Outcome.WIDER),
        (Constraints(max_runtime_s=60), Constraints(), Outcome.WIDER),
        (Constraints(network=("a", "b")), Constraints(network=("b", "a")), Outcome.SAME),
        (Constraints(network=("a", "b")), Constraints(network=("b",)), Outcome.TIGHTER),
        (Constraints(network=("a",)), Constraints(network=("b",)), Outcome.OTHER),
        (Constraints(paths=("/etc",)), Constraints(paths=("/etc", "/root")), Outcome.TIGHTER),
        (
            Constraints(max_runtime_s=60, max_attempts=1),
            Constraints(max_runtime_s=30, max_attempts=2),
            Outcome.OTHER,
        ),
    ],
)
def test_constraints(before: Constraints, after: Constraints, expected: Outcome) -> None:
    outcome, differs = compare_terms(Terms(before), Terms(after))
    assert (outcome, differs) == (expected, () if expected is Outcome.SAME else ("constraints",))


def test_an_approval_that_may_be_weaker_is_never_called_tighter() -> None:
    one = terms(decision="require_approval", approvers={"roles": ["lead"], "quorum": 1, "expires": "1h"})
    two = terms(decision="require_approval", approvers={"roles": ["lead"], "quorum": 2, "expires": "1h"})
    assert compare_terms(two, one) == (Outcome.OTHER, ("approvals",))


def test_one_more_demand_is_tighter_and_one_less_wider() -> None:
    one = rule("one", "require_approval", approvers={"roles": ["lead"], "quorum": 1, "expires": "1h"})
    two = rule("two", "require_approval", approvers={"roles": ["owner"], "quorum": 1, "expires": "1h"})
    fewer, more = Terms.of(decide(policy(one), job())), Terms.of(decide(policy(one, two), job()))
    assert compare_terms(fewer, more)[0] is Outcome.TIGHTER
    assert compare_terms(more, fewer)[0] is Outcome.WIDER


def test_another_name_of_a_rule_is_no_change() -> None:
    first = terms(name="first", decision="require_approval", approvers=ROLES)
    second = terms(name="second", decision="require_approval", approvers=ROLES)
    assert compare_terms(first, second) == (Outcome.SAME, ())


def test_what_holds_within_a_limit_counts() -> None:
    held = [rule("slow", "throttle"), rule("hold", "require_approval", approvers=ROLES)]
    let = [rule("slow", "throttle"), rule("let")]
    before, after = (decide(policy(*rules), job()) for rules in (let, [rule("slow", "throttle")]))
    assert (before.verdict, after.verdict) == (Verdict.THROTTLE, Verdict.DENY)
    constrained = [rule("slow", "throttle"), rule("let", "allow_with_constraints")]
    before, after = (decide(policy(*rules), job()) for rules in (let, constrained))
    assert before.verdict is after.verdict is Verdict.THROTTLE
    outcome, differs = compare_terms(Terms.of(before), Terms.of(after))
    assert (outcome, set(differs)) == (Outcome.TIGHTER, {"constraints", "within"})
    assert decide(policy(*held), job()).verdict is Verdict.REQUIRE_APPROVAL


def certain(*rules: dict[str, Any], combining: str = "deny-overrides") -> bool:
    """Whether what is decided about a job without its payload is so whatever the payload was."""
    compiled, bare = policy(*rules, combining=combining), job().with_payload(None)
    return is_certain(compiled, bare, decide(compiled, bare), PAYLOAD)


LOOKING = rule("looking", "deny", when="job.payload.amount > 5")
LOOKING_ALLOW = rule("looking", when="job.payload.amount > 5")


def test_only_rules_that_would_be_asked_about_the_job_make_a_decision_doubtful() -> None:
    assert certain(rule("let"))
    assert certain(rule("let"), {**LOOKING, "match": {"topics": ["job.other"]}})
    assert certain(rule("let"), {**LOOKING, "match": {"labels": {"a": "b"}}})
    assert certain(rule("let"), rule("blind", "deny", when="job.topic == 'x'"))
    assert not certain(rule("let"), LOOKING)
    assert not certain(LOOKING_ALLOW)


def test_a_denial_by_a_rule_that_looks_at_nothing_missing_is_certain() -> None:
    assert certain(LOOKING, rule("plain", "deny"))
    assert not certain(LOOKING)


def test_what_is_not_denied_could_be_held_to_more() -> None:
    """A condition that cannot be evaluated counts as false in a rule that allows: its constraints are not seen."""
    bound = rule("looking", "allow_with_constraints", when="job.payload.amount > 5")
    assert not certain(rule("let"), bound)


def test_in_a_first_applicable_bundle_a_rule_that_looks_could_make_a_denial_void() -> None:
    assert not certain(LOOKING_ALLOW, rule("plain", "deny"), combining="first-applicable")


VERDICTS = st.sampled_from(["deny", "require_approval", "throttle", "allow_with_constraints", "allow"])
CONDITIONS = st.sampled_from(
    [None, "job.payload.amount > 5", "has(job.payload.amount)", "job.topic == 'job.demo.read'"]
)
COMBINING = st.sampled_from(["deny-overrides", "first-applicable"])


@given(st.lists(st.tuples(VERDICTS, CONDITIONS), min_size=1, max_size=4), COMBINING, st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_what_is_called_certain_is_what_is_decided_with_the_payload(
    written: list[tuple[str, str | None]], combining: str, amount: int
) -> None:
    rules = []
    for number, (verdict, condition) in enumerate(written):
        more: dict[str, Any] = {} if condition is None else {"when": condition}
        more |= {"approvers": ROLES} if verdict == "require_approval" else {}
        rules.append(rule(f"r{number}", verdict, **more))
    compiled = policy(*rules, combining=combining)
    for whole in (job(payload={"amount": amount}), job(payload={})):
        bare = whole.with_payload(None)
        decision = decide(compiled, bare)
        if is_certain(compiled, bare, decision, PAYLOAD):
            assert decide(compiled, whole).verdict is decision.verdict
