"""`holdgate demo`: starts a system of its own and takes real jobs through every outcome."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdgate.kernel.clock import Clock, SystemClock, rfc3339
from holdgate.kernel.login import Login
from holdgate.scheduler.errors import ServerUnusable
from holdgate.scheduler.up import scenes
from holdgate.scheduler.up.access import OPERATOR
from holdgate.scheduler.up.caller import Caller, counter, until
from holdgate.scheduler.up.children import spawn, stop
from holdgate.scheduler.up.control import holding
from holdgate.scheduler.up.credentials import nkey_of
from holdgate.scheduler.up.home import Home
from holdgate.scheduler.up.scenes import People
from holdgate.scheduler.up.steps import Step, run_steps
from holdgate.scheduler.up.tamper import Wires, hand_over_altered

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
RUN_SOON_S = 1.5
"""Long enough to stop the kernel before the job becomes ready."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A running system and who calls it."""

    ready: dict[str, Any]
    home: Home
    people: People
    clock: Clock

    @property
    def control(self) -> str:
        """Where holds are asked for."""
        state = json.loads(self.home.state_file.read_text())
        return str(state["control"])


def run_demo(directory: Path | None) -> int:
    """The exit code: 0 when everything was as expected."""
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdgate-demo-")))
        print("starting NATS, Redis, kernel, api, dispatcher, output-gate, auditor and a worker …", flush=True)
        started_s = time.monotonic()
        stage = stack.enter_context(_stage(directory))
        print(f"ready after {time.monotonic() - started_s:.1f} s at {stage.ready['api']}\n", flush=True)
        outcomes = run_steps(_steps(stage), "holdgate demo")
    differing = [outcome for outcome in outcomes if not outcome.is_as_expected]
    _print_end(len(outcomes), len(differing))
    return 1 if differing else 0


@contextlib.contextmanager
def _stage(directory: Path) -> Iterator[Stage]:
    """`holdgate up` as a process of its own, on free ports, for the block."""
    home = Home(directory.absolute())
    home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    ready_file, log = home.path / "ready.json", home.path / "up.log"
    ready_file.unlink(missing_ok=True)
    argv = (sys.executable, "-m", "holdgate.scheduler.cli", "up", "--dir", home.path, "--port", "0")
    with log.open("ab") as output:
        child = spawn((*map(str, argv), "--metrics-port", "0", "--ready-file", str(ready_file)), output=output)
    try:
        if not until(lambda: ready_file.exists() or child.poll() is not None, READY_TIMEOUT_S) or child.poll():
            raise ServerUnusable(f"the system did not start:\n{log.read_text()[-2000:]}")
        ready = json.loads(ready_file.read_text())
        with contextlib.ExitStack() as stack:
            callers = {}
            for name in ("agent", "approver", "operator"):
                callers[name] = Caller(ready["api"], ready["keys"][name])
                stack.callback(callers[name].close)
            yield Stage(ready, home, People(callers["agent"], callers["approver"], callers["operator"]), SystemClock())
    finally:
        stop(child, timeout_s=STOP_TIMEOUT_S)


def _steps(stage: Stage) -> list[Step]:
    people, agent = stage.people, stage.people.agent
    waiting = _Waiting(stage)
    return [
        Step("allowed: runs", "202, succeeded", lambda: scenes.allowed(agent)),
        Step(
            "denied, with a safer way",
            "403 denied by deny-raw-shell; instead: read-instead",
            lambda: scenes.denied(agent),
        ),
        Step("the safer way, taken", "202, succeeded", lambda: _remediated(agent)),
        Step(
            "held, released by an approver, runs",
            "held; own vote refused; released: succeeded",
            lambda: scenes.released(people, reason="the demo asks for it"),
        ),
        Step("allowed within constraints", "succeeded, max_runtime_s 30", lambda: _constrained(agent)),
        Step("throttled: three a minute", "202 202 202 429 throttled", lambda: _throttled(agent)),
        Step("output redacted", "succeeded, redact, no token readable", lambda: _redacted(agent)),
        Step("output quarantined", "quarantined, result 403, no key readable", lambda: _quarantined(agent)),
        Step("kernel killed: submit refused", "503 kernel_unavailable, nothing stored", waiting.kill_and_submit),
        Step("kernel killed: a queued job waits", "queued, kernel_unavailable", waiting.look),
        Step("kernel back: the job runs", "succeeded", waiting.revive),
        Step(
            "altered queue message: the worker refuses",
            "refused: job_hash_mismatch; unaltered: succeeded",
            lambda: _altered(stage),
        ),
        Step("let through without a decision", "0", lambda: _fail_open(stage)),
    ]


def _remediated(agent: Caller) -> str:
    _, problem = agent.submit("job.exec.shell", prompt="uptime")
    status, job = agent.post(f"/jobs/{problem['job_id']}/remediate", {"remediation_id": "read-instead"})
    if status != 202:
        return f"{status} {job.get('code')}"
    return f"{status}, {agent.ended(job['job_id'])['state']}"


def _constrained(agent: Caller) -> str:
    _, job = agent.submit("job.demo.write", capability="demo.write")
    state = agent.ended(job["job_id"])["state"]
    _, result = agent.result(job["job_id"])
    return f"{state}, max_runtime_s {result['value']['constraints'].get('max_runtime_s')}"


def _throttled(agent: Caller) -> str:
    replies = [agent.submit("job.demo.throttled") for _ in range(4)]
    return " ".join(str(status) for status, _ in replies) + f" {replies[-1][1].get('code')}"


def _redacted(agent: Caller) -> str:
    _, job = agent.submit("job.demo.leak")
    state = agent.ended(job["job_id"])["state"]
    _, result = agent.result(job["job_id"])
    text = str(result.get("value"))
    clean = "[redacted:" in text and "ghp_" not in text
    return f"{state}, {result['verdict']['verdict']}, {'no token readable' if clean else 'a token is readable'}"


def _quarantined(agent: Caller) -> str:
    _, job = agent.submit("job.demo.key")
    state = agent.ended(job["job_id"])["state"]
    status, result = agent.result(job["job_id"])
    clean = "PRIVATE KEY-----" not in str(result)
    return f"{state}, result {status}, {'no key readable' if clean else 'a key is readable'}"


class _Waiting:
    """The three steps around a kernel that is away."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._away = contextlib.ExitStack()
        self._job_id = ""

    def kill_and_submit(self) -> str:
        """Kill it, submit."""
        agent = self._stage.people.agent
        run_at = rfc3339(self._stage.clock.now_ms() + int(RUN_SOON_S * 1000))
        _, job = agent.submit("job.demo.read", prompt="later", run_at=run_at)
        self._job_id = job["job_id"]
        self._away.enter_context(scenes.kernel_killed(self._stage.control))
        return scenes.submit_without_kernel(agent)

    def look(self) -> str:
        """The job that became ready meanwhile."""
        return scenes.waits_for_kernel(self._stage.people.agent, self._job_id)

    def revive(self) -> str:
        """Let it come back."""
        self._away.close()
        return str(self._stage.people.agent.ended(self._job_id)["state"])


def _altered(stage: Stage) -> str:
    """The dispatcher is stopped; its place is taken; afterwards the real one runs the real job."""
    agent, ready = stage.people.agent, stage.ready
    with holding(stage.control, "dispatcher") as pids:
        scenes.end(pids)
        _, job = agent.submit("job.demo.read", prompt="status")
        code = hand_over_altered(_wires(stage), job["job_id"], ready["tenant"])
    return f"refused: {code}; unaltered: {agent.ended(job['job_id'])['state']}"


def _wires(stage: Stage) -> Wires:
    operator, dispatcher = (Login(name, nkey=nkey_of(stage.home, name)) for name in (OPERATOR, "dispatcher"))
    return Wires(stage.ready["nats"], operator, dispatcher)


def _fail_open(stage: Stage) -> str:
    return str(int(counter(stage.ready["metrics"], "holdgate_input_fail_open_total")))


def _print_end(total: int, differing: int) -> None:
    if differing:
        print(f"\n{differing} of {total} steps differ from what was expected.")
        return
    print(f"\nAll {total} steps were as expected.")
    print("Keep a system running:  make up   (or: holdgate up)")
    print("  API      http://127.0.0.1:8081/api/v1     description at /openapi.json")
    print("  console  http://127.0.0.1:8081/")
    print("  metrics  http://127.0.0.1:9090/metrics")
    print("  (other free ports when these are taken; `holdgate up` says which, and prints the keys)")
