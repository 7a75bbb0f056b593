"""`holdgate users` against a running system: what it changes holds at once, for nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path

import nats.errors
import pytest
import redis
from typer.testing import CliRunner

from holdgate.kernel import subjects, wire
from holdgate.kernel.login import Login, connect
from holdgate.kernel.nkeys import Nkey
from holdgate.scheduler.cli.keys import app as keys
from holdgate.scheduler.cli.users import app as users
from holdgate.scheduler.up.caller import Caller
from support.waiting import eventually
from support.whole import Whole

pytestmark = pytest.mark.xdist_group("up")
USER = "worker-gpu"


def run(whole: Whole, *arguments: str) -> str:
    """In this process: starting one takes longer than what it does."""
    done = CliRunner().invoke(users, [*arguments, "--dir", str(whole.folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


@pytest.fixture
def gpu(whole: Whole) -> Iterator[Login]:
    """A pool that is taken away again."""
    seed = Path(run(whole, "add-pool", "gpu")).read_text().strip()
    yield Login(USER, nkey=Nkey.parse(seed))
    with contextlib.suppress(AssertionError):
        run(whole, "remove-pool", "gpu")


async def becomes(whole: Whole, login: Login, *, welcome: bool) -> bool:
    """The server reads its users a moment after it is told to."""

    async def is_so() -> bool:
        return await is_let_in(whole, login) is welcome

    return await eventually(is_so)


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
    assert await becomes(whole, gpu, welcome=True)
    worker = await connect(whole.ready["nats"], gpu, allow_reconnect=False)
    ask = {"worker": "w1", "pool": "gpu", "topics": ["job.>"], "capabilities": [], "n": 1, "wait_ms": 0}
    answer = await worker.request(subjects.ask("gpu", "w1"), wire.pack(ask), timeout=10)
    assert "jobs" in wire.unpack(answer.data)
    run(whole, "remove-pool", "gpu")
    assert await eventually(lambda: worker.is_closed)
    assert await becomes(whole, gpu, welcome=False)
    await other.flush()
    assert not lost.is_set()
    await other.close()


async def test_a_key_is_exchanged_without_a_gap(whole: Whole, gpu: Login) -> None:
    """The old one until it is retired, the new one from the start."""
    made_elsewhere = Nkey.generate()
    run(whole, "rotate", USER, "--public-key", made_elsewhere.public)
    new = Login(USER, nkey=made_elsewhere)
    assert await is_let_in(whole, gpu)
    assert await becomes(whole, new, welcome=True)
    assert f"{USER:<20} 2  {made_elsewhere.public}" in run(whole, "list")
    run(whole, "retire", USER)
    assert await becomes(whole, gpu, welcome=False)
    assert await becomes(whole, new, welcome=True)


def test_a_worker_makes_its_own_key(tmp_path: Path) -> None:
    """And shows the public half only."""
    file = tmp_path / "worker.nkey"
    done = CliRunner().invoke(keys, ["nats", str(file)])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Nkey.parse(file.read_text().strip()).public == done.stdout.strip()
    again = CliRunner().invoke(keys, ["nats", str(file)])
    assert again.exit_code != 0
    assert "never overwritten" in again.output


def test_a_whole_system_asks_for_nothing_that_its_users_may_not(whole: Whole) -> None:
    """From its start, and through every gate: neither server has refused any process anything."""
    caller = Caller(whole.api, whole.key("agent"))
    for topic in ("job.demo.read", "job.demo.leak", "job.deploy.apply"):
        caller.submit(topic, prompt="status", labels={"env": "prod"})
    _, job = caller.submit("job.demo.read", prompt="status")
    assert caller.ended(job["job_id"])["state"] == "succeeded"
    caller.close()
    with contextlib.closing(redis.Redis.from_url(whole.ready["redis"])) as operator:
        assert [(entry["username"], entry["object"]) for entry in operator.acl_log()] == []
    for log in (whole.folder / "logs").glob("*.log"):
        assert "ermissions violation" not in log.read_text(), log.name
        assert "no permissions" not in log.read_text(), log.name
