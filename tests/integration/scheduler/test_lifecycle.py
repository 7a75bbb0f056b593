"""How a process lives: ready, stopped, failed, misconfigured; each with its own exit code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from holdgate.kernel.errors import HoldgateError
from holdgate.scheduler import lifecycle
from holdgate.scheduler.errors import Misconfigured, StateUnavailable
from holdgate.scheduler.lifecycle import FAILED, REFUSED, Runtime, nats_connection, retried, serve, split_address
from holdgate.scheduler.settings import Process, known_names
from support.waiting import eventually

NAME = "kernel"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Process:
    for name in known_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOLDGATE_STOP_TIMEOUT_S", "0.3")
    return Process()


@pytest.fixture
def notices(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where a process says that it is ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0holdgate-test-{os.urandom(8).hex()}")
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + listener.getsockname()[1:].decode())
        yield listener


def heard(notices: socket.socket) -> bool:
    try:
        return notices.recv(64) == b"READY=1"
    except BlockingIOError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_says_ready_and_stops_in_order_on_a_signal(
    settings: Process, notices: socket.socket, number: signal.Signals
) -> None:
    """Exit code 0, and what was started is stopped."""
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def build(runtime: Runtime) -> AsyncIterator[None]:
        seen.append("started")
        yield
        seen.append("stopped")

    task = asyncio.create_task(serve(NAME, settings, build))
    assert await eventually(lambda: heard(notices))
    os.kill(os.getpid(), number)
    assert await task == 0
    assert seen == ["started", "stopped"]


async def test_a_process_leaves_before_it_stops_and_a_second_signal_skips_that(
    settings: Process, notices: socket.socket
) -> None:
    """While it leaves it works: whoever sends it requests has to notice first."""
    seen: list[Runtime] = []

    @contextlib.asynccontextmanager
    async def build(runtime: Runtime) -> AsyncIterator[None]:
        seen.append(runtime)
        yield

    task = asyncio.create_task(serve(NAME, settings.model_copy(update={"drain_s": 60}), build))
    assert await eventually(lambda: heard(notices))
    (runtime,) = seen
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        await runtime.leaving.wait()
    assert not runtime.stopping.is_set()
    assert not task.done()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        assert await task == 0


async def test_a_process_stops_by_itself_once_its_time_to_leave_is_over(settings: Process) -> None:
    @contextlib.asynccontextmanager
    async def build(runtime: Runtime) -> AsyncIterator[None]:
        asyncio.get_running_loop().call_soon(runtime.leave)
        yield

    async with asyncio.timeout(10):
        assert await serve(NAME, settings.model_copy(update={"drain_s": 0.05}), build) == 0


async def test_a_background_task_that_fails_ends_the_process_with_a_failure(settings: Process) -> None:
    """Half a process is worse than none; a supervisor starts it again."""

    @contextlib.asynccontextmanager
    async def build(runtime: Runtime) -> AsyncIterator[None]:
        asyncio.get_running_loop().call_soon(runtime.fail, "duty", RuntimeError("broken"))
        yield

    assert await serve(NAME, settings, build) == FAILED


async def test_work_that_does_not_end_is_left_after_the_time_for_stopping(settings: Process) -> None:
    """And the exit code says so."""

    @contextlib.asynccontextmanager
    async def build(runtime: Runtime) -> AsyncIterator[None]:
        runtime.stop()
        yield
        await asyncio.Event().wait()

    started_s = time.monotonic()
    assert await serve(NAME, settings, build) == FAILED
    assert time.monotonic() - started_s < 5


@pytest.mark.parametrize(
    ("error", "code"), [(Misconfigured("no"), REFUSED), (StateUnavailable(), FAILED), (HoldgateError(), FAILED)]
)
async def test_a_start_that_fails_says_whether_trying_again_helps(
    settings: Process, notices: socket.socket, error: HoldgateError, code: int
) -> None:
    """And never says ready."""

    @contextlib.asynccontextmanager
    async def build(runtime: Runtime) -> AsyncIterator[None]:
        raise error
        yield

    assert await serve(NAME, settings, build) == code
    assert not heard(notices)


async def test_a_connection_has_an_inbox_of_its_own_and_reconnects_for_ever(
    settings: Process, nats_url: str, tmp_path: Path
) -> None:
    """The prefix is what its user alone may subscribe to."""
    credentials, _, host = nats_url.removeprefix("nats://").partition("@")
    user, _, password = credentials.partition(":")
    file = tmp_path / "password"
    file.write_text(password)
    file.chmod(0o600)
    own = settings.model_copy(update={"nats_url": f"nats://{host}", "nats_user": user, "nats_password_file": file})
    async with nats_connection(own, Runtime(NAME)) as nc:
        assert nc.new_inbox().startswith(f"_INBOX_{user}.")
        assert nc.options["max_reconnect_attempts"] == -1
    assert nc.is_closed


async def test_a_refused_user_is_a_misconfiguration_after_a_while(
    settings: Process, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not an endless wait in silence."""
    monkeypatch.setattr(lifecycle, "START_TIMEOUT_S", 0.5)
    host = nats_url.rpartition("@")[2]
    own = settings.model_copy(update={"nats_url": f"nats://{host}", "nats_user": "nobody"})
    with pytest.raises(Misconfigured, match="cannot connect to NATS"):
        async with nats_connection(own, Runtime(NAME)):
            pass


async def test_what_is_retried_gives_up_with_its_own_error() -> None:
    """After the time, not before."""
    calls = 0

    async def work() -> str:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise StateUnavailable
        return "done"

    assert await retried(work, StateUnavailable, timeout_s=5) == "done"
    calls = -1000
    with pytest.raises(StateUnavailable):
        await retried(work, StateUnavailable, timeout_s=0.1)


@pytest.mark.parametrize(
    ("address", "parts"), [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:9", ("::1", 9)), ("h:0", ("h", 0))]
)
def test_addresses_are_host_and_port(address: str, parts: tuple[str, int]) -> None:
    """IPv6 in brackets."""
    assert split_address(address) == parts


@pytest.mark.parametrize("name", ["kernel", "api", "dispatcher", "output-gate", "auditor"])
def test_a_process_without_its_settings_names_them_and_does_not_start(name: str) -> None:
    """Exit code 2 and the names of the variables, no traceback."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HOLDGATE_")}
    done = subprocess.run(
        [sys.executable, "-m", "holdgate.scheduler.cli", name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == REFUSED
    assert "HOLDGATE_ROOT_FILE: Field required" in done.stderr
    assert "Traceback" not in done.stderr
