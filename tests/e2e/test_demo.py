"""`holdgate demo` and `holdgate drill`: their exit codes can be relied on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from support.whole import Whole

HOLDGATE = (sys.executable, "-m", "holdgate.scheduler.cli")


def test_the_demo_sees_what_it_expects_and_leaves_nothing(tmp_path: Path) -> None:
    """Every outcome, each as expected; exit code 0; no process of it is left."""
    done = subprocess.run([*HOLDGATE, "demo"], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "DIFF" not in done.stdout
    assert "make up" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_drill_confirms_the_fail_mode_and_the_recovery(whole: Whole) -> None:
    """Against a running `holdgate up`; the kernel is another process afterwards, and well."""
    before = json.loads((whole.folder.parent / "ready.json").read_text())["pids"]["kernel"]
    done = subprocess.run(
        [*HOLDGATE, "drill", "--dir", str(whole.folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert json.loads((whole.folder.parent / "ready.json").read_text())["pids"]["kernel"] != before


def test_a_drill_without_a_system_says_so(tmp_path: Path) -> None:
    """Exit code 1 and a sentence, not a traceback."""
    done = subprocess.run(
        [*HOLDGATE, "drill", "--dir", str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "no `holdgate up` runs" in done.stderr


def test_a_drill_by_url_without_power_over_the_kernel_is_not_a_pass(whole: Whole, tmp_path: Path) -> None:
    """What could not be tried is reported as skipped, and the exit code says that it was not confirmed."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(whole.ready["keys"]))
    done = subprocess.run(
        [*HOLDGATE, "drill", "--url", whole.api, "--metrics", whole.ready["metrics"], "--keys", str(keys)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "0 not, 5 skipped" in done.stdout


def test_a_drill_notices_a_system_without_a_worker(whole: Whole) -> None:
    """The guard is real: with the worker stopped the drill ends with exit code 1."""
    for pid in json.loads((whole.folder.parent / "ready.json").read_text())["pids"]["worker"]:
        os.kill(pid, signal.SIGSTOP)
    try:
        done = subprocess.run(
            [*HOLDGATE, "drill", "--url", whole.api, "--metrics", whole.ready["metrics"], "--keys",
             str(whole.folder / "keys.json"), "--wait-s", "1"],
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
    finally:
        for pid in json.loads((whole.folder.parent / "ready.json").read_text())["pids"]["worker"]:
            os.kill(pid, signal.SIGCONT)
    assert done.returncode == 1
    assert "DIFF allow" in done.stdout
