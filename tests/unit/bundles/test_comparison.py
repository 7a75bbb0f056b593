"""Two decisions about one job: which lets more through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdgate.bundles.comparison import Outcome, Terms, compare_decisions, compare_recorded, is_certain
from holdgate.bundles.diff import compare
from holdgate.bundles.diff.strictness import loosened
from holdgate.bundles.simulate import job_of_facts
from holdgate.kernel.policy import Policy, compile_policy
from holdgate.kernel.records import Constraints, Job, Verdict
from holdgate.kernel.rules import BundleRules
from support.drawn import JOBS, pairs
from support.policies import NOW_MS, SNAPSHOT, decide, job, policy, rule

PAYLOAD = frozenset({"payload"})
ROLES = {"roles": ["lead"], "quorum": 1, "expires": "1h"}


def judged(before: Policy, after: Policy, of: Job, *, by_record: bool = False) -> tuple[Outcome, tuple[str, ...]]:
    """How what `after` decides stands to what `before` does; `by_record`: as if only the decision of it were left."""
    was, now = decide(before, of), decide(after, of)
    if by_record:
        return compare_recorded(was.verdict, Terms.of(was), now, of, now=after)
    return compare_decisions(was, now, of, now=after, was=before)


def hold(**approvers: Any) -> dict[str, Any]:
    """A rule that holds, by the approvers given."""
    return rule("hold", "require_approval", approvers={**ROLES, **approvers})


def slow(limit: int = 5, **throttle: Any) -> dict[str, Any]:
    """A rate limit."""
    return rule("slow", "throttle", throttle={"limit": limit, "per": "1h", "key": ["tenant", "actor"], **throttle})


def bound(**constraints: Any) -> dict[str, Any]:
    """A rule that allows with constraints."""
    return rule("bound", "allow_with_constraints", constraints=constraints)


LET, DENY, KEPT = rule("let"), rule("no", "deny"), bound(max_runtime_s=60)
BOTH_WAYS = [
    ("deny", [DENY], [LET], ()),
    ("a limit", [slow(), LET], [LET], ()),
    ("approval", [hold(), slow()], [slow(), LET], ()),
    ("constraints", [KEPT], [LET], ()),
    ("runtime", [KEPT], [bound(max_runtime_s=90)], ("constraints",)),
    ("another list", [bound(network=["a"])], [bound(network=["a", "b"])], ("constraints",)),
    ("fewer paths", [bound(paths=["/a", "/b"])], [bound(paths=["/a"])], ("constraints",)),
    ("quorum", [hold(quorum=2)], [hold()], ("approvals",)),
    ("expiry", [hold(expires="2h")], [hold(expires="4h")], ("approvals",)),
    ("signed", [hold(signed=True)], [hold()], ("approvals",)),
    ("all of these", [hold(quorum=2, expires="2h", signed=True)], [hold(expires="4h")], ("approvals",)),
    ("roles", [hold()], [hold(roles=["lead", "owner"])], ("approvals",)),
    ("a second demand", [hold(), {**hold(roles=["owner"]), "id": "two"}], [hold()], ("approvals",)),
    ("rate", [slow(5), LET], [slow(50), LET], ("throttles",)),
    ("over", [slow(over="reject"), LET], [slow(over="delay"), LET], ("throttles",)),
    ("rate and over", [slow(5, over="reject"), LET], [slow(50, over="delay"), LET], ("throttles",)),
    ("within", [slow(), KEPT], [slow(), LET], ("constraints",)),
    (
        "who releases what is over",
        [{**slow(over="hold"), "approvers": {**ROLES, "quorum": 2}}, LET],
        [{**slow(over="hold"), "approvers": ROLES}, LET],
        ("throttles",),
    ),
]


@pytest.mark.parametrize(
    ("strict", "loose", "differs"), [case[1:] for case in BOTH_WAYS], ids=[c[0] for c in BOTH_WAYS]
)
@pytest.mark.parametrize("by_record", [False, True])
def test_looser_is_wider_and_stricter_is_tighter(
    strict: list[dict[str, Any]], loose: list[dict[str, Any]], differs: tuple[str, ...], *, by_record: bool
) -> None:
    one, other = policy(*strict), policy(*loose)
    assert judged(one, other, job(), by_record=by_record) == (Outcome.WIDER, differs)
    assert judged(other, one, job(), by_record=by_record) == (Outcome.TIGHTER, differs)
    assert judged(one, one, job(), by_record=by_record) == (Outcome.SAME, ())


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        ([KEPT], [hold()], ("constraints",)),
        ([KEPT], [slow(), LET], ("constraints",)),
        ([slow(), KEPT], [hold()], ("constraints", "throttles")),
        ([bound(network=["a"])], [bound(network=["b"])], ("constraints",)),
        ([bound(max_runtime_s=60, max_attempts=1)], [bound(max_runtime_s=30, max_attempts=2)], ("constraints",)),
        ([hold(quorum=2), KEPT], [hold(), bound(max_runtime_s=30)], ("approvals", "constraints")),
    ],
)
def test_one_looser_term_is_wider_whatever_else_got_stricter(
    before: list[dict[str, Any]], after: list[dict[str, Any]], differs: tuple[str, ...]
) -> None:
    for by_record in (False, True):
        assert judged(policy(*before), policy(*after), job(), by_record=by_record) == (Outcome.WIDER, differs)


def test_another_name_or_order_is_no_change() -> None:
    for one in (hold(), slow(), bound(network=["a", "b"])):
        other = {**one, "id": "other", "reason": "because"}
        assert judged(policy(one, LET), policy(other, LET), job()) == (Outcome.SAME, ())
    was = decide(policy(bound(network=["a", "b"])), job())
    terms = Terms(Constraints(network=("b", "a")))
    compiled = policy(bound(network=["a", "b"]))
    assert compare_recorded(was.verdict, terms, was, job(), now=compiled) == (Outcome.SAME, ())


def test_a_record_does_not_tell_by_what_a_limit_is_counted() -> None:
    """Where the numbers tell that it is looser it is wider; where they do not, and the key is another, nobody knows."""
    by_actor, by_tenant = [slow(), LET], [slow(key=["tenant"]), LET]
    for before, after in ((by_actor, by_tenant), (by_tenant, by_actor)):
        found = judged(policy(*before), policy(*after), job(), by_record=True)
        assert found[0] is Outcome.OTHER
    assert judged(policy(*by_actor), policy(*by_tenant), job())[0] is Outcome.TIGHTER
    assert judged(policy(*by_tenant), policy(*by_actor), job())[0] is Outcome.WIDER
    both = policy(slow(), {**slow(key=["tenant"]), "id": "all"}, LET)
    assert judged(policy(*by_actor), both, job(), by_record=True)[0] is Outcome.TIGHTER
    more = policy(slow(6, key=["tenant"]), LET)
    assert judged(policy(*by_actor), more, job(), by_record=True)[0] is Outcome.WIDER


def test_where_terms_are_not_known_a_stricter_verdict_is_only_tighter_if_nothing_can_be_lost() -> None:
    held = policy(hold())
    now = decide(held, job())

    def outcome(verdict: Verdict) -> Outcome:
        return compare_recorded(verdict, None, now, job(), now=held)[0]

    assert [outcome(verdict) for verdict in Verdict] == [
        Outcome.WIDER,
        Outcome.SAME,
        Outcome.OTHER,
        Outcome.OTHER,
        Outcome.TIGHTER,
    ]


def test_who_releases_what_is_over_a_limit_is_looked_up_where_a_decision_does_not_say() -> None:
    """One that holds a job anyway names only those who release it for that."""
    over = {**slow(over="hold"), "approvers": ROLES}
    looser = {**over, "approvers": {**ROLES, "expires": "2h"}}
    for by_record in (False, True):
        assert judged(policy(over, hold()), policy(over, hold()), job(), by_record=by_record)[0] is Outcome.SAME
        assert judged(policy(over, LET), policy(over, hold()), job(), by_record=by_record)[0] is Outcome.TIGHTER
        assert judged(policy(over, LET), policy(looser, hold()), job(), by_record=by_record)[0] is Outcome.WIDER
        renamed = policy(over, {**hold(), "id": "other"})
        assert judged(policy(over, hold()), renamed, job(), by_record=by_record)[0] is Outcome.SAME
    assert judged(policy(over, hold()), policy(looser, hold()), job())[0] is Outcome.WIDER


@given(sets=pairs(), asked=st.lists(JOBS, min_size=5, max_size=15), default=st.sampled_from(["deny", "deny", "allow"]))
@settings(max_examples=120, deadline=None)
def test_a_job_is_judged_as_a_diff_judges_it(
    sets: tuple[list[BundleRules], list[BundleRules]], asked: list[dict[str, Any]], default: str
) -> None:
    before, after = (compile_policy(bundles, snapshot=SNAPSHOT, default=Verdict(default)) for bundles in sets)
    old, new = ({item.id: item for item in side.rules} for side in (before, after))
    is_wider = False
    for form in asked:
        facts = {name: value for name, value in form.items() if name != "measured"}
        of, _ = job_of_facts(facts, 1, NOW_MS, lambda _prompt, _payload, found=form["measured"]: found)
        was, now = decide(before, of), decide(after, of)
        looser, tighter = loosened(was, now, old, new), loosened(now, was, new, old)
        expected = Outcome.WIDER if looser else Outcome.TIGHTER if tighter else Outcome.SAME
        assert compare_decisions(was, now, of, now=after, was=before)[0] is expected
        by_record = judged(before, after, of, by_record=True)[0]
        keys = {item.throttle.key for rules in (old, new) for item in rules.values() if item.throttle is not None}
        if was.verdict is not Verdict.REQUIRE_APPROVAL or not was.throttles:
            assert by_record is expected or (by_record is Outcome.OTHER and len(keys) > 1)
        is_wider = is_wider or bool(looser)
    if is_wider:
        assert compare(*sets, default=Verdict(default)).widens


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
