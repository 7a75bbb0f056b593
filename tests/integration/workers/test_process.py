"""A worker as a process: how it ends, and what it refuses to start with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.handover import KERNEL, Handover, make_job
from support.waiting import eventually

COMMAND = [sys.executable, "-m", "holdgate.scheduler.cli", "worker", "run"]
STOP_TIMEOUT_S = 4


@pytest.fixture
def environment(nats_url: str, tmp_path: Path) -> dict[str, str]:
    user, _, rest = nats_url.removeprefix("nats://").partition(":")
    password, _, address = rest.partition("@")
    keys, secret = tmp_path / "keys.json", tmp_path / "password"
    keys.write_text(json.dumps({"kernel_keys": [KERNEL.public_key.hex()]}))
    secret.write_text(password)
    secret.chmod(0o600)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLDGATE_")}
    return {
        **inherited,
        "HOLDGATE_NATS_URL": f"nats://{address}",
        "HOLDGATE_NATS_USER": user,
        "HOLDGATE_NATS_PASSWORD_FILE": str(secret),
        "HOLDGATE_KERNEL_KEYS_FILE": str(keys),
        "HOLDGATE_STOP_TIMEOUT_S": str(STOP_TIMEOUT_S),
    }


@pytest.fixture
async def handover(nats_url: str) -> AsyncIterator[Handover]:
    started = await Handover.start(nats_url)
    yield started
    await started.stop()


@pytest.fixture
async def child(handover: Handover, environment: dict[str, str]) -> AsyncIterator[subprocess.Popen[bytes]]:
    process = start(environment)
    await handover.known_worker()
    yield process
    process.kill()
    process.wait()


def start(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, "processes:worker"], cwd=Path(__file__).parent, env=environment)


async def run_until_started(handover: Handover, topic: str, folder: Path) -> None:
    handover.give(make_job(topic, payload=str(folder / "started")))
    await eventually((folder / "started").exists)


async def ends(process: subprocess.Popen[bytes], within_s: float) -> int:
    return await asyncio.to_thread(process.wait, within_s)


async def test_on_sigterm_running_jobs_end_are_reported_and_nothing_more_is_asked_for(
    handover: Handover, child: subprocess.Popen[bytes]
) -> None:
    handover.give(make_job("job.test.finish"))
    await eventually(lambda: len(handover.asks) >= 2)
    child.send_signal(signal.SIGTERM)
    result = await handover.result()
    assert (result["outcome"], result["value"]) == ("succeeded", b'"finished"')
    assert await ends(child, STOP_TIMEOUT_S + 2) == 0
    asked = len(handover.asks)
    handover.give(make_job("job.test.finish"))
    assert len(handover.asks) == asked


@pytest.mark.parametrize("topic", ["job.test.never", "job.test.deaf", "job.test.compute"])
async def test_a_job_that_does_not_end_in_time_is_given_back_and_the_worker_ends_all_the_same(
    handover: Handover, child: subprocess.Popen[bytes], tmp_path: Path, topic: str
) -> None:
    await run_until_started(handover, topic, tmp_path)
    began = time.monotonic()
    child.send_signal(signal.SIGTERM)
    result = await handover.result()
    assert (result["outcome"], result["code"], result["retryable"]) == ("failed", "worker_stopped", True)
    assert await ends(child, STOP_TIMEOUT_S + 4) == 0
    assert time.monotonic() - began < STOP_TIMEOUT_S + 4


async def test_a_second_signal_stops_what_runs_and_gives_it_back_at_once(
    handover: Handover, environment: dict[str, str], tmp_path: Path
) -> None:
    """Whoever asks twice does not want to wait, and the job is not to wait for the end of its lease either."""
    process = start({**environment, "HOLDGATE_STOP_TIMEOUT_S": "120"})
    try:
        await handover.known_worker()
        await run_until_started(handover, "job.test.never", tmp_path)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)  # the same signal twice may be seen as one
        result = await handover.result()
        assert (result["outcome"], result["code"], result["retryable"]) == ("failed", "worker_stopped", True)
        assert await ends(process, 15) == 0
        assert time.monotonic() - began < 20
    finally:
        process.kill()
        process.wait()


async def test_a_killed_worker_takes_its_processes_with_it(
    handover: Handover, child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    await run_until_started(handover, "job.test.compute", tmp_path)
    (grandchild,) = _children_of(child.pid)
    child.kill()
    await eventually(lambda: not Path(f"/proc/{grandchild}/exe").exists() or _is_zombie(grandchild))


def _children_of(pid: int) -> list[int]:
    return [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


BAD_STARTS: list[tuple[str, dict[str, str], str]] = [
    ("no_such_module:worker", {}, "no_such_module"),
    ("processes:nobody", {}, "not a `Worker`"),
    ("processes", {}, "module:worker"),
    ("processes:worker", {"HOLDGATE_KERNEL_KEYS_FILE": ""}, "kernel keys"),
    ("processes:worker", {"HOLDGATE_POOL": "no.such pool"}, "pool"),
    ("processes:worker", {"HOLDGATE_WORKER_MAX_RUNTIME_S": "long"}, "worker_max_runtime_s"),
]


@pytest.mark.parametrize(("target", "changes", "says"), BAD_STARTS, ids=[f"{t} {s}" for t, _, s in BAD_STARTS])
async def test_a_worker_that_cannot_start_says_why_and_ends(
    environment: dict[str, str], target: str, changes: dict[str, str], says: str
) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, target],
        cwd=Path(__file__).parent,
        env={**environment, **changes},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
