"""What explain shows of each rule and of how they combined, and what it never shows."""

from __future__ import annotations

import json
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.ids import ActorId, Tenant
from holdgate.kernel.jobform import Identity
from holdgate.kernel.records import Decision, Job, Verdict
from support.policies import decide, explain, job, policy, rule


def steps(asked: Job, *written: dict[str, Any], **document: Any) -> dict[str, dict[str, Any]]:
    decision = explain(policy(*written, **document), asked)
    assert decision.trace is not None
    return {step["id"]: dict(step) for step in decision.trace}


def combined(asked: Job, *written: dict[str, Any], **document: Any) -> dict[str, Any]:
    decision = explain(policy(*written, **document), asked)
    assert decision.combined is not None
    return dict(decision.combined)


def named(items: list[dict[str, str]]) -> list[str]:
    return [item["id"] for item in items]


def test_a_step_names_what_held_and_what_the_first_failing_field_wants_and_got() -> None:
    match = {"topics": ["job.demo.*"], "labels": {"env": ["prod", "dev"]}, "capabilities": ["write"]}
    step = steps(job(labels={"env": "test"}, capability="write"), rule("one", match=match))["one"]
    assert step == {
        "id": "one",
        "bundle": "test",
        "decision": "allow",
        "matched": False,
        "held": ["topics", "capabilities"],
        "failed": "labels.env",
        "wanted": ["dev", "prod"],
        "given": "test",
    }


def test_what_a_job_does_not_have_is_null() -> None:
    found = steps(job(), rule("one", match={"capabilities": ["write"]}), rule("two", match={"risk_tags": ["pii"]}))
    assert (found["one"]["given"], found["two"]["given"]) == (None, [])


def test_every_field_of_a_rule_that_counts_is_shown_with_the_value_of_the_job() -> None:
    asked = job(
        labels={"env": "prod", "classification": "secret", "mcp.tool": "rm", "team": "a"},
        capability="write",
        risk_tags=["pii"],
        requires=["gpu", "net"],
        secrets=["db", "mail"],
        secrets_present=True,
        pii_present=True,
    )
    match = {
        "topics": [">"],
        "tenants": ["default"],
        "capabilities": ["write"],
        "labels": {"team": "a"},
        "environments": ["prod"],
        "classifications": ["secret"],
        "mcp": {"tools": ["rm"]},
        "actors": ["agent-1"],
        "actor_types": ["agent"],
        "risk_tags": ["pii"],
        "principals": ["alice"],
        "requires": ["gpu"],
        "secrets": ["db"],
        "secrets_present": True,
        "pii_present": True,
    }
    step = steps(asked, rule("one", "deny", match=match))["one"]
    assert {item["field"]: (item["wanted"], item["given"]) for item in step["fields"]} == {
        "topics": ([">"], "job.demo.read"),
        "tenants": (["default"], "default"),
        "capabilities": (["write"], "write"),
        "labels.team": (["a"], "a"),
        "environments": (["prod"], "prod"),
        "classifications": (["secret"], "secret"),
        "mcp.tools": (["rm"], "rm"),
        "actors": (["agent-1"], "agent-1"),
        "actor_types": (["agent"], "agent"),
        "risk_tags": (["pii"], ["pii"]),
        "principals": (["alice"], ["alice", "team-lead"]),
        "requires": (["gpu"], ["gpu", "net"]),
        "secrets": (["db"], ["db", "mail"]),
        "secrets_present": (True, True),
        "pii_present": (True, True),
    }
    assert step["held"] == [item["field"] for item in step["fields"]]


def test_a_not_that_spares_the_job_says_by_which_values() -> None:
    spared = rule("one", "deny", match={"not": {"topics": ["job.demo.>"], "labels": {"env": "dev"}}})
    found = steps(job(labels={"env": "dev"}), spared)["one"]
    assert (found["failed"], found["not"]) == ("not", True)
    assert found["spared"] == [
        {"field": "topics", "wanted": ["job.demo.>"], "given": "job.demo.read"},
        {"field": "labels.env", "wanted": ["dev"], "given": "dev"},
    ]
    assert steps(job(labels={"env": "prod"}), spared)["one"]["not"] is False


def test_a_condition_is_shown_with_its_answer() -> None:
    written = [
        rule("true", when="job.payload.n > 1"),
        rule("false", when="job.payload.n > 5"),
        rule("error", when="job.payload.missing > 5"),
        rule("guard", "deny", when="job.payload.missing > 5"),
        rule("far", match={"topics": ["x"]}, when="job.payload.n > 1"),
    ]
    found = steps(job(payload={"n": 2}), *written)
    assert found["true"]["when"] == {"text": "job.payload.n > 1", "result": True}
    assert (found["false"]["when"]["result"], found["false"]["failed"]) == (False, "when")
    assert (found["error"]["when"]["result"], found["error"]["failed"]) == (None, "when")
    assert (found["guard"]["when"]["result"], found["guard"]["matched"]) == (None, True)
    assert found["guard"]["error"] == found["error"]["error"] == "`when` failed: `missing` is not there"
    assert "when" not in found["far"]


def test_a_rule_made_void_by_an_earlier_one_still_shows_that_it_holds() -> None:
    written = [rule("first"), rule("second", "deny", when="true")]
    found = steps(job(), *written, combining="first-applicable")["second"]
    assert (found["matched"], found["failed"], found["when"]["result"]) == (False, "first-applicable", True)
    assert combined(job(), *written, combining="first-applicable")["void"] == [
        {"id": "second", "bundle": "test", "decision": "deny", "first": "first"}
    ]


def test_the_strictest_won_over_the_others() -> None:
    found = combined(job(), rule("yes"), rule("no", "deny"), rule("ask", "require_approval"))
    assert (named(found["won"]), named(found["over"])) == (["no"], ["ask", "yes"])
    assert found["why"] == "`deny` is the strictest among the 3 rules that count"


def test_the_other_ways_to_a_verdict_are_named() -> None:
    assert combined(job(), rule("yes"))["why"] == "it is the only rule that counts"
    assert combined(job(), rule("yes"), rule("too"))["why"] == "all 2 rules that count say so"
    assert combined(job())["why"] == "no rule counts: the default of the root is `deny`"
    assert combined(job(), rule("slow", "throttle"))["why"].startswith("a throttle allows nothing by itself")
    within = combined(job(), rule("slow", "throttle"), rule("yes"))
    assert (
        within["why"] == "within the limit `allow` holds, the strictest of the others; beyond it the throttle decides"
    )
    assert combined(job(), default=Verdict.ALLOW)["default"] == "allow"


def test_each_constraint_names_the_rules_that_gave_it() -> None:
    written = [
        rule("one", "allow_with_constraints", constraints={"max_runtime_s": 60, "network": ["a", "b"]}),
        rule("two", "allow_with_constraints", constraints={"max_runtime_s": 30, "network": ["b", "c"]}),
    ]
    assert combined(job(), *written)["constraints"] == {
        "max_runtime_s": {"value": 30, "rules": ["two"]},
        "network": {"value": ["b"], "rules": ["one", "two"]},
    }
    assert combined(job(), *written, rule("no", "deny"))["constraints"] == {}


def test_a_trace_holds_neither_payload_nor_prompt() -> None:
    asked = job(payload={"card": "4111-payload"}, prompt="the-prompt", labels={"env": "prod"})
    written = [
        rule("one", when='job.payload.card == "x" || job.prompt == "y"'),
        rule("two", "deny", when="job.payload.card > 5"),
        rule("three", match={"labels": {"env": "dev"}}),
    ]
    shown = json.dumps([steps(asked, *written), combined(asked, *written)])
    assert "4111" not in shown
    assert "the-prompt" not in shown


def test_a_trace_names_no_other_tenant() -> None:
    written = [
        rule("ours", match={"tenants": ["default", "rival"], "labels": {"env": "prod"}}),
        rule("spares", match={"not": {"tenants": ["default", "rival"]}}),
    ]
    identity = Identity(Tenant("default"), ActorId("a"))
    shown = json.dumps(steps(job(identity=identity, labels={"env": "prod"}), *written))
    assert "default" in shown
    assert "rival" not in shown


def test_values_are_cut_to_a_bound() -> None:
    many = [f"value-{number:04}" for number in range(100)]
    asked = job(labels={"env": "x" * 1000}, risk_tags=[f"tag-{number}" for number in range(60)])
    found = steps(asked, rule("one", match={"labels": {"env": many}}), rule("two", match={"risk_tags": ["none"]}))
    assert len(found["one"]["wanted"]) == limits.TRACE_VALUES_MAX + 1
    assert found["one"]["wanted"][-1] == "and 92 more"
    assert len(found["one"]["given"]) == limits.TRACE_CHARS_MAX
    assert len(found["two"]["given"]) == limits.TRACE_VALUES_MAX + 1


def test_a_decision_without_a_trace_is_the_same_but_for_it() -> None:
    active = policy(rule("yes"), rule("no", "deny", match={"actors": ["x"]}))
    plain, shown = decide(active, job()).as_dict(), explain(active, job())
    assert {"trace", "combined"}.isdisjoint(plain)
    assert {**plain, "phase": "explain"} == {k: v for k, v in shown.as_dict().items() if k not in ("trace", "combined")}
    assert Decision.from_dict(shown.as_dict()) == shown
