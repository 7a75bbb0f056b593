"""`holdgate drill`: what an operator does in staging before trusting a system, as one command with a report.

One deny, one approval, one allow; simulate and submit compared; the kernel stopped, the fail mode confirmed, the kernel
started, recovery confirmed; the counters checked.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from holdgate.kernel.clock import Clock, SystemClock, rfc3339
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.up import scenes
from holdgate.scheduler.up.caller import Caller, counter
from holdgate.scheduler.up.home import Home
from holdgate.scheduler.up.scenes import People
from holdgate.scheduler.up.steps import Outcome, Skipped, Step, run_steps

RUN_SOON_S = 1.5
COMMAND_TIMEOUT_S = 60.0
FAIL_OPEN = "holdgate_input_fail_open_total"
COUNTED = ("holdgate_decisions_total", "holdgate_permits_total", "holdgate_output_policy_verdicts_total")


@dataclass(frozen=True, slots=True)
class Target:
    """The system to drill. `control`: of a `holdgate up`; else commands of the operator's own, or no kernel steps."""

    api: str
    metrics: str | None
    keys: dict[str, str]
    control: str | None = None
    stop_kernel: str | None = None
    start_kernel: str | None = None
    wait_s: float = 20.0


def target_of(directory: Path, wait_s: float) -> Target:
    """The `holdgate up` that runs in `directory`. Misconfigured when there is none."""
    try:
        state = json.loads(Home(directory.absolute()).state_file.read_text())
        return Target(state["api"], state["metrics"], state["keys"], control=state["control"], wait_s=wait_s)
    except (OSError, ValueError, KeyError) as error:
        raise Misconfigured(f"no `holdgate up` runs in `{directory}`") from error


def run_drill(target: Target) -> int:
    """The exit code: 0 when everything was as expected."""
    with contextlib.ExitStack() as stack:
        callers = {}
        for name in ("agent", "approver", "operator"):
            if name not in target.keys:
                raise Misconfigured(f"a drill needs the key of an {name}")
            callers[name] = Caller(target.api, target.keys[name], wait_s=target.wait_s)
            stack.callback(callers[name].close)
        people = People(callers["agent"], callers["approver"], callers["operator"])
        drill = _Drill(target, people, SystemClock())
        stack.callback(drill.close)
        outcomes = run_steps(drill.steps(), f"holdgate drill of {target.api}")
    return _report(outcomes)


class _Drill:
    def __init__(self, target: Target, people: People, clock: Clock) -> None:
        self._target = target
        self._people = people
        self._clock = clock
        self._away = contextlib.ExitStack()
        self._job_id = ""
        self._before: dict[str, float] = {}

    def close(self) -> None:
        """The kernel is back, whatever happened."""
        self._away.close()

    def steps(self) -> list[Step]:
        """In order."""
        agent, people = self._people.agent, self._people
        return [
            Step("every part says that it is well", "ok", self._checks),
            Step("deny", "403 denied by deny-raw-shell; instead: read-instead", lambda: scenes.denied(agent)),
            Step(
                "approval",
                "held; own vote refused; released: succeeded",
                lambda: scenes.released(people, reason="drill"),
            ),
            Step("allow", "202, succeeded", lambda: scenes.allowed(agent)),
            Step("simulate agrees with submit", "same verdict, rules and hash", self._simulate),
            Step("kernel stopped: noticed", "seen as away", self._stop_kernel),
            Step("kernel stopped: fail mode of submit", "503 kernel_unavailable, nothing stored", self._submit_closed),
            Step("kernel stopped: fail mode of dispatch", "queued, kernel_unavailable", self._waits),
            Step("kernel started: recovers", "seen as well", self._start_kernel),
            Step("kernel started: the queued job runs", "succeeded", self._runs),
            Step("counters moved", "moved", self._moved),
            Step("let through without a decision", "0", self._fail_open),
        ]

    def _checks(self) -> str:
        self._before = self._counters()
        _, status = self._people.operator.get("/status")
        wrong = [f"{name}: {said}" for name, said in status["checks"].items() if said != "ok"]
        return "; ".join(wrong) or "ok"

    def _simulate(self) -> str:
        for form in (scenes.DEPLOY, scenes.STAGING_DEPLOY, {"topic": "job.exec.shell"}):
            _, simulated = self._people.agent.post("/policy/simulate", form)
            _, submitted = self._people.agent.post("/jobs", form)
            decision = submitted["decision"]
            differing = [key for key in ("verdict", "rules", "job_hash") if simulated[key] != decision[key]]
            if differing:
                return f"`{form['topic']}` differs in {', '.join(differing)}"
            self._people.agent.post(f"/jobs/{submitted['job_id']}/cancel", {})
        return "same verdict, rules and hash"

    def _stop_kernel(self) -> str:
        target = self._target
        run_at = rfc3339(self._clock.now_ms() + int(RUN_SOON_S * 1000))
        if target.control is not None:
            self._job_id = self._submit_later(run_at)
            self._away.enter_context(scenes.kernel_killed(target.control))
        elif target.stop_kernel and target.start_kernel:
            self._job_id = self._submit_later(run_at)
            self._away.enter_context(_stopped_by(target.stop_kernel, target.start_kernel))
        else:
            raise Skipped("give --dir, or --stop-kernel and --start-kernel")
        scenes.submit_without_kernel(self._people.agent)  # three questions without an answer open the breaker
        return "seen as away" if scenes.kernel_is(self._people.operator, well=False) else "seen as well"

    def _submit_later(self, run_at: str) -> str:
        _, job = self._people.agent.submit("job.demo.read", prompt="drill", run_at=run_at)
        return str(job["job_id"])

    def _submit_closed(self) -> str:
        self._require_away()
        return scenes.submit_without_kernel(self._people.agent)

    def _waits(self) -> str:
        self._require_away()
        return scenes.waits_for_kernel(self._people.agent, self._job_id)

    def _start_kernel(self) -> str:
        self._require_away()
        self._away.close()
        return "seen as well" if scenes.kernel_is(self._people.operator, well=True) else "seen as away"

    def _runs(self) -> str:
        self._require_away()
        return str(self._people.agent.ended(self._job_id)["state"])

    def _require_away(self) -> None:
        if not self._job_id:
            raise Skipped("the kernel was not stopped")

    def _moved(self) -> str:
        after = self._counters()
        still = [name for name in COUNTED if after[name] <= self._before[name]]
        return "moved" if not still else f"did not move: {', '.join(still)}"

    def _fail_open(self) -> str:
        after = self._counters()
        return str(int(after[FAIL_OPEN] - self._before[FAIL_OPEN]))

    def _counters(self) -> dict[str, float]:
        if self._target.metrics is None:
            raise Skipped("give --metrics")
        metrics = self._target.metrics
        return {name: counter(metrics, name) for name in (*COUNTED, FAIL_OPEN)}


@contextlib.contextmanager
def _stopped_by(stop_command: str, start_command: str) -> Iterator[None]:
    """The operator's own commands around the block."""
    _run(stop_command)
    try:
        yield
    finally:
        _run(start_command)


def _run(command: str) -> None:
    done = subprocess.run(command, shell=True, timeout=COMMAND_TIMEOUT_S, check=False)  # noqa: S602  the operator's own
    if done.returncode != 0:
        raise Misconfigured(f"`{command}` ended with {done.returncode}")


def _report(outcomes: list[Outcome]) -> int:
    skipped = [outcome for outcome in outcomes if outcome.seen.startswith("skipped")]
    differing = [outcome for outcome in outcomes if not outcome.is_as_expected and outcome not in skipped]
    print(
        f"\n{len(outcomes) - len(differing) - len(skipped)} as expected, {len(differing)} not, {len(skipped)} skipped"
    )
    return 1 if differing or skipped else 0
