"""What the folder `examples` shows works as shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdgate.client import Client
from holdgate.workers.cli import load
from support.whole import Whole

EXAMPLES = Path(__file__).parents[3] / "examples"


def environment(whole: Whole) -> dict[str, str]:
    return {**os.environ, "HOLDGATE_API_URL": whole.api, "HOLDGATE_API_KEY": whole.key("agent")}


def test_the_agent_runs_a_job_and_is_told_why_another_is_denied(whole: Whole) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "agent.py")],
        env=environment(whole),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, second, third = done.stdout.splitlines()
    assert "'status': 'ok'" in first
    assert second.startswith("denied by deny-raw-shell: ")
    assert third.startswith("safer: ['")


def test_the_async_agent_follows_its_held_job_until_somebody_decides(whole: Whole, approver: Client) -> None:
    agent = subprocess.Popen(
        [sys.executable, "-u", str(EXAMPLES / "async_agent.py")],
        env=environment(whole),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert agent.stdout is not None
    lines = [agent.stdout.readline() for _ in range(11)]
    job_id = lines[-1].split()[0]
    approver.approvals.approve(approver.approvals.show(job_id), reason="seen")
    states = agent.stdout.read().split()
    assert agent.wait(30) == 0
    assert states[-1] == "succeeded"


@pytest.mark.parametrize("name", ["worker", "typed_payload", "cpu_bound"])
def test_each_worker_can_be_loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, name, raising=False)
    assert len(load(f"{name}:worker").handlers) == 1


def test_the_ten_line_worker_serves_jobs_of_its_pool(whole: Whole, client: Client, tmp_path: Path) -> None:
    settings = {
        "HOLDGATE_NATS_URL": whole.ready["nats"],
        "HOLDGATE_NATS_USER": whole.ready["nats_user"],
        "HOLDGATE_NATS_NKEY_FILE": whole.ready["nats_nkey_file"],
        "HOLDGATE_KERNEL_KEYS_FILE": str(whole.folder / "worker-keys.json"),
    }
    command = [sys.executable, "-m", "holdgate.scheduler.cli", "worker", "run", "worker:worker"]
    worker = subprocess.Popen(
        [*command, "--pool", "examples"], cwd=EXAMPLES, env={**os.environ, **settings}, stderr=subprocess.DEVNULL
    )
    try:
        output = client.submit("job.demo.read", prompt="example", pool="examples").result(timeout_s=30)
        assert (output.value, output.logs) == ({"status": "ok", "asked": "example"}, ("reading the status",))
    finally:
        worker.terminate()
        assert worker.wait(20) == 0
