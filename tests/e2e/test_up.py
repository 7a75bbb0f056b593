"""`holdgate up`: what it promises to scripts, and what it does when its children die."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from holdgate.scheduler.up.caller import Caller
from holdgate.scheduler.up.control import holding
from support.waiting import eventually_sync
from support.whole import Whole

KINDS = ("kernel", "api", "dispatcher", "output-gate", "auditor", "worker", "nats", "redis")
KEYS = ("agent", "agent2", "approver", "approver2", "author", "operator", "auditor", "admin")
BACK_S = 30.0


def now(whole: Whole) -> dict[str, Any]:
    """The ready file as it is now."""
    document: dict[str, Any] = json.loads((whole.folder.parent / "ready.json").read_text())
    return document


@pytest.fixture
def agent(whole: Whole) -> Iterator[Caller]:
    caller = Caller(whole.api, whole.key("agent"))
    yield caller
    caller.close()


def test_the_ready_file_says_where_everything_is(whole: Whole) -> None:
    """Exactly the promised keys, one process of each kind, all alive."""
    ready = now(whole)
    assert set(ready) == {
        "api",
        "metrics",
        "console",
        "nats",
        "nats_user",
        "nats_nkey_file",
        "redis",
        "tenant",
        "keys",
        "pids",
    }
    assert set(ready["keys"]) == set(KEYS)
    assert set(ready["pids"]) == set(KINDS)
    for kind, pids in ready["pids"].items():
        assert len(pids) == 1, kind
        assert psutil.pid_exists(pids[0])
    assert len({pid for pids in ready["pids"].values() for pid in pids}) == len(KINDS)


def test_everything_answers_when_the_ready_file_is_there(whole: Whole) -> None:
    """API, console, metrics."""
    assert httpx.get(f"{whole.api}/healthz").status_code == 200
    assert httpx.get(f"{whole.api}/readyz").json()["status"] == "ready"
    console = httpx.get(whole.ready["console"], follow_redirects=True)
    assert (console.status_code, "Sign in" in console.text) == (200, True)
    assert "holdgate_input_fail_open_total 0.0" in httpx.get(whole.ready["metrics"]).text


def test_only_the_owner_can_read_the_folder_its_keys_and_the_ready_file(whole: Whole) -> None:
    """0700 for folders, 0600 for everything that holds a secret."""
    folder = whole.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    secret = [*(folder / "keys").glob("*.key"), *(folder / "secrets").iterdir(), *folder.glob("*.json")]
    secret += [folder / "run" / "nats.conf", folder / "run" / "redis.conf", folder.parent / "ready.json"]
    assert len(secret) > 20
    for file in secret:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_no_secret_is_in_a_command_line_or_an_environment(whole: Whole) -> None:
    """Any process of the same user could read both; a crash report may carry them away."""
    passwords = {file.read_text().strip() for file in (whole.folder / "secrets").iterdir() if file.name != "known"}
    secrets = passwords | set(whole.ready["keys"].values())
    for pids in now(whole)["pids"].values():
        for pid in pids:
            shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
            assert not [secret for secret in secrets if secret.encode() in shown]


@pytest.mark.parametrize("kind", KINDS)
def test_a_child_that_dies_is_started_again_and_jobs_run_again(whole: Whole, agent: Caller, kind: str) -> None:
    """Killed without warning; the ready file names the new process."""
    (before,) = now(whole)["pids"][kind]
    os.kill(before, signal.SIGKILL)
    eventually_sync(lambda: now(whole)["pids"][kind] not in ([], [before]), BACK_S, why=f"{kind} did not come back")

    def runs() -> bool:
        try:
            status, job = agent.submit("job.demo.read", prompt="again")
            return status == 202 and agent.ended(job["job_id"], BACK_S)["state"] == "succeeded"
        except (httpx.HTTPError, KeyError):
            return False

    assert eventually_sync(runs, BACK_S, why="no job runs")
    eventually_sync(lambda: is_ready(whole), BACK_S, why="not ready")


def is_ready(whole: Whole) -> bool:
    """Whether every part is well."""
    try:
        return bool(httpx.get(f"{whole.api}/readyz").json()["status"] == "ready")
    except (httpx.HTTPError, KeyError):
        return False


def test_the_process_that_forks_the_others_may_die_too(whole: Whole, agent: Caller) -> None:
    """Its children die with it; all are started again."""
    before = now(whole)["pids"]
    supervisor = psutil.Process(json.loads((whole.folder / "run" / "up.json").read_text())["supervisor"])
    (forker,) = [child for child in supervisor.children() if "holdgate.scheduler.cli.forker" in child.cmdline()]
    forker.kill()

    def all_new() -> bool:
        pids = now(whole)["pids"]
        return all(pids[kind] and pids[kind] != before[kind] for kind in ("kernel", "api", "dispatcher", "worker"))

    eventually_sync(all_new, BACK_S)
    eventually_sync(lambda: is_ready(whole), BACK_S)
    status, job = agent.submit("job.demo.read")
    assert status == 202
    assert agent.ended(job["job_id"], BACK_S)["state"] == "succeeded"


def test_a_held_process_stays_away_for_as_long_as_the_hold(whole: Whole) -> None:
    """So a drill can look at a system without a kernel, and one that dies leaves nothing switched off."""
    control = json.loads((whole.folder / "run" / "up.json").read_text())["control"]
    with holding(control, "kernel") as pids:
        os.kill(pids[0], signal.SIGKILL)
        eventually_sync(lambda: now(whole)["pids"]["kernel"] == [])
        status = httpx.get(f"{whole.api}/api/v1/status", headers={"X-API-Key": whole.key("operator")}, timeout=10)
        assert status.status_code == 200
        assert now(whole)["pids"]["kernel"] == []
    eventually_sync(lambda: now(whole)["pids"]["kernel"] != [], BACK_S)
    eventually_sync(lambda: is_ready(whole), BACK_S)


def test_a_second_system_in_the_same_folder_is_refused(whole: Whole) -> None:
    """Two supervisors over one data folder would corrupt it."""
    done = subprocess.run(
        [sys.executable, "-m", "holdgate.scheduler.cli", "up", "--dir", str(whole.folder), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "another `holdgate up` runs" in done.stderr
