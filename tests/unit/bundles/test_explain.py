"""A decision told to a person: why, by what, and what nearly matched."""

from __future__ import annotations

from typing import Any

from holdgate.bundles.explain import explain_lines
from holdgate.kernel.records import Job
from support.policies import explain, job, policy, rule


def told(asked: Job, *written: dict[str, Any], near_max: int = 10, **document: Any) -> list[str]:
    return [line.text for line in explain_lines(explain(policy(*written, **document), asked), near_max=near_max)]


def test_the_verdict_comes_first_with_its_reason_and_why() -> None:
    lines = told(job(), rule("yes"), rule("no", "deny"))
    assert lines[0] == "deny: because of no"
    assert lines[1] == "  `deny` is the strictest among the 2 rules that count"
    assert "  no  deny  (test)  decides" in lines
    assert "  yes  allow  (test)  overruled" in lines


def test_what_comes_with_a_verdict_is_told() -> None:
    lines = told(
        job(),
        rule(
            "ask", "require_approval", approvers={"roles": ["boss"], "names": ["ann"], "expires": "1h", "signed": True}
        ),
        rule("slow", "throttle"),
        rule("bound", "allow_with_constraints"),
    )
    assert "  released by 1 of role boss or ann, with their own keys, within 3600 s (ask)" in lines
    assert "  at most 5 in 60 s, then reject (slow)" in lines
    assert "  max_runtime_s 60, the tightest, from bound" in lines


def test_with_how_much_care_it_is_released_is_told() -> None:
    careful = {
        "escalate_after": "1h",
        "not_author": True,
        "break_glass": False,
        "read_for": "30s",
        "confirm": "wipe it",
    }
    lines = told(job(), rule("ask", "require_approval", approvers={"roles": ["boss"], "expires": "2h", **careful}))
    assert (
        "  released by 1 of role boss, not by who signed the bundle, after 3600 s by role escalation too, "
        "read for 30 s, by typing `wipe it`, never by breaking glass, within 7200 s (ask)"
    ) in lines
    lines = told(job(), rule("ask", "require_approval", approvers={"roles": ["boss"], "expires": "2h", "grants": True}))
    assert "  released by 1 of role boss, or by a standing grant, within 7200 s (ask)" in lines


def test_a_rule_that_counts_is_told_field_by_field() -> None:
    written = rule(
        "one", "deny", match={"topics": ["job.>"], "labels": {"env": ["prod", "dev"]}}, when="job.payload.n > 1"
    )
    written["not"] = {"actors": ["root"]}
    lines = told(job(labels={"env": "prod"}, payload={"n": 2}), written)
    at = lines.index("  one  deny  (test)  decides")
    assert lines[at + 1 : at + 5] == [
        "    topics      job.>  (the job: job.demo.read)",
        "    labels.env  dev | prod  (the job: prod)",
        "    not         does not hold",
        "    when        job.payload.n > 1  (true)",
    ]
    lines = told(job(labels={"env": "prod"}), written)
    assert any("counts as true: `when` failed" in line for line in lines)


def test_near_misses_come_nearest_first_and_the_others_are_counted() -> None:
    lines = told(
        job(labels={"env": "test"}),
        rule("far", match={"topics": ["x"]}),
        rule("near", match={"topics": ["job.>"], "labels": {"env": "prod"}}),
        rule("nearer", match={"topics": ["job.>"], "actors": ["agent-1"], "capabilities": ["write"]}),
        rule("spared", "deny", **{"not": {"topics": ["job.>"]}}),
        rule("when", when="job.payload.n > 1"),
    )
    titles = [line.split()[0] for line in lines if line.endswith("(test)")]
    assert titles == ["near", "nearer", "spared", "when"]
    assert "    failed  capabilities: wants write, the job has nothing" in lines
    assert "    failed  labels.env: wants prod, the job has test" in lines
    assert "    failed  not: it spares this job (topics job.demo.read)" in lines
    assert any(
        line.startswith("    failed  when: job.payload.n > 1  (counts as false: `when` failed") for line in lines
    )
    assert lines[-1] == "1 other rule does not match"


def test_only_so_many_near_misses_are_told() -> None:
    written = [rule(f"r{number}", match={"topics": ["job.>"], "actors": ["x"]}) for number in range(30)]
    lines = told(job(), *written, near_max=3)
    assert sum(line.startswith("    failed") for line in lines) == 3
    assert lines[-1] == "27 other rules do not match"


def test_rules_that_come_too_late_are_told_apart() -> None:
    lines = told(job(), rule("first"), rule("second", "deny"), combining="first-applicable")
    assert "  second  deny  (test)  after first" in lines
    assert not any("Near" in line for line in lines)


def test_rules_beyond_the_bound_of_a_trace_are_counted() -> None:
    written = [rule(f"r{number}", match={"topics": ["x"]}) for number in range(1200)]
    assert told(job(), *written)[-1] == "1200 other rules do not match"


def test_no_line_breaks_out_of_its_line() -> None:
    lines = told(job(payload={"n": 1}), rule("one", when="job.payload.n >\n 5"))
    assert not any("\n" in line or "\x1b" in line for line in lines)
