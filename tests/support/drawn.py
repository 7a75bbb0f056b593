"""Random sets of rules, with changes to them, and random jobs near the rules."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from holdgate.bundles.simulate import Measured
from holdgate.kernel.ruleform import parse_rules
from holdgate.kernel.rules import BundleRules
from support.policies import rule

PATTERNS = ["a.>", "a.*", "a.b", "a.c", "a.*.d", ">", "b.>"]
TOPICS = ["a.b", "a.c", "a.b.d", "a.x", "b", "b.a", "b.a.a", "c"]
CONDITIONS = [
    "job.payload.n > 1",
    "job.payload.n > 5",
    'job.topic == "a.b"',
    'job.labels.env == "prod"',
    "actor == 'bob'",
]
DURATIONS = ["1h", "2h"]


def some(values: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


MATCH = maybe(
    topics=some(PATTERNS),
    labels=st.fixed_dictionaries({"env": some(["prod", "dev"])}),
    environments=some(["prod", "dev"]),
    capabilities=some(["read", "write"]),
    risk_tags=some(["pii", "money"]),
    requires=some(["gpu", "net"]),
    tenants=some(["default", "acme"]),
    actors=some(["bob", "eve"]),
    principals=some(["alice", "carl"]),
    secrets=some(["db", "mail"]),
    secrets_present=st.booleans(),
    pii_present=st.booleans(),
)
UNLESS = MATCH.filter(bool)
CONSTRAINTS = maybe(
    max_runtime_s=st.sampled_from([10, 60]), network=st.sampled_from([["x"], ["x", "y"]]), paths=some(["/a", "/b"])
).filter(bool)
ESCALATION = maybe(
    escalate_after=st.sampled_from(DURATIONS),
    escalate_to=maybe(roles=some(["boss", "escalation"]), names=some(["ann", "bob"])).filter(bool),
).filter(lambda drawn: "escalate_to" not in drawn or "escalate_after" in drawn)
MANNER = maybe(
    not_author=st.booleans(),
    bulk=st.booleans(),
    break_glass=st.booleans(),
    read_for=st.sampled_from(["30s", "60s"]),
    confirm=st.sampled_from(["yes", "no"]),
)
APPROVERS = st.builds(
    lambda who, escalation, manner, kind: {**who, **escalation, **manner, **kind},
    maybe(roles=some(["approver", "boss"]), quorum=st.sampled_from([1, 2]), expires=st.sampled_from(["3h", "4h"])),
    ESCALATION,
    st.just({}) | MANNER,
    st.sampled_from([{}, {}, {"signed": True}, {"grants": True}]),
)
THROTTLE = st.fixed_dictionaries(
    {
        "limit": st.sampled_from([5, 10]),
        "per": st.sampled_from(DURATIONS),
        "key": st.sampled_from([["tenant"], ["tenant", "actor"]]),
        "over": st.sampled_from(["reject", "hold", "delay"]),
    }
)


@st.composite
def rules(draw: st.DrawFn, name: str) -> dict[str, Any]:
    decision = draw(
        st.sampled_from(["deny", "allow", "allow", "require_approval", "throttle", "allow_with_constraints"])
    )
    parts: dict[str, Any] = {}
    if draw(st.booleans()):
        parts["match"] = draw(MATCH)
    if draw(st.integers(0, 3)) == 0:
        parts["not"] = draw(UNLESS)
    if draw(st.integers(0, 3)) == 0:
        parts["when"] = draw(st.sampled_from(CONDITIONS))
    if decision == "require_approval":
        parts["approvers"] = draw(APPROVERS)
    if decision == "throttle":
        parts["throttle"] = draw(THROTTLE)
        if parts["throttle"]["over"] == "hold" and draw(st.booleans()):
            parts["approvers"] = draw(APPROVERS)
    if decision == "allow_with_constraints" or (decision == "require_approval" and draw(st.booleans())):
        parts["constraints"] = draw(CONSTRAINTS)
    return rule(name, decision, **parts)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[BundleRules], list[BundleRules]]:
    """A set, and the same with some rules put out, put in, changed or moved."""
    names = [f"r{number}" for number in range(draw(st.integers(1, 5)))]
    before = {name: draw(rules(name)) for name in names if draw(st.integers(0, 4))}
    after = {name: draw(rules(name)) if not draw(st.integers(0, 2)) else before.get(name) for name in names}
    combining = st.sampled_from(["deny-overrides", "deny-overrides", "first-applicable"])
    orders = [combining, combining]
    first, second = draw(st.tuples(*orders))
    if draw(st.booleans()):
        second = first
    kept = [item for item in after.values() if item is not None]
    if draw(st.integers(0, 3)) == 0:
        kept = draw(st.permutations(kept))
    return split(list(before.values()), first), split(kept, second)


def split(written: list[dict[str, Any]], combining: str) -> list[BundleRules]:
    """Two bundles: the last rule stands alone."""
    return [
        parse_rules({"rules": written[:-1], "combining": combining}, "one"),
        parse_rules({"rules": written[-1:]}, "two"),
    ]


def optional(values: list[str]) -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, *values])


JOBS = st.fixed_dictionaries(
    {
        "topic": st.sampled_from(TOPICS),
        "tenant": optional(["acme", "other"]),
        "actor": optional(["bob", "eve"]),
        "capability": optional(["read", "write"]),
        "labels": st.sampled_from([{}, {"env": "prod"}, {"env": "dev"}, {"env": "x"}]),
        "risk_tags": st.sampled_from([[], ["pii"], ["pii", "money"]]),
        "requires": st.sampled_from([[], ["gpu"], ["gpu", "net"]]),
        "principals": st.sampled_from([[], ["alice"], ["carl", "alice"]]),
        "payload": st.sampled_from([None, {"n": 0}, {"n": 3}, {"n": 7}]),
        "secrets": st.sampled_from([[], ["db"], ["db", "mail"]]),
        "measured": st.builds(Measured, st.booleans(), st.booleans()),
    }
)
