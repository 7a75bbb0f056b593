"""Two decisions about one job: which lets more through."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.bundles.comparison import Outcome, Terms, compare_terms, compare_verdicts, is_certain, lookers
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


def test_only_rules_that_would_be_asked_about_the_job_look_at_its_payload() -> None:
    reading = policy(
        rule("here", "deny", when="job.payload.amount > 5", match={"topics": ["job.demo.*"]}),
        rule("elsewhere", "deny", when="job.payload.amount > 5", match={"topics": ["job.other"]}),
        rule("not-mine", "deny", when="job.payload.amount > 5", match={"labels": {"a": "b"}}),
        rule("blind", "deny", when="job.topic == 'x'"),
        rule("let"),
    )
    assert lookers(reading, job(), PAYLOAD) == {"here"}


def test_a_denial_by_a_rule_that_looks_at_nothing_missing_is_certain() -> None:
    looking = rule("looking", "deny", when="job.payload.amount > 5")
    bare = job().with_payload(None)
    for rules, certain in (
        ([looking], False),
        ([looking, rule("plain", "deny")], True),
        ([rule("let"), looking], False),
    ):
        compiled = policy(*rules)
        assert is_certain(decide(compiled, bare), lookers(compiled, bare, PAYLOAD)) is certain
    assert is_certain(decide(policy(rule("let")), bare), frozenset())
