"""Jobs a second from submit to a readable result, through every gate, with all durability on.

Run alone: `python -m bench.jobs`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

from bench.load import submit_all
from bench.system import System, running

JOBS = 8_000
CONNECTIONS = 64
FINISH_WITHIN_S = 120
POLL_S = 0.05


def measure(system: System, jobs: int = JOBS) -> dict[str, Any]:
    """`jobs_per_s` from the first submit to the last result; `finish_ms_p50`, `_p99` of jobs one by one."""
    before, cpu_before = _succeeded(system), system.cpu_s()
    started = time.perf_counter()
    accepted = asyncio.run(submit_all(system, jobs, CONNECTIONS))
    submitted_s = time.perf_counter() - started
    while (done := _succeeded(system) - before) < accepted:
        if time.perf_counter() - started > FINISH_WITHIN_S:
            raise TimeoutError(f"{done:.0f} of {accepted} jobs finished within {FINISH_WITHIN_S} s")
        time.sleep(POLL_S)
    taken_s = time.perf_counter() - started
    used = {kind: round(after - cpu_before[kind], 2) for kind, after in system.cpu_s().items()}
    return {
        "jobs": accepted,
        "jobs_per_s": round(accepted / taken_s),
        "while_submitting_per_s": round(accepted / submitted_s),
        "cpu_ms_per_job": {kind: round(seconds * 1000 / accepted, 3) for kind, seconds in used.items()},
        **one_at_a_time(system),
    }


def one_at_a_time(system: System, jobs: int = 200) -> dict[str, float]:
    """Submit a job, wait for its end, and again: the time that one job takes when nothing else is to be done."""
    taken_ms = []
    headers = {"X-API-Key": system.ready["keys"]["agent"]}
    with httpx.Client(base_url=system.ready["api"], headers=headers, timeout=30) as http:
        for _ in range(jobs):
            started = time.perf_counter()
            job_id = http.post("/api/v1/jobs", json={"topic": "job.demo.read", "prompt": "status"}).json()["job_id"]
            state = http.get(f"/api/v1/jobs/{job_id}", params={"wait": "10s"}).json()["state"]
            if state != "succeeded":
                raise RuntimeError(f"a job ended as `{state}`")
            taken_ms.append((time.perf_counter() - started) * 1000)
    taken_ms.sort()
    return {
        "finish_ms_p50": round(taken_ms[len(taken_ms) // 2], 2),
        "finish_ms_p99": round(taken_ms[len(taken_ms) * 99 // 100], 2),
    }


def _succeeded(system: System) -> float:
    return system.metric("holdgate_jobs_total", state="succeeded")


if __name__ == "__main__":
    with running() as started_system:
        print(measure(started_system))
