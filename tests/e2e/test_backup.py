"""A system with jobs in every state, backed up while it runs, restored into a new directory: it goes on from there."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from holdgate.client import Client, Denied
from holdgate.client.errors import JobNotSucceeded, OutputQuarantined
from holdgate.scheduler.up.control import holding
from support.waiting import eventually_sync
from support.whole import Whole, running_whole

pytestmark = pytest.mark.xdist_group("up")

LATER = datetime.now(UTC) + timedelta(days=1)
PROD = {"labels": {"env": "prod"}, "capability": "infra.write"}


def holdgate(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "holdgate.scheduler.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)


def client(system: Whole, who: str = "agent") -> Client:
    return Client(system.key(who), url=system.api)


def fill(system: Whole) -> dict[str, str]:
    """A job in each state, by the state."""
    with client(system) as agent:
        jobs = {
            "succeeded": agent.submit("job.demo.read", prompt="status", payload={"large": "x" * 400_000}),
            "quarantined": agent.submit("job.demo.key"),
            "failed": agent.submit("job.demo.fail", max_attempts=1),
            "held": agent.submit("job.deploy.api", **PROD),
            "queued": agent.submit("job.demo.read", pool="nobody"),
            "scheduled": agent.submit("job.demo.read", run_at=LATER),
            "cancelled": agent.submit("job.demo.read", run_at=LATER),
        }
        jobs["cancelled"].cancel()
        for ends in ("succeeded", "quarantined", "failed"):
            assert jobs[ends].wait(timeout_s=30).state == ends
        with pytest.raises(Denied) as denied:
            agent.submit("job.exec.shell", prompt="ls")
    return {state: job.job_id for state, job in jobs.items()} | {"denied": str(denied.value.job_id)}


def unjudged(system: Whole) -> str:
    """A job whose result is in the log, and nobody looks at it."""
    with client(system) as agent:
        job = agent.submit("job.demo.read", prompt="later")
        assert eventually_sync(lambda: job.info().state == "finishing", 20)
        return job.job_id


@contextlib.contextmanager
def without_gate(system: Whole) -> Iterator[None]:
    """What comes now waits for its verdict in the log."""
    control = json.loads((system.folder / "run" / "up.json").read_text())["control"]
    with holding(control, "output-gate") as pids:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        assert eventually_sync(lambda: not any(map(psutil.pid_exists, pids)), 10)
        yield


@pytest.fixture
def passphrase(tmp_path: Path) -> str:
    file = tmp_path / "passphrase"
    file.write_text(secrets.token_urlsafe(16))
    file.chmod(0o600)
    return str(file)


def test_a_restored_system_has_every_job_and_goes_on(whole: Whole, tmp_path: Path, passphrase: str) -> None:
    """Held ones can be released and sealed ones opened; what waited for its verdict gets it, without a second run."""
    file, sealed = str(tmp_path / "holdgate.backup"), ("--with-keys", "--passphrase-file", passphrase)
    ended = fill(whole)
    with without_gate(whole):
        jobs = ended | {"finishing": unjudged(whole)}
        made = holdgate("backup", file, "--dir", str(whole.folder), *sealed)
    assert made.returncode == 0, made.stderr
    assert Path(file).stat().st_mode & 0o777 == 0o600
    assert "the backup is whole" in holdgate("backup", "verify", file).stdout
    target = tmp_path / "restored" / "data"
    restored = holdgate("restore", file, "--dir", str(target), *sealed)
    assert restored.returncode == 0, restored.stderr
    again = holdgate("restore", file, "--dir", str(target))
    assert (again.returncode, "target_not_empty" in again.stderr) == (1, True)
    with running_whole(tmp_path / "restored") as system:
        go_on(replace(system, folder=target), jobs)


def go_on(system: Whole, jobs: dict[str, str]) -> None:
    with client(system) as agent, client(system, "approver") as approver:
        told = {state: agent.jobs.get(job_id).state for state, job_id in jobs.items() if state != "finishing"}
        assert told == {state: state for state in told}
        finished = agent.jobs.wait(jobs["finishing"], timeout_s=30)
        assert (finished.state, finished.attempt) == ("succeeded", 1)
        assert agent.jobs.result(jobs["finishing"]).value["prompt"] == "later"
        assert agent.jobs.result(jobs["succeeded"]).value["status"] == "ok"
        with pytest.raises(OutputQuarantined):
            agent.jobs.result(jobs["quarantined"])
        with pytest.raises(JobNotSucceeded):
            agent.jobs.result(jobs["failed"])
        approver.approvals.approve(approver.approvals.show(jobs["held"]), reason="as before")
        assert agent.jobs.wait(jobs["held"], timeout_s=30).state == "succeeded"
        assert approver.quarantine.show(jobs["quarantined"]).job_id == jobs["quarantined"]
        assert agent.submit("job.demo.read", prompt="new").result(timeout_s=30).value["prompt"] == "new"
    audited = holdgate(
        "audit", "verify", str(system.folder / "audit"), "--key", str(system.folder / "keys/auditor.key.pub")
    )
    assert audited.returncode == 0, audited.stdout + audited.stderr
