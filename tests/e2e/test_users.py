"""`holdgate users` against a running system: what it changes holds at once, for nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nats.errors
import pytest

from holdgate.kernel import subjects, wire
from holdgate.kernel.login import Login, connect
from holdgate.kernel.nkeys import Nkey
from support.waiting import eventually
from support.whole import Whole

pytestmark = pytest.mark.xdist_group("up")
USER = "worker-gpu"


def run(whole: Whole, *arguments: str) -> str:
    command = [sys.executable, "-m", "holdgate.scheduler.cli", "users", *arguments, "--dir", str(whole.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def gpu(whole: Whole) -> Iterator[Login]:
    """A pool that is taken away again."""
    seed = Path(run(whole, "add-pool", "gpu")).read_text().strip()
    yield Login(USER, nkey=Nkey.parse(seed))
    with contextlib.suppress(AssertionError):
        run(whole, "remove-pool", "gpu")


async def is_let_in(whole: Whole, login: Login) -> bool:
    try:
        async with asyncio.timeout(5):
            nc = await connect(whole.ready["nats"], login, allow_reconnect=False, max_reconnect_attempts=0)
    except (nats.errors.Error, TimeoutError):
        return False
    await nc.close()
    return True


async def test_a_pool_is_added_and_its_workers_are_answered_and_taken_away_again(whole: Whole, gpu: Login) -> None:
    """While the others go on."""
    default = Login(
        "worker-default", nkey=Nkey.parse((whole.folder / "secrets/worker-default.nkey").read_text().strip())
    )
    lost = asyncio.Event()

    async def on_lost() -> None:
        lost.set()

    other = await connect(whole.ready["nats"], default, disconnected_cb=on_lost)
    worker = await connect(whole.ready["nats"], gpu, allow_reconnect=False)
    ask = {"worker": "w1", "pool": "gpu", "topics": ["job.>"], "capabilities": [], "n": 1, "wait_ms": 0}
    answer = await worker.request(subjects.ask("gpu", "w1"), wire.pack(ask), timeout=10)
    assert "jobs" in wire.unpack(answer.data)
    run(whole, "remove-pool", "gpu")
    assert await eventually(lambda: worker.is_closed)
    assert not await is_let_in(whole, gpu)
    await other.flush()
    assert not lost.is_set()
    await other.close()


async def test_a_key_is_exchanged_without_a_gap(whole: Whole, gpu: Login) -> None:
    """The old one until it is retired, the new one from the start."""
    made_elsewhere = Nkey.generate()
    run(whole, "rotate", USER, "--public-key", made_elsewhere.public)
    new = Login(USER, nkey=made_elsewhere)
    assert await is_let_in(whole, gpu)
    assert await is_let_in(whole, new)
    assert f"{USER:<20} 2  {made_elsewhere.public}" in run(whole, "list")
    run(whole, "retire", USER)
    assert not await is_let_in(whole, gpu)
    assert await is_let_in(whole, new)


def test_a_worker_makes_its_own_key(tmp_path: Path) -> None:
    """And shows the public half only."""
    command = [sys.executable, "-m", "holdgate.scheduler.cli", "keys", "nats", str(tmp_path / "worker.nkey")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    file = tmp_path / "worker.nkey"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Nkey.parse(file.read_text().strip()).public == done.stdout.strip()
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode != 0
    assert "never overwritten" in again.stderr
