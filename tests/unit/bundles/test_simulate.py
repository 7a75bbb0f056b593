"""Offline simulation: one line in, one line out, and the answer that the gates would give."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.bundles.errors import DocumentInvalid
from holdgate.bundles.simulate import BARE_ROOT_VERSION, Line, Measured, load_policy, simulate
from holdgate.kernel.canonical import canonical_bytes, digest_bytes
from holdgate.kernel.errors import PolicyInvalid
from holdgate.kernel.policy import snapshot_of
from holdgate.kernel.records import Phase, Verdict
from support.policies import NOW_MS

RULES = b"""\
rules:
  - id: allow-read
    decision: allow
    reason: reading is fine
    match: {topics: ["job.*.read"]}
  - id: hold-prod
    decision: require_approval
    reason: a person looks at prod
    match: {labels: {env: prod}, capabilities: [infra.write]}
  - id: no-secrets
    decision: deny
    reason: no secrets in prompts
    match: {secrets_present: true}
  - id: not-at-night
    decision: deny
    reason: not at night
    match: {topics: ["job.night.>"]}
    when: 'now.getHours() < 6'
  - id: allow-night
    decision: allow
    reason: by day
    match: {topics: ["job.night.>"], tenants: [acme], actors: [bob], principals: [alice]}
"""


def run(*lines: bytes | dict[str, Any], explain: bool = False) -> list[Line]:
    facts = b"\n".join(line if isinstance(line, bytes) else canonical_bytes(line) for line in lines)
    policy = load_policy([("rules.yaml", RULES)])
    found = simulate(
        policy, facts, now_ms=NOW_MS, measure=lambda _, texts: Measured("hunter2" in texts), explain=explain
    )
    return list(found)


def verdicts(*lines: bytes | dict[str, Any]) -> list[Verdict | None]:
    return [line.decision.verdict if line.decision else None for line in run(*lines)]


def test_each_line_is_one_job_and_gives_one_decision() -> None:
    lines = run(
        {"topic": "job.demo.read", "prompt": "status"},
        {"job_id": "sim-1", "topic": "job.x", "labels": {"env": "prod"}, "meta": {"capability": "infra.write"}},
    )
    assert [line.job_id for line in lines] == ["line-1", "sim-1"]
    first, second = (line.as_dict() for line in lines)
    assert (first["verdict"], first["reason"], first["rules"]) == ("allow", "reading is fine", ["allow-read"])
    assert (second["verdict"], second["rules"]) == ("require_approval", ["hold-prod"])
    assert {"verdict", "reason", "rules", "constraints", "remediations", "snapshot", "job_hash", "phase"} <= set(first)
    assert first["phase"] == Phase.SIMULATE


def test_the_situation_of_a_line_counts() -> None:
    night = {"topic": "job.night.run", "tenant": "acme", "actor": "bob", "principals": ["alice"]}
    assert verdicts(
        {**night, "now": "2026-01-01T05:00:00Z"},
        {**night, "now": "2026-01-01T12:00:00Z"},
        {**night, "now": NOW_MS + 12 * 3_600_000},
        {**night, "now": "2026-01-01T12:00:00Z", "actor": "eve"},
        night,
    ) == [Verdict.DENY, Verdict.ALLOW, Verdict.ALLOW, Verdict.DENY, Verdict.DENY]


def test_secrets_are_measured_and_not_claimed() -> None:
    assert verdicts({"topic": "job.demo.read", "prompt": "use hunter2"}) == [Verdict.DENY]
    assert verdicts({"topic": "job.demo.read", "labels": {"note": "hunter2"}}) == [Verdict.DENY]
    (line,) = run({"topic": "job.demo.read", "prompt": "hunter2", "secrets_present": False})
    assert line.error is not None


BAD_LINES: list[tuple[bytes, str, str]] = [
    (b"nope", "malformed_json", "not JSON"),
    (b"[]", "invalid_input", "an object"),
    (b"", "malformed_json", "not JSON"),
    (b'{"topic":"job.a","topic":"job.demo.read"}', "malformed_json", "duplicate key"),
    (b'{"topic":"job..a"}', "invalid_input", "`topic`"),
    (b'{"topic":"job.a","colour":1}', "invalid_input", "`colour`"),
    (b'{"topic":"job.a","payload":NaN}', "malformed_json", "NaN"),
    (b"\xff", "malformed_json", "UTF-8"),
]


@pytest.mark.parametrize(("line", "code", "reason"), BAD_LINES)
def test_a_bad_line_is_an_error_in_its_place_and_the_others_are_decided(line: bytes, code: str, reason: str) -> None:
    good = {"topic": "job.demo.read"}
    before, bad, after = run(good, line, good)
    assert before.decision is not None
    assert after.decision is not None
    shown = bad.as_dict()
    assert (shown["line"], shown["error"]) == (2, code)
    assert reason in shown["detail"]


def test_a_file_that_ends_with_a_line_end_has_no_empty_last_line() -> None:
    assert len(run(b'{"topic":"job.demo.read"}\r\n{"topic":"job.demo.read"}\n')) == 2
    assert run(b"") == []


def test_explain_adds_a_line_for_every_rule_but_those_for_other_tenants() -> None:
    (line,) = run({"topic": "job.demo.read"}, explain=True)
    assert line.decision is not None
    assert line.decision.trace is not None
    assert {step["id"] for step in line.decision.trace} == {"allow-read", "hold-prod", "no-secrets", "not-at-night"}


def test_the_snapshot_of_bare_rules_is_over_their_bytes() -> None:
    (line,) = run({"topic": "job.demo.read"})
    assert line.decision is not None
    assert line.decision.snapshot == snapshot_of([digest_bytes(RULES)], BARE_ROOT_VERSION)
    assert load_policy([("rules.yaml", RULES + b"# x")]).snapshot != line.decision.snapshot


def test_rules_that_do_not_load_are_refused_whole() -> None:
    with pytest.raises(DocumentInvalid, match=r"rules.yaml:3: rules.0.decision"):
        load_policy([("rules.yaml", RULES.replace(b"decision: allow", b"decision: let", 1))])
    with pytest.raises(PolicyInvalid, match="`allow-read` is also taken"):
        load_policy([("a.yaml", RULES), ("b.yaml", RULES)])
