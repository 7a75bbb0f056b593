"""What conditions may cost: every dear shape is seen, ordinary ones are cheap, and a decision stops at its bound."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.kernel import limits
from holdgate.kernel.conditions import TOO_COSTLY, Condition, Context, parse_condition
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.policy import Policy, compile_policy
from holdgate.kernel.records import Phase, Verdict
from holdgate.kernel.ruleform import parse_rules
from support.policies import NOW_MS, SNAPSHOT, decide, job, policy, rule

LABELS = {f"k{number:03d}": "v" for number in range(limits.LABELS_MAX)}
DEAR = "job.labels.all(k, job.labels.all(l, k + l + k + l != 'zz' + string({})))"
MANY = [f"t{number}" for number in range(1000)]


def fits(source: str, **asked: Any) -> int:
    """How often a condition can be asked in one decision, up to 1,000."""
    condition: Condition = parse_condition(source)
    context = Context(job(**asked), NOW_MS)
    return next((times for times in range(1000) if context.test(condition) == TOO_COSTLY), 1000)


ORDINARY = [
    "has(job.labels.env) && !(job.labels.env in ['dev', 'test', 'staging', 'prod'])",
    "job.payload.amount > 50 && job.payload.amount <= 500",
    "job.payload.exists(key, !(key in ['order', 'amount', 'currency', 'reason', 'to']))",
    "job.payload.to.all(address, address.endsWith('@example.com'))",
    "!(now.getDayOfWeek() in [2, 3, 4]) || now.getHours('Europe/Berlin') < 9",
    "job.topic.matches('^job[.]demo[.]')",
]


@pytest.mark.parametrize("source", ORDINARY)
def test_a_thousand_ordinary_conditions_fit(source: str) -> None:
    payload = {"order": "o-1", "amount": 120, "currency": "EUR", "reason": "late " * 20, "to": ["a@example.com"] * 3}
    assert fits(source, payload=payload, labels={"env": "prod", "team": "payments"}, prompt="p" * 2000) == 1000


COSTLY: list[tuple[str, dict[str, Any], int]] = [
    # (condition, job, how often it may be asked at most; each was measured to take 50 ms over that number or more)
    (DEAR.format(7), {"labels": LABELS}, 10),
    ("job.labels.all(k, job.labels.all(l, timestamp('2026-01-02T00:00:00Z') < now))", {"labels": LABELS}, 30),
    ("job.payload.all(x, !job.prompt.contains('xq'))", {"payload": MANY, "prompt": "x" * 65_000}, 0),
    ("job.payload.all(x, !job.prompt.matches('xxq'))", {"payload": MANY, "prompt": "x" * 65_000}, 0),
    ("job.payload.map(x, job.prompt + x).size() > 3", {"payload": MANY, "prompt": "x" * 65_000}, 0),
    ("job.payload.map(x, x).size() > 3", {"payload": MANY}, 3),
    ("(" + "+".join(["job.payload"] * 8) + ").map(x, x).size() > 3", {"payload": MANY[:300]}, 0),
    ("job.payload.all(x, job.payload == job.payload)", {"payload": MANY}, 3),
    ("job.prompt.matches('y[xy]{900}z')", {"prompt": "xyyxy" * 12_000}, 0),
    (r"job.topic.matches('\\pL{20}')", {}, 2),
    ("job.topic.matches(job.prompt)", {"prompt": r"\pL" * 1000}, 0),
    ("job.prompt.contains(job.payload)", {"prompt": "a" * 65_000, "payload": "a" * 32_000 + "b"}, 3),
]


@pytest.mark.parametrize(("source", "asked", "times"), COSTLY)
def test_what_takes_long_is_known_before_it_is_asked(source: str, asked: dict[str, Any], times: int) -> None:
    assert fits(source, **asked) <= times


def test_a_walk_over_few_items_is_cheap_whatever_it_is_over() -> None:
    assert fits(DEAR.format(7), labels={"env": "prod", "team": "payments"}) == 1000


def test_the_same_job_costs_the_same_each_time() -> None:
    assert {fits(DEAR.format(7), labels=LABELS) for _ in range(3)} == {fits(DEAR.format(7), labels=LABELS)}


def test_what_no_decision_could_ask_is_refused_when_it_is_loaded() -> None:
    with pytest.raises(InvalidInput, match="costs more than a whole decision may"):
        parse_condition("job.topic.matches('" + r"\\pL" * 100 + "')")


def many(decision: str, count: int, prefix: str = "r", **more: Any) -> list[dict[str, Any]]:
    return [rule(f"{prefix}{n:05d}", decision, when=DEAR.format(n) + " == false", **more) for n in range(count)]


def test_a_deny_that_cannot_be_asked_any_more_denies() -> None:
    made = decide(policy(rule("let"), *many("deny", 40)), job(labels=LABELS))
    assert (made.verdict, made.deciding[-1]) == (Verdict.DENY, "r00039")
    assert made.errors[0].endswith(f"`when` failed: {TOO_COSTLY}")
    assert not made.cacheable


def test_errors_of_a_decision_are_bounded() -> None:
    made = decide(policy(*many("deny", 200)), job(labels=LABELS))
    assert len(made.errors) == limits.DECISION_ERRORS_MAX + 1
    assert made.errors[-1].endswith(" more conditions failed")


def test_conditions_that_cost_too_much_cannot_take_the_constraints_of_another_bundle_away() -> None:
    """Both only allow, and one that cannot be asked does not match: without a deny the job would run unconstrained."""
    house = parse_rules(
        {
            "rules": [
                rule("let"),
                rule("narrow", "allow_with_constraints", when="job.topic != ''", constraints={"network": []}),
            ]
        },
        "house",
    )
    other = parse_rules({"rules": many("allow_with_constraints", 40, prefix="a")}, "other")
    both: Policy = compile_policy([house, other], snapshot=SNAPSHOT)
    made = decide(both, job(labels=LABELS))
    assert (made.verdict, made.reason) == (Verdict.DENY, TOO_COSTLY)
    assert decide(both, job()).constraints.network == ()


def test_conditions_that_cost_too_much_cannot_make_later_rules_void() -> None:
    """A throttle that cannot be asked counts as matching, and the rest of its bundle would not be looked at."""
    written = {
        "combining": "first-applicable",
        "rules": [
            *many("require_approval", 40, prefix="a"),
            rule("slow", "throttle", when="job.topic == ''", throttle={"limit": 1, "per": "1s"}),
            rule("let"),
        ],
    }
    both = compile_policy([parse_rules(written, "house")], snapshot=SNAPSHOT)
    assert decide(both, job(labels=LABELS)).verdict is Verdict.DENY
    assert decide(both, job()).verdict is Verdict.ALLOW


def test_the_bound_is_the_same_in_every_phase_and_in_explain() -> None:
    active = policy(rule("let"), *many("throttle", 40, throttle={"limit": 1, "per": "1s"}))
    made = [decide(active, job(labels=LABELS), phase=phase) for phase in Phase]
    assert {(one.verdict, one.rules, one.errors) for one in made} == {(Verdict.DENY, made[0].rules, made[0].errors)}
    explained = evaluate(active, job(labels=LABELS), now_ms=NOW_MS, phase=Phase.SIMULATE, trace=True)
    assert explained.errors == made[0].errors
    assert explained.combined is not None
    assert explained.trace is not None
    assert TOO_COSTLY in explained.combined["why"]
    errors = [step for step in explained.trace if TOO_COSTLY in step.get("error", "")]
    assert len(errors) > 20
