"""The HTTP API as a demo or a drill calls it: as a user would, with nothing but URL and key."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

ENDED = ("succeeded", "failed", "timed_out", "cancelled", "expired", "denied", "quarantined")
TIMEOUT_S = 20.0
POLL_S = 0.05


class Caller:
    """One key. `wait_s`: how long a job may take to come where it should."""

    def __init__(self, api: str, key: str, *, wait_s: float = TIMEOUT_S) -> None:
        self.wait_s = wait_s
        self._http = httpx.Client(base_url=api, headers={"X-API-Key": key}, timeout=TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and JSON."""
        reply = self._http.post(f"/api/v1{path}", json=body)
        return reply.status_code, reply.json()

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON."""
        reply = self._http.get(f"/api/v1{path}")
        return reply.status_code, reply.json()

    def submit(self, topic: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a submit."""
        return self.post("/jobs", {"topic": topic, **fields})

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as it is now."""
        return self.get(f"/jobs/{job_id}")[1]

    def ended(self, job_id: str, timeout_s: float | None = None) -> dict[str, Any]:
        """The job once it has ended, or as it is after the time limit."""
        return self.job_when(job_id, lambda job: job["state"] in ENDED, timeout_s)

    def job_when(
        self, job_id: str, holds: Callable[[dict[str, Any]], bool], timeout_s: float | None = None
    ) -> dict[str, Any]:
        """The job once `holds` is true of it, or as it is after the time limit."""
        deadline = time.monotonic() + (self.wait_s if timeout_s is None else timeout_s)
        while True:
            job = self.job(job_id)
            if holds(job) or time.monotonic() > deadline:
                return job
            time.sleep(POLL_S)

    def result(self, job_id: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the result."""
        return self.get(f"/jobs/{job_id}/result")


def counter(metrics: str, name: str) -> float:
    """The sum of a counter over its labels, from the page at `metrics`. KeyError when it is not there."""
    page = httpx.get(metrics, timeout=TIMEOUT_S, trust_env=False).text
    values = [
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith(name) and line[len(name) : len(name) + 1] in (" ", "{")
    ]
    if not values:
        raise KeyError(name)
    return sum(values)


def until(holds: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> bool:
    """Whether `holds` became true in time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
