"""What holds for every policy and every job: order, the index, the phases, the hash, the cache's view.

The naive evaluator below is written from the text of the design alone and shares no code with the engine but the
records: it looks at every rule, field by field.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import ActorId, Tenant
from holdgate.kernel.jobform import Identity
from holdgate.kernel.policy import Policy, compile_policy
from holdgate.kernel.records import HASHED_FIELDS, STRICTEST_FIRST, Decision, Job, Phase
from holdgate.kernel.ruleform import parse_rules
from support.policies import NOW_MS, SNAPSHOT, job

TOKENS = st.sampled_from(["job", "a", "b", "c"])
VALUES = st.sampled_from(["x", "y", "z"])
SOME = st.lists(VALUES, min_size=1, max_size=3)
TOPICS = st.lists(TOKENS, min_size=1, max_size=4).map(".".join)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    tokens = draw(st.lists(TOKENS | st.just("*"), min_size=0, max_size=3))
    return ".".join([*tokens, draw(TOKENS | st.sampled_from(["*", ">"]))])


MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "topics": st.lists(patterns(), min_size=1, max_size=3),
        "tenants": SOME,
        "capabilities": SOME,
        "risk_tags": SOME,
        "requires": SOME,
        "labels": st.dictionaries(st.sampled_from(["k", "env", "m"]), VALUES | SOME, min_size=1, max_size=3),
        "actors": SOME,
        "actor_types": SOME,
        "principals": SOME,
        "environments": SOME,
        "classifications": SOME,
        "mcp": st.dictionaries(st.sampled_from(["servers", "tools"]), SOME, min_size=1),
        "secrets": SOME,
        "secrets_present": st.booleans(),
        "pii_present": st.booleans(),
    },
)
CONDITIONS = {
    "job.payload.n > 1": lambda asked: _payload_number(asked) > 1,
    "job.payload.zzz > 1": lambda _: "error",
    'job.capability == "x"': lambda asked: asked.capability == "x",
    '"x" in job.risk_tags': lambda asked: "x" in asked.risk_tags,
    'has(job.labels.k) && job.labels.k == "y"': lambda asked: asked.labels.get("k") == "y",
}
DECISIONS = [str(verdict) for verdict in STRICTEST_FIRST]


@st.composite
def rule_parts(draw: st.DrawFn) -> dict[str, Any]:
    written: dict[str, Any] = {"decision": draw(st.sampled_from(DECISIONS)), "match": draw(MATCHES)}
    unless = draw(st.none() | MATCHES)
    if unless:
        written["not"] = unless
    if draw(st.booleans()) and draw(st.booleans()):
        written["when"] = draw(st.sampled_from(sorted(CONDITIONS)))
    if written["decision"] == "throttle":
        written["throttle"] = {"limit": 3, "per": "1m", "key": ["tenant", "topic"]}
    if written["decision"] == "allow_with_constraints":
        written["constraints"] = {
            "max_runtime_s": draw(st.integers(1, 5)),
            "network": draw(st.lists(VALUES, max_size=3)),
            "paths": draw(st.lists(VALUES, max_size=3)),
        }
    return written


def numbered(parts: list[dict[str, Any]], prefix: str = "r") -> list[dict[str, Any]]:
    return [{"id": f"{prefix}{n}", "reason": f"reason {n}", **item} for n, item in enumerate(parts)]


RULES = st.lists(rule_parts(), max_size=12).map(numbered)


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    names = st.sampled_from(["x", "y", "z", "w"])
    label_keys = st.sampled_from(["k", "env", "m", "classification", "mcp.server", "mcp.tool"])
    return job(
        identity=Identity(
            Tenant(draw(names)), ActorId(draw(names)), draw(names), tuple(draw(st.lists(names, max_size=2)))
        ),
        secrets_present=draw(st.booleans()),
        pii_present=draw(st.booleans()),
        secrets=draw(st.lists(names, max_size=2)),
        topic=draw(TOPICS),
        payload={"n": draw(st.integers(0, 3))},
        labels=draw(st.dictionaries(label_keys, names, max_size=4)),
        capability=draw(st.none() | names),
        risk_tags=draw(st.lists(names, max_size=3)),
        requires=draw(st.lists(names, max_size=3)),
    )


def compiled(rules: list[dict[str, Any]], combining: str = "deny-overrides") -> Policy:
    return compile_policy([parse_rules({"rules": rules, "combining": combining}, "b")], snapshot=SNAPSHOT)


def decide(policy: Policy, asked: Job, phase: Phase = Phase.SUBMIT) -> Decision:
    return evaluate(policy, asked, now_ms=NOW_MS, phase=phase)


# The same by a seed: for many rules a strategy takes longer than what it tests ------------------------------------


def chosen_rule(chance: Random) -> dict[str, Any]:
    decision = chance.choice(DECISIONS)
    written: dict[str, Any] = {"decision": decision, "match": chosen_match(chance)}
    if chance.random() < 0.2:
        written["not"] = chosen_match(chance) or {"tenants": ["x"]}
    if chance.random() < 0.2:
        written["when"] = chance.choice(sorted(CONDITIONS))
    if decision == "throttle":
        written["throttle"] = {"limit": 3, "per": "1m"}
    if decision == "allow_with_constraints":
        written["constraints"] = {"max_runtime_s": chance.randint(1, 5)}
    return written


def chosen_match(chance: Random) -> dict[str, Any]:
    match: dict[str, Any] = {}
    if chance.random() < 0.8:
        match["topics"] = [chosen_pattern(chance) for _ in range(chance.randint(1, 3))]
    for name in ("tenants", "capabilities", "risk_tags", "requires", "actors", "actor_types", "principals"):
        if chance.random() < 0.2:
            match[name] = chosen_values(chance)
    for name in ("environments", "classifications"):
        if chance.random() < 0.1:
            match[name] = chosen_values(chance)
    if chance.random() < 0.3:
        match["labels"] = {key: chosen_values(chance) for key in chance.sample(["k", "env", "m"], chance.randint(1, 3))}
    if chance.random() < 0.1:
        match["mcp"] = {chance.choice(["servers", "tools"]): chosen_values(chance)}
    if chance.random() < 0.1:
        match["secrets_present"] = chance.random() < 0.5
    return match


def chosen_pattern(chance: Random) -> str:
    tokens = [chance.choice(["job", "a", "b", "c", "*"]) for _ in range(chance.randint(0, 3))]
    return ".".join([*tokens, chance.choice(["job", "a", "b", "c", "*", ">", ">"])])


def chosen_values(chance: Random) -> list[str]:
    return chance.sample(["x", "y", "z"], chance.randint(1, 3))


def chosen_job(chance: Random) -> Job:
    names = ["x", "y", "z", "w"]
    keys = ["k", "env", "m", "classification", "mcp.server", "mcp.tool"]
    principals = tuple(chance.sample(names, chance.randint(0, 2)))
    return job(
        identity=Identity(
            Tenant(chance.choice(names)), ActorId(chance.choice(names)), chance.choice(names), principals
        ),
        secrets_present=chance.random() < 0.5,
        topic=".".join(chance.choice(["job", "a", "b", "c"]) for _ in range(chance.randint(1, 4))),
        payload={"n": chance.randint(0, 3)},
        labels={key: chance.choice(names) for key in chance.sample(keys, chance.randint(0, 4))},
        capability=chance.choice([None, *names]),
        risk_tags=chance.sample(names, chance.randint(0, 3)),
        requires=chance.sample(names, chance.randint(0, 3)),
    )


# The naive evaluator -------------------------------------------------------------------------------------------------


def naive(rules: list[dict[str, Any]], asked: Job, combining: str = "deny-overrides") -> tuple[str, set[str]]:
    """(verdict, ids of the rules that count)."""
    matching = [item for item in rules if naive_matches(item, asked)]
    counting = matching[:1] if combining == "first-applicable" else matching
    decisions = [item["decision"] for item in counting]
    allowing = [decision for decision in decisions if decision != "throttle"]
    strictest = min(allowing, key=DECISIONS.index, default="deny")
    verdict = "throttle" if "throttle" in decisions and strictest.startswith("allow") else strictest
    return verdict, {item["id"] for item in counting}


def naive_matches(written: dict[str, Any], asked: Job) -> bool:
    if not naive_match(written["match"], asked):
        return False
    if "not" in written and naive_match(written["not"], asked):
        return False
    if "when" not in written:
        return True
    answer = CONDITIONS[written["when"]](asked)  # type: ignore[no-untyped-call]  # a table of lambdas
    if answer == "error":
        return not written["decision"].startswith("allow")
    return bool(answer)


def naive_match(match: dict[str, Any], asked: Job) -> bool:
    labels = asked.labels
    mcp = match.get("mcp", {})
    return all(
        [
            "topics" not in match or any(naive_topic(p.split("."), asked.topic.split(".")) for p in match["topics"]),
            "tenants" not in match or asked.tenant in match["tenants"],
            "capabilities" not in match or asked.capability in match["capabilities"],
            "risk_tags" not in match or any(tag in match["risk_tags"] for tag in asked.risk_tags),
            "requires" not in match or all(tag in asked.requires for tag in match["requires"]),
            all(key in labels and labels[key] in wanted for key, wanted in match.get("labels", {}).items()),
            "actors" not in match or asked.actor in match["actors"],
            "actor_types" not in match or asked.actor_type in match["actor_types"],
            "principals" not in match or any(name in match["principals"] for name in asked.principals),
            "environments" not in match or labels.get("env") in match["environments"],
            "classifications" not in match or labels.get("classification") in match["classifications"],
            "servers" not in mcp or labels.get("mcp.server") in mcp["servers"],
            "tools" not in mcp or labels.get("mcp.tool") in mcp["tools"],
            "secrets" not in match or any(name in match["secrets"] for name in asked.secrets),
            "secrets_present" not in match or asked.secrets_present == match["secrets_present"],
            "pii_present" not in match or asked.pii_present == match["pii_present"],
        ]
    )


def naive_topic(pattern: list[str], topic: list[str]) -> bool:
    if pattern == [">"]:
        return len(topic) > 0
    if not pattern or not topic:
        return pattern == topic
    return pattern[0] in ("*", topic[0]) and naive_topic(pattern[1:], topic[1:])


def _payload_number(asked: Job) -> int:
    assert asked.payload is not None
    return int(asked.payload.decode().removeprefix('{"n":').removesuffix("}"))


FEW = settings(max_examples=25, deadline=None)
MANY = settings(max_examples=200, deadline=None)


# The properties ------------------------------------------------------------------------------------------------------


@MANY
@given(st.integers(0, 2**32), st.integers(0, 120), st.sampled_from(["deny-overrides", "first-applicable"]))
def test_the_index_finds_what_looking_at_every_rule_finds(seed: int, count: int, combining: str) -> None:
    chance = Random(seed)
    rules = numbered([chosen_rule(chance) for _ in range(count)])
    policy = compiled(rules, combining)
    for _ in range(10):
        asked = chosen_job(chance)
        decision = decide(policy, asked)
        assert (decision.verdict, set(decision.rules)) == naive(rules, asked, combining)


@FEW
@given(RULES, jobs(), st.randoms(use_true_random=False))
def test_the_order_of_rules_never_matters(rules: list[dict[str, Any]], asked: Job, chance: Any) -> None:
    shuffled = list(rules)
    chance.shuffle(shuffled)
    assert decide(compiled(rules), asked) == decide(compiled(shuffled), asked)


@FEW
@given(st.lists(rule_parts(), max_size=8), jobs(), st.integers(1, 4))
def test_into_how_many_bundles_rules_are_put_never_matters(parts: list[dict[str, Any]], asked: Job, count: int) -> None:
    rules = numbered(parts)
    bundles = [parse_rules({"rules": rules[n::count]}, f"b{n}") for n in range(count)]
    apart = compile_policy(bundles, snapshot=SNAPSHOT)
    assert undefined(decide(apart, asked)) == undefined(decide(compiled(rules), asked))


def undefined(decision: Decision) -> Decision:
    """The decision without the digests of its rules, which name their bundle."""
    return replace(decision, approvals=tuple(replace(item, definition="") for item in decision.approvals))


def own(rule: dict[str, Any], tenant: str) -> bool:
    """Whether a rule is not for other tenants only: those are nobody else's to see."""
    tenants = rule.get("match", {}).get("tenants")
    return not tenants or tenant in tenants


@FEW
@given(RULES, jobs())
def test_simulate_explain_submit_and_dispatch_decide_alike(rules: list[dict[str, Any]], asked: Job) -> None:
    policy = compiled(rules)
    submitted = decide(policy, asked)
    for phase in Phase:
        explained = evaluate(policy, asked, now_ms=NOW_MS, phase=phase, trace=True)
        assert replace(explained, phase=Phase.SUBMIT, trace=None, combined=None) == submitted
        assert explained.trace is not None
        assert {step["id"] for step in explained.trace} == {item["id"] for item in rules if own(item, asked.tenant)}
        assert {step["id"] for step in explained.trace if step["matched"]} == set(submitted.rules)
        assert all(step["matched"] or step["failed"] for step in explained.trace)


@FEW
@given(RULES, jobs(), rule_parts())
def test_one_more_rule_that_forbids_never_loosens(
    rules: list[dict[str, Any]], asked: Job, more: dict[str, Any]
) -> None:
    more = {**{k: v for k, v in more.items() if k in ("match", "not", "when")}, "decision": "deny"}
    before = decide(compiled(rules), asked).verdict
    after = decide(compiled([*rules, {"id": "more", "reason": "x", **more}]), asked).verdict
    assert STRICTEST_FIRST.index(after) <= STRICTEST_FIRST.index(before)


@FEW
@given(RULES, jobs(), jobs())
def test_two_jobs_that_agree_in_what_the_rules_read_are_decided_alike(
    rules: list[dict[str, Any]], one: Job, other: Job
) -> None:
    """What the decision cache rests on."""
    policy = compiled(rules)
    labels = {
        k: v for k, v in other.labels.items() if f"labels.{k}" not in policy.reads and "labels" not in policy.reads
    }
    kept = {k: v for k, v in one.labels.items() if k not in labels}
    kept = {k: v for k, v in kept.items() if f"labels.{k}" in policy.reads or "labels" in policy.reads}
    changed: dict[str, Any] = {
        name: getattr(other, name) for name in HASHED_FIELDS if name not in policy.reads and name != "labels"
    }
    if "payload" in policy.reads:
        changed["payload_digest"] = one.payload_digest
    else:
        changed["payload"] = other.payload
    twin = replace(one, **changed, labels={**kept, **labels})
    assert replace(decide(policy, twin), job_hash=one.job_hash()) == decide(policy, one)


@FEW
@given(jobs(), jobs())
def test_jobs_hash_alike_only_if_all_that_is_hashed_is_alike(one: Job, other: Job) -> None:
    assert (one.job_hash() == other.job_hash()) is (one.hashed() == other.hashed())
    assert Job.from_dict(one.as_dict()) == one


@FEW
@given(RULES, jobs())
def test_a_decision_comes_back_from_its_plain_form(rules: list[dict[str, Any]], asked: Job) -> None:
    decision = evaluate(compiled(rules), asked, now_ms=NOW_MS, phase=Phase.EXPLAIN, trace=True)
    assert Decision.from_dict(decision.as_dict()) == decision
