"""The whole system as a child process: `holdgate up` in a folder of its own, on free ports."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.waiting import eventually_sync

START_TIMEOUT_S = 40.0
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Whole:
    """A running system: what its ready file says, and its folder."""

    ready: dict[str, Any]
    folder: Path

    @property
    def api(self) -> str:
        """Base URL of the API."""
        return str(self.ready["api"])

    def key(self, who: str) -> str:
        """API key of `agent`, `approver`, `operator`, …"""
        return str(self.ready["keys"][who])

    def stop_process(self, kind: str) -> None:
        """Freeze every process of `kind`, as a hung machine would."""
        for pid in self.ready["pids"][kind]:
            os.kill(pid, signal.SIGSTOP)

    def resume_process(self, kind: str) -> None:
        """Let it go on."""
        for pid in self.ready["pids"][kind]:
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def running_whole(folder: Path, *options: str) -> Iterator[Whole]:
    """`holdgate up`, with further `options`, until the end of the block."""
    ready_file, log = folder / "ready.json", folder / "up.log"
    arguments = ["--dir", str(folder / "data"), "--port", "0", "--metrics-port", "0", "--ready-file", str(ready_file)]
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "holdgate.scheduler.cli", "up", *arguments, *options], stdout=output, stderr=output
        )
    try:
        eventually_sync(lambda: ready_file.exists() or child.poll() is not None, START_TIMEOUT_S)
        assert ready_file.exists(), log.read_text()
        yield Whole(json.loads(ready_file.read_text()), folder / "data")
    finally:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise
