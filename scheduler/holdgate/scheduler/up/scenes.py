"""What a demo and a drill have in common: one way through the system each, as a sentence about what was seen."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from holdgate.kernel import limits
from holdgate.scheduler.up.caller import Caller, until
from holdgate.scheduler.up.control import holding

DEPLOY = {"topic": "job.deploy.apply", "labels": {"env": "prod"}, "capability": "infra.write"}
"""Held by the starter bundle."""
STAGING_DEPLOY = {"topic": "job.deploy.apply", "labels": {"env": "staging"}, "capability": "infra.write"}
"""Allowed by it."""
CACHED_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class People:
    """Callers by what they do."""

    agent: Caller
    approver: Caller
    operator: Caller


def denied(agent: Caller, topic: str = "job.exec.shell") -> str:
    """A job that the policy refuses."""
    status, problem = agent.submit(topic, prompt="rm -rf /")
    ways = ", ".join(item["id"] for item in problem.get("remediations", []))
    return f"{status} {problem.get('code')} by {problem.get('rule')}; instead: {ways}"


def allowed(agent: Caller) -> str:
    """A job that runs."""
    status, job = agent.submit("job.demo.read", prompt="status")
    if status != 202:
        return _refused(status, job)
    return f"{status}, {agent.ended(job['job_id'])['state']}"


def released(people: People, *, reason: str) -> str:
    """A job that is held, released by somebody else, and runs."""
    status, job = people.agent.post("/jobs", DEPLOY)
    if status != 202:
        return _refused(status, job)
    held = people.agent.job(job["job_id"])["state"]
    _, shown = people.approver.get(f"/approvals/{job['job_id']}")
    vote = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], "reason": reason}
    own_status, own = people.agent.post(f"/approvals/{job['job_id']}/approve", vote)
    own_said = "refused" if own_status in (403, 404) else f"{own_status} {own.get('code')}"
    vote_status, answer = people.approver.post(f"/approvals/{job['job_id']}/approve", vote)
    if vote_status != 200:
        return f"{held}; approve: {_refused(vote_status, answer)}"
    return f"{held}; own vote {own_said}; released: {people.agent.ended(job['job_id'])['state']}"


def submit_without_kernel(agent: Caller) -> str:
    """What submit says while no kernel answers, once decisions in the cache are too old to be used."""
    deadline = time.monotonic() + limits.DECISION_CACHE_TTL_S + 1
    while True:
        before = _newest(agent)
        status, problem = agent.post("/jobs", STAGING_DEPLOY)
        if status != 202 or time.monotonic() > deadline:
            break
        time.sleep(CACHED_AGAIN_S)
    stored = "nothing stored" if _newest(agent) == before else "stored"
    return f"{status} {problem.get('code', problem.get('state'))}, {stored}"


def waits_for_kernel(agent: Caller, job_id: str) -> str:
    """Where a job is that became ready while no kernel answers."""
    job = agent.job_when(job_id, lambda job: job.get("waiting_reason") == "kernel_unavailable")
    return f"{job['state']}, {job.get('waiting_reason')}"


def kernel_is(operator: Caller, well: bool) -> bool:
    """Whether the API came to see the kernel as well, or as away."""
    return until(lambda: (operator.get("/status")[1]["checks"]["kernel"] == "ok") is well)


@contextmanager
def kernel_killed(control: str) -> Iterator[list[int]]:
    """The kernel is killed and stays away for the block."""
    with holding(control, "kernel") as pids:
        end(pids, signal.SIGKILL)
        yield pids


def end(pids: Sequence[int], number: signal.Signals = signal.SIGTERM) -> None:
    """End processes and wait for it."""
    for pid in pids:
        os.kill(pid, number)
    until(lambda: not any(_alive(pid) for pid in pids))


def _refused(status: int, problem: dict[str, Any]) -> str:
    return f"{status} {problem.get('code')}"


def _newest(agent: Caller) -> str | None:
    _, page = agent.get("/jobs?limit=1")
    items = page.get("items") or [{}]
    newest: str | None = items[0].get("job_id")
    return newest


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
