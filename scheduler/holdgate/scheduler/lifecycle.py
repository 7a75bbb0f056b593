"""How a process of Holdgate lives: start, say ready, work, stop in time; and its connections.

What always holds: a background task that fails ends the process with a non-zero code, because half a process is worse
than none; SIGTERM and SIGINT let work under way end, but not for longer than the settings say.

A signal first makes the process leave: it says so in `/readyz` and works on for `drain_s`, so that whoever sends it
requests goes elsewhere in time. Then its services stop. A second signal skips the first part.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TypeVar

import nats.errors
import structlog
import uvloop
from nats.aio.client import Client as Nats

from holdgate.kernel import login as login_
from holdgate.kernel import tracing
from holdgate.kernel.errors import HoldgateError, InvalidInput
from holdgate.kernel.probes import Probes
from holdgate.kernel.readiness import Readiness
from holdgate.kernel.tls import Plaintext, verify_private
from holdgate.scheduler import settings as settings_
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.settings import Process

T = TypeVar("T")
log = structlog.get_logger("holdgate.lifecycle")

NATS_PENDING_BYTES_MAX = 64 * 1024 * 1024
"""What a client holds while the server is away: one burst of large messages."""
NATS_CONNECT_TIMEOUT_S = 2.0
START_TIMEOUT_S = 30.0
"""Servers may start at the same time as the processes that need them."""
RETRY_S = 0.05
FAILED = 1
"""Exit code after a failure of our own; the supervisor starts the process again."""
REFUSED = 2
"""Exit code when the configuration is wrong; starting again would not help."""


@dataclass
class Runtime:
    """One run of a process. Services hand their failures to `fail`, and what tells of them to `readiness`.

    `leaving`: it was asked to end, and still works; `stopping`: its services end.
    """

    name: str
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    failed: bool = False
    readiness: Readiness = field(init=False)

    def __post_init__(self) -> None:
        self.readiness = Readiness(self.name)

    def fail(self, task: str, error: BaseException) -> None:
        """A background task ended in `error`: log it and stop the process."""
        log.error("a background task failed", action="task_failed", task=task, exc_info=error)
        self.failed = True
        self.stop()

    def stop(self) -> None:
        """Stop in an orderly way, at once."""
        self.leaving.set()
        self.stopping.set()

    def leave(self) -> None:
        """Begin to leave; stop, where that began before."""
        if self.leaving.is_set():
            self.stopping.set()
        self.leaving.set()


Build = Callable[[Runtime], AbstractAsyncContextManager[None]]
"""Entering starts a process's services, leaving stops them."""


def run(name: str, settings: Process, build: Build) -> int:
    """Run a process until a signal or a failure; its exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(name, settings, build))


async def serve(name: str, settings: Process, build: Build) -> int:
    """The life of one process in the running event loop; its exit code."""
    runtime = Runtime(name)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runtime.leave)
    try:
        with tracing.exporting(settings.collector(), name):
            async with _probes(settings, runtime):
                return await _live(build(runtime), settings, runtime)
    except (Misconfigured, InvalidInput) as error:
        log.error(str(error), action="start_refused", code=error.code)  # noqa: TRY400  a sentence for the operator
        return REFUSED
    except HoldgateError as error:
        log.error(str(error), action="start_failed", code=error.code)  # noqa: TRY400
        return FAILED


async def _live(process: AbstractAsyncContextManager[None], settings: Process, runtime: Runtime) -> int:
    await process.__aenter__()
    if runtime.stopping.is_set():
        return await _stop(process, settings.stop_timeout_s, failed=runtime.failed)
    await runtime.readiness.start()
    log.info(f"{runtime.name} is ready", action="ready")
    notify_ready()
    await runtime.leaving.wait()
    runtime.readiness.stopping()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(settings.drain_s):
            await runtime.stopping.wait()
    runtime.stop()
    log.info(f"{runtime.name} is stopping", action="stopping")
    return await _stop(process, settings.stop_timeout_s, failed=runtime.failed)


@contextlib.asynccontextmanager
async def _probes(settings: Process, runtime: Runtime) -> AsyncIterator[None]:
    """Probes and metrics from before the start, which may have to wait for servers, until after the end."""
    probes = Probes(runtime.readiness)
    try:
        if settings.metrics_listen is not None:
            await probes.start(*split_address(settings.metrics_listen))
    except OSError as error:
        raise Misconfigured(f"cannot listen on `{settings.metrics_listen}`: {error.strerror}") from error
    try:
        yield
    finally:
        await runtime.readiness.stop()
        await probes.stop()


async def _stop(process: AbstractAsyncContextManager[None], timeout_s: float, *, failed: bool) -> int:
    try:
        async with asyncio.timeout(timeout_s):
            await process.__aexit__(None, None, None)
    except TimeoutError:
        log.error("work under way did not end in time", action="stop_timeout", timeout_s=timeout_s)  # noqa: TRY400
        return FAILED
    return FAILED if failed else 0


def notify_ready() -> None:
    """Tell whoever started this process that it is ready, in the way of systemd's `sd_notify`."""
    address = settings_.notify_socket()
    if address is None:
        return
    path = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notice:
        notice.connect(path)  # nobody listening any more: then nobody needs to know
        notice.sendall(b"READY=1")


@contextlib.asynccontextmanager
async def nats_connection(settings: Process, runtime: Runtime) -> AsyncIterator[Nats]:
    """A connection that reconnects for ever, drained at the end. Misconfigured when the user is refused."""
    nc = await connect_nats(settings, runtime)
    try:
        yield nc
    finally:
        if nc.is_connected:
            await nc.drain()
        else:
            await nc.close()


async def connect_nats(settings: Process, runtime: Runtime) -> Nats:
    """Connect as this process's user, whose inbox nobody else may read."""
    verify_private_links(settings.nats_url.split(","), settings.plaintext)
    login = settings.nats_login()

    async def on_error(error: Exception) -> None:
        log.warning("nats reported an error", action="nats_error", error=type(error).__name__, detail=str(error)[:200])

    async def on_disconnected() -> None:
        if not runtime.stopping.is_set():
            log.warning("the connection to nats is lost; trying again", action="nats_disconnected")

    async def on_reconnected() -> None:
        log.info("connected to nats again", action="nats_reconnected")

    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            return await login_.connect(
                settings.nats_url,
                login,
                name=f"holdgate-{runtime.name}",
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.25,
                connect_timeout=NATS_CONNECT_TIMEOUT_S,
                ping_interval=10,
                max_outstanding_pings=2,
                pending_size=NATS_PENDING_BYTES_MAX,
                drain_timeout=max(1, int(settings.stop_timeout_s / 2)),
                error_cb=on_error,
                disconnected_cb=on_disconnected,
                reconnected_cb=on_reconnected,
            )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise Misconfigured(f"cannot connect to NATS at {settings.nats_url}: {type(error).__name__}") from error


def verify_private_links(urls: Sequence[str], plaintext: Plaintext) -> None:
    """Say in the log where a connection can be read on its way; InvalidInput where that is not allowed."""
    for host in verify_private(urls, plaintext):
        log.warning(
            "a connection without TLS leaves this machine: whoever is on its way reads and changes it",
            action="plaintext",
            host=host,
        )


async def retried(work: Callable[[], Awaitable[T]], error: type[Exception], *, timeout_s: float) -> T:
    """What `work` gives, tried again on `error` until `timeout_s` are over; then that error."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return await work()
        except error:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(RETRY_S)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
