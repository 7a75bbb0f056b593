"""Approvals: how long the queue takes to be shown, to hear of a change, and from a release to the run.

Run alone: `python -m bench.approvals`. Times of replies are those of one keep-alive connection on the same machine, so
they are a little more than the server's.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from bench.load import submit_all
from bench.system import System, beside, running
from holdgate.client import ApiError, Client
from holdgate.scheduler.up.access import DEMO_POOL, worker_user
from holdgate.scheduler.up.home import Home

HELD = {
    "topic": "job.deploy.apply",
    "payload": {"version": "1.4.2", "service": "checkout"},
    "labels": {"env": "prod", "team": "payments"},
    "capability": "infra.write",
}
FEW, MANY = 100, 10_000
CONNECTIONS = 32
ROUNDS = 200
WARM = 5
WITHIN_S = 30.0
APART_S = 0.25
"""Between two held jobs: who listens is told at most ten times a second."""


def measure() -> dict[str, Any]:
    """The queue with few and with many held jobs, what changes, and releases; on systems of their own."""
    with running("--workers", "0") as system:
        asyncio.run(submit_all(system, FEW, CONNECTIONS, HELD))
        found: dict[str, Any] = {f"held_{FEW}": _shown(system), "live_update_ms": _live_updates(system)}
        asyncio.run(submit_all(system, MANY - FEW - ROUNDS, CONNECTIONS, HELD))
        found[f"held_{MANY}"] = _shown(system)
    with running("--workers", "0") as system, _worker(system):
        found["approve_to_start_ms"] = _starts(system)
    return found


def _shown(system: System, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """The API's list, the console's queue and one held job's page, in turns."""
    with _console(system) as console, _caller(system, "approver") as api:
        job_id = api.get("/api/v1/approvals", params={"limit": "1"}).json()["items"][0]["job_id"]
        calls: dict[str, Callable[[], httpx.Response]] = {
            "api_list_ms": lambda: api.get("/api/v1/approvals"),
            "api_list_expiring_ms": lambda: api.get("/api/v1/approvals", params={"order": "expiring"}),
            "api_show_ms": lambda: api.get(f"/api/v1/approvals/{job_id}"),
            "console_queue_ms": lambda: console.get("/approvals"),
            "console_job_ms": lambda: console.get(f"/approvals/{job_id}"),
        }
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(rounds + WARM):
            for name, call in calls.items():
                started = time.perf_counter()
                reply = call()
                took_ms = (time.perf_counter() - started) * 1000
                if reply.status_code != httpx.codes.OK:
                    raise RuntimeError(f"{name}: answered with {reply.status_code}: {reply.text[:200]}")
                if number >= WARM:
                    taken[name].append(took_ms)
    return {name: _quantiles(values) for name, values in taken.items()}


def _live_updates(system: System, rounds: int = ROUNDS) -> dict[str, float]:
    """From sending a submit that is held until a listener has its event."""
    heard: dict[str, float] = {}
    news = threading.Condition()
    listener = Client(system.ready["keys"]["approver"], url=system.ready["api"])

    def listen() -> None:
        with suppress(ApiError):  # the system ends before its listener
            for change in listener.approvals.events():
                with news:
                    heard.setdefault(change.job_id, time.perf_counter())
                    news.notify_all()

    threading.Thread(target=listen, daemon=True).start()
    taken: list[float] = []
    with _caller(system, "agent") as api:
        for number in range(rounds + WARM):
            time.sleep(APART_S)
            started = time.perf_counter()
            job_id = _submit(api)
            with news:
                if not news.wait_for(lambda job_id=job_id: job_id in heard, 1.0 if number < WARM else WITHIN_S):
                    if number < WARM:  # the listener was not connected yet
                        continue
                    raise TimeoutError("no event of a held job")
            if number >= WARM:
                taken.append((heard[job_id] - started) * 1000)
    return _quantiles(taken)


def _starts(system: System, rounds: int = ROUNDS) -> dict[str, float]:
    """From sending a release until the handler begins, one job after the other."""
    taken: list[float] = []
    with _caller(system, "agent") as agent, _caller(system, "approver") as approver:
        for number in range(rounds + WARM):
            job_id = _submit(agent)
            shown = approver.get(f"/api/v1/approvals/{job_id}").json()
            body = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], "reason": "measured"}
            started_us = time.time_ns() // 1000
            reply = approver.post(f"/api/v1/approvals/{job_id}/approve", json=body)
            if reply.status_code != httpx.codes.OK:
                raise RuntimeError(f"a release was answered with {reply.status_code}: {reply.text[:200]}")
            job = agent.get(f"/api/v1/jobs/{job_id}", params={"wait": "30s"}).json()
            if job["state"] != "succeeded":
                raise RuntimeError(f"a released job is `{job['state']}`")
            began_us = agent.get(f"/api/v1/jobs/{job_id}/result").json()["value"]
            if number >= WARM:
                taken.append((began_us - started_us) / 1000)
    return _quantiles(taken)


def _submit(api: httpx.Client) -> str:
    reply = api.post("/api/v1/jobs", json=HELD).json()
    if reply.get("state") != "held":
        raise RuntimeError(f"a job was not held: {reply}")
    return str(reply["job_id"])


def _caller(system: System, who: str) -> httpx.Client:
    headers = {"X-API-Key": system.ready["keys"][who]}
    return httpx.Client(base_url=system.ready["api"], headers=headers, timeout=WITHIN_S + 10)


@contextmanager
def _console(system: System) -> Iterator[httpx.Client]:
    """Signed in as an approver, as a browser would."""
    base = system.ready["api"]
    with httpx.Client(base_url=base, headers={"Origin": base}, timeout=WITHIN_S) as http:
        reply = http.post("/sign-in", data={"key": system.ready["keys"]["approver"], "next": "/"})
        if reply.status_code != httpx.codes.SEE_OTHER:
            raise RuntimeError(f"signing in was answered with {reply.status_code}")
        yield http


@contextmanager
def _worker(system: System) -> Iterator[None]:
    """A worker of its own beside the system; see `bench.starts`."""
    home, user = Home(system.folder), worker_user(DEMO_POOL)
    settings = {
        "NATS_USER": user,
        "NATS_NKEY_FILE": str(home.nkey_file(user)),
        "KERNEL_KEYS_FILE": str(home.worker_keys_file),
        "POOL": DEMO_POOL,
        "WORKER_NAME": "bench",
    }
    with beside(system, "bench-worker", ["worker", "run", "bench.starts:worker"], settings):
        yield


def _quantiles(taken_ms: Sequence[float]) -> dict[str, float]:
    ordered = sorted(taken_ms)
    return {
        "p50": round(ordered[len(ordered) // 2], 1),
        "p99": round(ordered[len(ordered) * 99 // 100], 1),
        "max": round(ordered[-1], 1),
    }


if __name__ == "__main__":
    print(measure())
