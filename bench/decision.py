"""How long one decision takes, by the number of rules: what the kernel calls, without hashing and transport.

Run alone: `python -m bench.decision`.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import ActorId, Digest, JobId, Tenant
from holdgate.kernel.jobform import Identity, job_from_form
from holdgate.kernel.policy import Policy, compile_policy
from holdgate.kernel.records import Job, Phase
from holdgate.kernel.ruleform import parse_rules

RULE_COUNTS = (100, 1_000, 10_000)
NOW_MS = 1_767_225_600_000


def measure(rule_counts: tuple[int, ...] = RULE_COUNTS, decisions: int = 5_000) -> dict[str, Any]:
    """`decision_p50_us` and `decision_p99_us` by number of rules; besides, what hashing the job takes, and loading."""
    job = example_job()
    result: dict[str, Any] = {"decision_p50_us": {}, "decision_p99_us": {}, "load_s": {}}
    for count in rule_counts:
        started = time.perf_counter()
        policy = example_policy(count)
        result["load_s"][str(count)] = round(time.perf_counter() - started, 3)
        taken_us = sorted(_times_us(policy, job, decisions))
        result["decision_p50_us"][str(count)] = round(statistics.median(taken_us), 2)
        result["decision_p99_us"][str(count)] = round(taken_us[len(taken_us) * 99 // 100], 2)
    result["job_hash_us"] = round(_hash_us(job), 2)
    return result


def example_job() -> Job:
    """A job as the curl walk submits it, with labels, a capability and a risk tag."""
    return job_from_form(
        {
            "topic": "job.deploy.apply",
            "payload": {"service": "checkout", "version": "1.4.2"},
            "labels": {"env": "prod", "team": "payments"},
            "capability": "infra.write",
            "risk_tags": ["change"],
        },
        identity=Identity(Tenant("default"), ActorId("deployer")),
        job_id=JobId("job_bench"),
        now_ms=NOW_MS,
        trace_id="",
        secrets_present=False,
        pii_present=False,
    )


def example_policy(count: int) -> Policy:
    """The policy of `example_rules`."""
    bundle = parse_rules({"rules": example_rules(count)}, "bench")
    return compile_policy([bundle], snapshot=Digest("sha256:" + "0" * 64))


def example_rules(count: int) -> list[dict[str, Any]]:
    """`count` rules of a mixed kind, three of which match the example job whatever the count."""
    rules: list[dict[str, Any]] = [
        {
            "id": "hold-prod-write",
            "decision": "require_approval",
            "reason": "human review required for prod write",
            "match": {"topics": ["job.deploy.*"], "labels": {"env": "prod"}, "capabilities": ["infra.write"]},
        },
        {
            "id": "allow-deploys",
            "decision": "allow_with_constraints",
            "reason": "deploys",
            "match": {"topics": ["job.deploy.>"]},
            "constraints": {"max_runtime_s": 600},
        },
        {"id": "allow-payments", "decision": "allow", "reason": "own team", "match": {"labels": {"team": "payments"}}},
    ]
    return [*rules, *(_other_rule(number) for number in range(count - len(rules)))]


def _other_rule(number: int) -> dict[str, Any]:
    """A rule that shares some of what the example job has and differs in one thing."""
    matches: list[dict[str, Any]] = [
        {"topics": [f"job.app{number}.*"], "labels": {"env": "prod"}},
        {"topics": ["job.deploy.*"], "labels": {"team": f"team-{number}"}},
        {"tenants": [f"tenant-{number}"], "capabilities": ["infra.write"]},
        {"topics": ["job.deploy.apply"], "labels": {"env": "prod"}, "actors": [f"actor-{number}"]},
        {"topics": ["job.>"], "risk_tags": [f"risk-{number}"]},
    ]
    return {"id": f"rule-{number}", "decision": "deny", "reason": "other", "match": matches[number % len(matches)]}


def _times_us(policy: Policy, job: Job, decisions: int) -> list[float]:
    job_hash = job.job_hash()
    taken_us = []
    for _ in range(decisions):
        started = time.perf_counter_ns()
        evaluate(policy, job, now_ms=NOW_MS, phase=Phase.SUBMIT, job_hash=job_hash)
        taken_us.append((time.perf_counter_ns() - started) / 1000)
    return taken_us


def _hash_us(job: Job, times: int = 2_000) -> float:
    started = time.perf_counter_ns()
    for _ in range(times):
        job.job_hash()
    return (time.perf_counter_ns() - started) / 1000 / times


if __name__ == "__main__":
    print(measure())
