"""A whole system for the length of a measurement: `holdgate up` in a temporary directory, on free ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

READY_WITHIN_S = 60
STOP_WITHIN_S = 15


@dataclass(frozen=True)
class System:
    """What `holdgate up` said of itself in its ready file, how long that took, its process id and its directory."""

    ready: dict[str, Any]
    ready_s: float
    pid: int
    folder: Path

    def rss_mb(self) -> dict[str, float]:
        """Proportional set size by kind of process, in MB (10^6 bytes), and their sum: shared pages count once."""
        names = {pid: kind for kind, pids in self.ready["pids"].items() for pid in pids}
        shares: dict[str, float] = {}
        for process in [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]:
            kind = names.get(process.pid, "up")
            shares[kind] = shares.get(kind, 0.0) + process.memory_full_info().pss / 1e6
        return {**{kind: round(mb, 1) for kind, mb in shares.items()}, "total": round(sum(shares.values()), 1)}

    def cpu_s(self) -> dict[str, float]:
        """Processor seconds used so far, by kind of process."""
        used: dict[str, float] = {}
        for kind, pids in self.ready["pids"].items():
            for pid in pids:
                times = psutil.Process(pid).cpu_times()
                used[kind] = used.get(kind, 0.0) + times.user + times.system
        return used

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry `labels`."""
        with urllib.request.urlopen(self.ready["metrics"], timeout=5) as reply:  # noqa: S310  our own loopback address
            lines = reply.read().decode().splitlines()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.split("{")[0].split(" ")[0] == name and all(part in line for part in wanted)
        )


@contextmanager
def running(*options: str) -> Iterator[System]:
    """A system that is ready; stopped, with all its processes, at the end."""
    with tempfile.TemporaryDirectory(prefix="holdgate-bench-") as folder:
        ready_file = Path(folder) / "ready.json"
        command = [
            *(sys.executable, "-m", "holdgate.scheduler.cli", "up", "--dir", f"{folder}/data", "--port", "0"),
            *("--metrics-port", "0", "--ready-file", str(ready_file), *options),
        ]
        started = time.perf_counter()
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            try:
                while not ready_file.exists():
                    if process.poll() is not None or time.perf_counter() - started > READY_WITHIN_S:
                        sys.exit(f"the system did not start:\n{(Path(folder) / 'log').read_text()[-3000:]}")
                    time.sleep(0.01)
                ready_s = time.perf_counter() - started
                yield System(json.loads(ready_file.read_text()), ready_s, process.pid, Path(folder) / "data")
            finally:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(STOP_WITHIN_S)
                except subprocess.TimeoutExpired:
                    process.kill()


@contextmanager
def beside(system: System, name: str, command: Sequence[str], settings: Mapping[str, str]) -> Iterator[None]:
    """One more process of `holdgate`, with the connection of `system` and `settings`, logging to `name`.log there."""
    given = {"NATS_URL": system.ready["nats"], **settings}
    environment = {**os.environ, **{f"HOLDGATE_{setting}": value for setting, value in given.items()}}
    with (system.folder / f"{name}.log").open("wb") as log:
        whole = [sys.executable, "-m", "holdgate.scheduler.cli", *command]
        process = subprocess.Popen(whole, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(15)
