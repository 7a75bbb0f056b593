"""`holdgate up`: the whole system on this machine, until it is told to stop.

Order: directory and keys, servers, streams and bundle, processes, a look whether everything answers, the ready file.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.errors import Misconfigured, ServerUnusable
from holdgate.scheduler.settings import child_environment
from holdgate.scheduler.up import plan
from holdgate.scheduler.up.children import free_ports, is_free
from holdgate.scheduler.up.control import control_server
from holdgate.scheduler.up.home import Home
from holdgate.scheduler.up.lock import locked
from holdgate.scheduler.up.nursing import nurse_nats
from holdgate.scheduler.up.plan import HOST, Ports
from holdgate.scheduler.up.ready import Ready, summary
from holdgate.scheduler.up.scrape import forget, metrics_server
from holdgate.scheduler.up.supervise import Spec, Supervisor

if TYPE_CHECKING:
    from holdgate.scheduler.up.provision import Provisioned

log = structlog.get_logger("holdgate.up")

API_PORT = 8081
METRICS_PORT = 9090
ANSWER_TIMEOUT_S = 20.0
SETTLE_S = 3.0
"""In which processes that started together have heard of each other."""
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. Ports: None takes the usual one when it is free, 0 any free one."""

    directory: Path
    port: int | None = None
    metrics_port: int | None = None
    ready_file: Path | None = None
    restart: bool = True
    workers: int = 1
    worker: str = plan.DEMO_WORKER
    quiet: bool = False
    otlp_endpoint: str | None = None


@dataclass
class System:
    """A running system, for whoever started it in this process."""

    ready: Ready
    supervisor: Supervisor
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    failure: str | None = None


async def run_up(options: Options) -> int:
    """Run until SIGINT or SIGTERM; the exit code."""
    loop = asyncio.get_running_loop()
    started_s = time.monotonic()
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    try:
        async with running(options, stopping) as system:
            if not options.quiet and not stopping.is_set():
                print(summary(system.ready, options.directory, time.monotonic() - started_s), flush=True)
            await stopping.wait()
            if not options.quiet:
                print("stopping", flush=True)
            failure = system.failure
    except Interrupted:
        return 0
    if failure is not None:
        print(f"holdgate up: {failure}", file=sys.stderr)
        return 1
    return 0


class Interrupted(Exception):
    """Told to stop before everything was up."""


@contextlib.asynccontextmanager
async def running(options: Options, stopping: asyncio.Event) -> AsyncIterator[System]:
    """The system, ready; stopped at the end of the block. Misconfigured when it cannot be brought up."""
    home = Home(options.directory.absolute())
    home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(home):
        _fresh_run_folder(home)
        ready = Ready(options.ready_file, home.state_file)
        system: System | None = None

        def failed(why: str) -> None:
            log.error(why, action="up_failed")
            if system is not None:
                system.failure = why
            stopping.set()

        supervisor = Supervisor(
            restart=options.restart,
            on_change=lambda: ready.update_pids(supervisor.pids()),
            on_end=lambda pid: forget(home.metrics_dir, pid),
            on_failure=failed,
        )
        try:
            bring_up = asyncio.ensure_future(_bring_up(options, home, supervisor, ready))  # noqa: TID251  awaited below
            if await _first(bring_up, stopping):
                raise Interrupted
            async with control_server(supervisor) as control, metrics_server(home.metrics_dir, ready.metrics_port):
                ready.write(control, supervisor.pids())
                system = System(ready, supervisor, stopping)
                yield system
        finally:
            ready.remove()
            await supervisor.stop(plan.STOP_STAGES)


async def _first(work: asyncio.Future[None], stopping: asyncio.Event) -> bool:
    """Wait for `work`; whether a stop came first, in which case it is cancelled."""
    stop = asyncio.ensure_future(stopping.wait())  # noqa: TID251  ended below
    await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if work.done():
        work.result()
        return False
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    return True


async def _bring_up(options: Options, home: Home, supervisor: Supervisor, ready: Ready) -> None:
    tracing = {} if options.otlp_endpoint is None else {"otlp_endpoint": options.otlp_endpoint}

    def environment(settings: dict[str, str]) -> dict[str, str]:
        return child_environment(
            {**tracing, **settings}, metrics_dir=home.metrics_dir, notify=supervisor.notify_address
        )

    supervisor.prepare(environment({}), home.log_file("forker"))
    from holdgate.scheduler.up.provision import provision  # while the forker loads the same libraries

    provisioned = provision(home.path, SystemClock())
    ports = _ports(options)
    await _start_servers(provisioned, ports, supervisor)
    await _prepare_streams(provisioned, ports)
    supervisor.watch(nurse_nats(supervisor, f"http://{HOST}:{ports.nats_monitor}", home.path / "nats"), "nurse")
    specs = plan.process_specs(
        home,
        provisioned.root_pins,
        ports,
        options.workers,
        environment,
        worker=options.worker,
        webhooks=home.webhooks_file.exists(),
    )
    children = [await supervisor.start(spec) for spec in specs]
    await supervisor.wait_ready(children)
    await _until(lambda: answers(ports.api), "the API is not ready")
    with contextlib.suppress(ServerUnusable):  # without a policy, say, it is up all the same
        await _until(lambda: answers(ports.api, b'"status":"ready"'), "not everything is well", SETTLE_S)
    ready.fill(provisioned, ports)
    ready.notes = _notes(options, ports)


async def _start_servers(provisioned: Provisioned, ports: Ports, supervisor: Supervisor) -> None:
    from holdgate.scheduler.up.servers import LOAD_TIMEOUT_S, nats_server, redis_server

    home = provisioned.home
    nats = nats_server(provisioned.nats_config(ports.nats, ports.nats_monitor), home.nats_config_file)
    redis = redis_server(provisioned.redis_config(ports.redis), home.redis_config_file)
    for server, kind in ((nats, "nats"), (redis, "redis")):
        await supervisor.start(Spec(server.name, kind, server.argv, home.log_file(kind), program=True))
    for server, kind in ((nats, "nats"), (redis, "redis")):
        why = f"{server.name} did not start; see `{home.log_file(kind)}`"
        try:
            await _until(server.answers, why)
        except ServerUnusable:
            if not server.is_there():
                raise
            await _until(server.answers, why, LOAD_TIMEOUT_S)


async def _prepare_streams(provisioned: Provisioned, ports: Ports) -> None:
    """Streams, consumers, buckets, and the starter bundle where it is newer than what is published."""
    from holdgate.scheduler.up.setup import prepare

    await prepare(f"nats://{HOST}:{ports.nats}", provisioned)


def _ports(options: Options) -> Ports:
    names = plan.process_names(options.workers)
    free = free_ports(5 + len(names))
    return Ports(
        api=_port(options.port, API_PORT, free[0], "--port"),
        metrics=_port(options.metrics_port, METRICS_PORT, free[1], "--metrics-port"),
        nats=free[2],
        nats_monitor=free[3],
        redis=free[4],
        probes=dict(zip(names, free[5:], strict=True)),
    )


def _notes(options: Options, ports: Ports) -> list[str]:
    """What a reader of the documentation would look for in vain."""
    found = []
    if options.port is None and ports.api != API_PORT:
        found.append(f"port {API_PORT} is taken; the API took {ports.api}")
    if options.metrics_port is None and ports.metrics != METRICS_PORT:
        found.append(f"port {METRICS_PORT} is taken; the metrics took {ports.metrics}")
    return found


def _port(asked: int | None, usual: int, free: int, option: str) -> int:
    if asked is None:
        return usual if is_free(usual) else free
    if asked == 0:
        return free
    if not is_free(asked):
        raise Misconfigured(f"port {asked} is taken; `{option} 0` takes any free one")
    return asked


async def _until(holds: Any, why: str, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        answer = holds()
        if await answer if asyncio.iscoroutine(answer) else answer:
            return
        if time.monotonic() > deadline:
            raise ServerUnusable(why)
        await asyncio.sleep(POLL_S)


async def answers(port: int, holds: bytes = b"") -> bool:
    """Whether `/readyz` says 200 and, in its body, `holds`."""
    try:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            status, rest = await reader.readline(), await reader.read()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in status and holds in rest


def _fresh_run_folder(home: Home) -> None:
    """Metrics of the last run are files that would be counted again."""
    for folder in home.folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in home.metrics_dir.iterdir():
        file.unlink()
    home.state_file.unlink(missing_ok=True)
