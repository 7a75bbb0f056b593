"""Short ways to write jobs, rules and policies in tests. Data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import ActorId, Digest, JobId, Tenant
from holdgate.kernel.jobform import Identity, job_from_form
from holdgate.kernel.policy import Policy, compile_policy
from holdgate.kernel.records import Decision, Job, Phase, Verdict
from holdgate.kernel.ruleform import parse_rules

NOW_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z, a Thursday."""
SNAPSHOT = Digest("sha256:" + "5" * 64)
IDENTITY = Identity(Tenant("default"), ActorId("agent-1"), "agent", ("alice", "team-lead"))
DETECTOR: dict[str, Any] = {
    "id": "custom.project",
    "category": "pii",
    "severity": "high",
    "regex": r"\bPRJ-\d{6}\b",
    "max_len": 10,
    "examples": {"true": ["see PRJ-%{[0-9]{6}}"], "false": ["PRJ-12"]},
}
"""Of a bundle."""


def job(*, identity: Identity = IDENTITY, secrets_present: bool = False, pii_present: bool = False, **form: Any) -> Job:
    """A job of the form given, `job.demo.read` unless `topic` says otherwise."""
    return job_from_form(
        {"topic": "job.demo.read", **form},
        identity=identity,
        job_id=JobId("job_00000000-0000-7000-8000-000000000000"),
        now_ms=NOW_MS,
        trace_id="trace",
        secrets_present=secrets_present,
        pii_present=pii_present,
    )


def rule(name: str = "rule", decision: str = "allow", **parts: Any) -> dict[str, Any]:
    """A rule as it is written down; what its decision needs is put in where it is not given."""
    written: dict[str, Any] = {"id": name, "decision": decision, "reason": f"because of {name}"}
    if decision == "throttle":
        written["throttle"] = {"limit": 5, "per": "1m", "key": ["tenant", "actor"]}
    if decision == "allow_with_constraints":
        written["constraints"] = {"max_runtime_s": 60}
    return {**written, **parts}


def policy(
    *rules: Mapping[str, Any], combining: str = "deny-overrides", default: Verdict = Verdict.DENY, **document: Any
) -> Policy:
    """The policy of one bundle."""
    written = {"rules": list(rules), "combining": combining, **document}
    return compile_policy([parse_rules(written, "test")], snapshot=SNAPSHOT, default=default)


def policy_of(bundles: Mapping[str, tuple[str, Sequence[Mapping[str, Any]]]]) -> Policy:
    """The policy of several bundles, given as name → (combining, rules)."""
    parsed = [
        parse_rules({"combining": combining, "rules": list(rules)}, name)
        for name, (combining, rules) in bundles.items()
    ]
    return compile_policy(parsed, snapshot=SNAPSHOT)


def decide(active: Policy, asked: Job, *, now_ms: int = NOW_MS, phase: Phase = Phase.SUBMIT) -> Decision:
    """The decision, without a trace."""
    return evaluate(active, asked, now_ms=now_ms, phase=phase)


def explain(active: Policy, asked: Job, *, now_ms: int = NOW_MS) -> Decision:
    """The decision with its trace."""
    return evaluate(active, asked, now_ms=now_ms, phase=Phase.EXPLAIN, trace=True)
