"""`when`: what expressions see, what is an error, and that an error never lets anything through."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.kernel import conditions, limits
from holdgate.kernel.canonical import parse_json
from holdgate.kernel.conditions import ALL_READS, JOB_VALUES, Context, parse_condition
from holdgate.kernel.records import HASHED_FIELDS, Verdict
from support.policies import NOW_MS, decide, job, policy, rule

ASKED: dict[str, Any] = {
    "prompt": "please",
    "payload": {"amount": 150, "rate": 0.5, "items": [1, 2, 3], "who": {"name": "x"}, "flag": True, "none": None},
    "labels": {"env": "prod"},
    "capability": "infra.write",
    "risk_tags": ["b", "a"],
    "requires": ["gpu"],
    "priority": "high",
    "run_at": "2026-01-02T00:00:00Z",
}
ANSWERS: list[tuple[str, bool | str]] = [
    ("true", True),
    ("job.payload.amount > 100", True),
    ("job.payload.amount > 100.5", True),
    ("job.payload.amount == 150.0", True),
    ("job.payload.rate < 1", True),
    ("job.payload.flag", True),
    ("!job.payload.flag", False),
    ("job.payload.none == null", True),
    ("job.payload.items.exists(i, i == 2)", True),
    ("job.payload.items.all(i, i < 3)", False),
    ("job.payload.items.filter(i, i > 1).size() == 2", True),
    ('job.payload["who"].name == "x"', True),
    ("has(job.payload.amount)", True),
    ("has(job.payload.nope)", False),
    ('job.tenant == "default" && job.topic == "job.demo.read"', True),
    ('job.topic.startsWith("job.demo.")', True),
    ('job.topic.matches("^job[.][a-z]+[.]read$")', True),
    ('job.prompt.contains("lease")', True),
    ('job.labels.env == "prod"', True),
    ('"env" in job.labels', True),
    ('"zone" in job.labels', False),
    ('job.capability == "infra.write"', True),
    ('"a" in job.risk_tags', True),
    ('job.risk_tags == ["a", "b"]', True),
    ('job.requires[0] == "gpu"', True),
    ('job.pool == "default" && job.priority == "high" && job.max_attempts == 3', True),
    ("job.concurrency_key == null && job.deadline == null && job.remediation_of == null", True),
    ("timestamp(job.run_at) > now", True),
    ('timestamp(job.run_at) - now == duration("24h")', True),
    ("job.secrets_present", False),
    ("job.pii_present", False),
    ('job.actor == actor && actor == "agent-1" && job.actor_type == "agent"', True),
    ('principal[0] == "alice" && principal == job.principals', True),
    ('"team-lead" in principal', True),
    ('now == timestamp("2026-01-01T00:00:00Z")', True),
    ("now.getDayOfWeek() == 4", True),
    ('now.getHours("Europe/Berlin") == 1', True),
    ("job.payload.nope > 1 || true", True),
    ("job.payload.nope > 1", "`nope` is not there"),
    ("job.payload[job.payload.who.name] == 1", "a key is not there"),
    ("job.payload.amount.startsWith('a')", "an operation does not fit the types of its values"),
    ("job.payload.amount / 0 > 1", "a division by zero"),
    ("job.payload.amount % 0 > 1", "a division by zero"),
    ("job.payload.items[7] == 1", "an index is out of range"),
    ("int(job.prompt) > 1", "a value cannot be converted"),
    ('job.prompt.matches(job.prompt + "[")', "a regular expression is not valid"),
    ("job.payload.amount", "it does not give a bool"),
    ("job.payload.none", "it does not give a bool"),
    ("job.prompt", "it does not give a bool"),
    ("timestamp(job.deadline) < now", "an operation does not fit the types of its values"),
    ("job.deadline < 5", "an operation does not fit the types of its values"),
]


@pytest.mark.parametrize(("source", "answer"), ANSWERS)
def test_an_expression_gives_true_false_or_why_not(source: str, answer: bool | str) -> None:
    assert Context(job(**ASKED), NOW_MS).test(parse_condition(source)) == answer


@pytest.mark.parametrize(
    ("decision", "matched"),
    [
        ("deny", True),
        ("require_approval", True),
        ("throttle", True),
        ("allow_with_constraints", False),
        ("allow", False),
    ],
)
def test_an_error_counts_as_matched_only_where_that_is_the_safe_side(decision: str, *, matched: bool) -> None:
    made = decide(policy(rule("broken", decision, when="job.payload.nope > 1")), job(payload={}))
    assert ("broken" in made.rules) is matched
    assert made.errors == ("broken: `when` failed: `nope` is not there",)
    assert not made.cacheable


def test_an_error_text_holds_nothing_of_the_job() -> None:
    active = policy(
        rule("a", "deny", when='job.payload[job.payload.secret] == "x"'),
        rule("b", "deny", when='job.prompt.matches(job.payload.secret + "[")'),
        rule("c", "deny", when="int(job.payload.secret) > 1"),
        rule("d", "deny", when="timestamp(job.payload.secret) > now"),
    )
    made = decide(active, job(payload={"secret": "hunter2"}))
    assert len(made.errors) == 4
    assert "hunter2" not in repr(made)


ABSENT: list[tuple[dict[str, Any], str, str]] = [
    # (payload, condition, error)
    ({"items": list(range(limits.EXPRESSION_LIST_ITEMS_MAX + 1))}, "has(job.payload.items)", "more than 1000 items"),
    ({"map": {str(n): n for n in range(1001)}}, "has(job.payload.map)", "more than 1000 items"),
    ({"rows": [[0] * 1000] * 11}, "has(job.payload.rows)", "more than 10000 values"),
    ({"text": "x" * 262_144}, "has(job.payload.text)", "more than 262144 bytes"),
]


@pytest.mark.parametrize(("payload", "when", "error"), ABSENT)
def test_a_payload_too_large_to_look_through_is_an_error(payload: dict[str, Any], when: str, error: str) -> None:
    made = decide(policy(rule("big", "deny", when=f"!{when}")), job(payload=payload))
    assert made.verdict is Verdict.DENY
    assert error in made.errors[0]


def test_what_a_condition_may_not_see_is_not_parsed_or_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []

    def parse(data: bytes) -> Any:
        parsed.append(len(data))
        return parse_json(data)

    monkeypatch.setattr(conditions, "parse_json", parse)
    many = policy(*(rule(f"r{number}", "deny", when="has(job.payload.x)") for number in range(50)))
    decide(many, job(payload={"text": "x" * 262_144}))
    assert parsed == []
    decide(many, job(payload=list(range(1001))))
    assert len(parsed) == 1


def test_a_payload_that_is_elsewhere_is_an_error_and_not_an_absence() -> None:
    """`has(job.payload)` would be false, and a rule that denies what has a payload would let it through."""
    asked = job(payload={"amount": 1}).with_payload(None)
    made = decide(policy(rule("let"), rule("no", "deny", when="has(job.payload.amount)")), asked)
    assert (made.verdict, made.errors) == (Verdict.DENY, ("no: `when` failed: the payload is not at hand",))


@pytest.mark.parametrize(
    "payload",
    [
        {"command": "ls\0; rm -rf /"},
        {"command": "ls", "command\0": "x"},
        {"command": "ls", "more": {"deep": ["a", ["b\0"]]}},
        {"command": "ls", "more": {"\0": 1}},
    ],
)
def test_a_text_is_never_seen_up_to_a_nul_only(payload: dict[str, Any]) -> None:
    """The library takes it for the end of a text; the worker would get all of it."""
    active = policy(
        rule("let", when="job.payload.command == 'ls'"),
        rule("no", "deny", match={"capabilities": ["x"]}, when="job.payload.command == 'rm'"),
    )
    why = "`when` failed: the payload has a text with a character of value zero"
    made = decide(active, job(payload=payload))
    assert (made.verdict, made.errors) == (Verdict.DENY, (f"let: {why}",))
    assert decide(active, job(payload=payload, capability="x")).deciding == ("no",)


def test_a_backslash_before_u0000_is_a_text_like_others() -> None:
    made = decide(policy(rule("let", when="job.payload.text.size() == 6")), job(payload={"text": "\\u0000"}))
    assert (made.verdict, made.errors) == (Verdict.ALLOW, ())


def test_a_rule_that_does_not_look_at_the_payload_does_without_it() -> None:
    asked = job(payload={"amount": 1}).with_payload(None)
    made = decide(policy(rule("let", when='job.topic == "job.demo.read"')), asked)
    assert (made.verdict, made.errors) == (Verdict.ALLOW, ())


def test_the_budget_of_steps_is_an_error() -> None:
    """Nested walks over 1,000 items would be a million steps; the library stops far earlier."""
    active = policy(rule("slow", "deny", when="job.payload.a.all(x, job.payload.a.exists(y, x + y > 3000))"))
    made = decide(active, job(payload={"a": [5000, *range(1, 1000)]}))
    assert made.verdict is Verdict.DENY
    decide(active, job(payload={"a": list(range(1000))}))


def test_nested_walks_over_a_large_text_are_an_error() -> None:
    """Ten thousand searches through a whole prompt would hold the kernel up for seconds."""
    when = "!job.payload.a.exists(x, job.payload.a.exists(y, job.prompt.contains(x + y)))"
    active = policy(rule("let", when=when))
    assert decide(active, job(prompt="x" * 15_000, payload={"a": ["y", "z"]})).verdict is Verdict.ALLOW
    made = decide(active, job(prompt="x" * 20_000, payload={"a": ["y", "z"]}))
    assert (made.verdict, made.errors) == (
        Verdict.DENY,
        ("let: `when` failed: the prompt or payload is too large for macros inside macros",),
    )


READS: list[tuple[str, set[str], bool]] = [
    ("true", set(), False),
    ("job.payload.a == 1", {"payload"}, False),
    ('job["topic"] == "a"', {"topic"}, False),
    ("job.run_at == null || job.deadline == null", {"run_at_ms", "deadline_ms"}, False),
    ("now.getHours() > 3", set(), True),
    ('actor == "a" || "b" in principal', {"actor", "principals"}, False),
    ('job.labels.exists(k, k == "a")', {"labels"}, False),
    ("job == job", set(ALL_READS), False),
    ('"topic" in job', set(ALL_READS), False),
    ('job["to" + "pic"] == "a"', set(ALL_READS), False),
    ("job.exists(k, k == 'topic')", set(ALL_READS), False),
    ('[job][0].topic == "a"', set(ALL_READS), False),
    ('{"a": job}.a.topic == "a"', set(ALL_READS), False),
    ('.job.topic == "a"', {"topic"}, False),
    ('true ? job.topic == "a" : job.pool == "b"', {"topic", "pool"}, False),
]


@pytest.mark.parametrize(("source", "reads", "reads_now"), READS)
def test_what_an_expression_reads_is_known_or_taken_to_be_everything(
    source: str, reads: set[str], *, reads_now: bool
) -> None:
    condition = parse_condition(source)
    assert condition.reads == reads
    assert condition.reads_now is reads_now


def test_expressions_see_every_field_that_is_hashed() -> None:
    """What a worker gets can be decided about. A new field of the job has to be put into the context too."""
    assert set(HASHED_FIELDS) - {"payload_digest"} == ALL_READS - {"payload"}
    assert set(JOB_VALUES) == {name.removesuffix("_ms") for name in HASHED_FIELDS if name != "payload_digest"}
