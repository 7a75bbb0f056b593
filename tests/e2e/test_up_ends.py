"""How a `holdgate up` ends: in time, with nothing left behind, and what it keeps for the next start."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from holdgate.kernel.clock import SystemClock, rfc3339
from holdgate.scheduler.up.caller import Caller
from support.waiting import eventually_sync

START_S = 40.0
STOP_S = 10.0


@dataclass
class Up:
    """A child `holdgate up`."""

    process: subprocess.Popen[bytes]
    ready: dict[str, Any]
    ready_file: Path

    def family(self) -> list[psutil.Process]:
        """It and all below it."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


@contextlib.contextmanager
def up(folder: Path, *options: str) -> Iterator[Up]:
    """Start one; killed at the end of the block if it still runs."""
    ready_file = folder / "ready.json"
    argv = [sys.executable, "-m", "holdgate.scheduler.cli", "up", "--dir", str(folder / "data"), "--port", "0"]
    argv += ["--metrics-port", "0", "--ready-file", str(ready_file), *options]
    with (folder / "up.log").open("ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        eventually_sync(lambda: ready_file.exists() or process.poll() is not None, START_S)
        assert ready_file.exists(), (folder / "up.log").read_text()
        yield Up(process, json.loads(ready_file.read_text()), ready_file)
    finally:
        process.kill()
        process.wait()


def gone(family: list[psutil.Process]) -> bool:
    """Whether none of them runs any more."""
    return not [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_within_ten_seconds(tmp_path: Path, number: signal.Signals) -> None:
    """Exit code 0, no process left, no ready file left."""
    with up(tmp_path, "--workers", "2") as system:
        family = system.family()
        assert len(family) >= 10
        assert len(system.ready["pids"]["worker"]) == 2
        started_s = time.monotonic()
        system.process.send_signal(number)
        assert system.process.wait(STOP_S) == 0
        assert time.monotonic() - started_s < STOP_S
        assert gone(family)
        assert not system.ready_file.exists()


def test_a_supervisor_that_is_killed_takes_everything_with_it(tmp_path: Path) -> None:
    """It had no chance to stop anything; the operating system does it."""
    with up(tmp_path) as system:
        family = system.family()
        system.process.kill()
        assert eventually_sync(lambda: gone(family[1:]), STOP_S, why="children outlived the supervisor")


def test_without_restart_a_dead_kernel_stays_dead_and_nothing_is_let_in(tmp_path: Path) -> None:
    """503, and nothing stored."""
    with up(tmp_path, "--no-restart") as system:
        (kernel,) = system.ready["pids"]["kernel"]
        os.kill(kernel, signal.SIGKILL)
        eventually_sync(lambda: json.loads(system.ready_file.read_text())["pids"]["kernel"] == [])
        caller = Caller(system.ready["api"], system.ready["keys"]["agent"])
        status, problem = caller.submit("job.demo.read")
        assert (status, problem["code"]) == (503, "kernel_unavailable")
        assert caller.get("/jobs")[1]["items"] == []
        caller.close()
        assert json.loads(system.ready_file.read_text())["pids"]["kernel"] == []


def test_a_second_start_finds_the_same_keys_and_the_same_jobs(tmp_path: Path) -> None:
    """What was acknowledged is there after a stop and after a kill of everything at once."""
    with up(tmp_path) as system:
        caller = Caller(system.ready["api"], system.ready["keys"]["agent"])
        _, job = caller.submit("job.demo.read")
        assert caller.ended(job["job_id"])["state"] == "succeeded"
        _, late = caller.submit(
            "job.demo.slow", payload={"seconds": 0.2}, run_at=rfc3339(SystemClock().now_ms() + 3_600_000)
        )
        keys = system.ready["keys"]
        for member in reversed(system.family()):
            member.kill()
        caller.close()
    system.ready_file.unlink(missing_ok=True)
    with up(tmp_path) as again:
        assert again.ready["keys"] == keys
        caller = Caller(again.ready["api"], keys["agent"])
        assert caller.job(job["job_id"])["state"] == "succeeded"
        assert caller.job(late["job_id"])["state"] == "scheduled"
        assert httpx.get(f"{again.ready['api']}/readyz").json()["status"] == "ready"
        caller.close()
