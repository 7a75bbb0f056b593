"""The public face of the SDK: register handlers, run the worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

import uvloop

from holdgate.kernel import limits, tracing
from holdgate.kernel.clock import Clock, SystemClock
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.probes import Probes
from holdgate.kernel.readiness import Readiness
from holdgate.scan.forms import SECRET_BYTES_MIN
from holdgate.workers import runlog
from holdgate.workers.beats import Heart, Introduction
from holdgate.workers.connection import connect
from holdgate.workers.door import Door
from holdgate.workers.errors import BadHandler
from holdgate.workers.execute import STOP_GRACE_S, Executors
from holdgate.workers.handlers import Executor, Handlers, describe
from holdgate.workers.leases import Leases
from holdgate.workers.permits import PermitCheck
from holdgate.workers.secrets import SecretSources
from holdgate.workers.session import GRACE_SHARE, Session, SessionLimits
from holdgate.workers.settings import WorkerSettings, load_keys, new_worker_id, notify_socket
from holdgate.workers.votes import SignedVotes

Function = TypeVar("Function", bound=Callable[..., Any])


class Worker:
    """Handlers and the runtime that feeds them.

        worker = Worker(pool="default")

        @worker.job("job.demo.read", capabilities=["demo.read"])
        async def read(job: Job) -> dict: ...

    What is given here goes before the environment (`WorkerSettings`). One worker serves one pool.
    """

    def __init__(self, pool: str | None = None, *, concurrency: int | None = None, name: str | None = None) -> None:
        self._handlers = Handlers()
        self._session: Session | None = None
        self._overrides = {"pool": pool, "worker_concurrency": concurrency, "worker_name": name}

    def job(
        self,
        topic: str,
        *,
        capabilities: Iterable[str] = (),
        executor: Executor | str = Executor.AUTO,
        max_runtime_s: float | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function for `topic`, a NATS-style pattern; the function itself is left as it is.

        `capabilities` are what this handler can do; a job that `requires` others goes to other workers. `executor` is
        `auto` (coroutines on the loop, plain functions in threads), `async`, `thread`, or `process` for what computes.
        `max_runtime_s` is the author's own limit; a permit can only tighten it. BadHandler when the function's
        signature is neither `(job)` nor `(job, payload: SomeType)`.
        """

        def register(function: Function) -> Function:
            self._handlers.add(
                describe(
                    topic,
                    function,
                    executor=executor,
                    capabilities=tuple(capabilities),
                    max_runtime_s=max_runtime_s,
                )
            )
            return function

        return register

    @property
    def handlers(self) -> Handlers:
        """What is registered."""
        return self._handlers

    def settings(self, **given: Any) -> WorkerSettings:
        """The settings of this worker: `given` before the constructor's arguments before the environment."""
        chosen: dict[str, Any] = {name: value for name, value in self._overrides.items() if value is not None}
        chosen |= {name: value for name, value in given.items() if value is not None}
        return WorkerSettings(**chosen)

    def run(self, settings: WorkerSettings | None = None) -> None:
        """Work until SIGTERM or SIGINT, then drain; a second one stops what still runs. Blocks."""
        uvloop.run(self._run_until_signalled(settings or self.settings()))

    async def serve(self, settings: WorkerSettings | None = None, *, stop: asyncio.Event | None = None) -> int:
        """Work until `stop` is set, then drain. Returns how many handlers did not stop and still run."""
        chosen = settings or self.settings()
        if not len(self._handlers):
            raise BadHandler("the worker has no handlers")
        runlog.install()
        door = Door(_own_secrets(chosen), os.urandom)
        runlog.guard(door.line)
        readiness = Readiness("worker")
        async with _probes(chosen, readiness):
            session, close = await _assemble(self._handlers, chosen, door)
            self._session = session
            readiness.add(*session.checks)
            try:
                await session.start()
                await readiness.start()
                _notify_ready()
                await (stop or asyncio.Event()).wait()
            finally:
                readiness.stopping()
                await session.drain()
                await close()
        return session.busy

    async def _run_until_signalled(self, settings: WorkerSettings) -> None:
        runlog.install_hooks()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, stop)
        with tracing.exporting(settings.collector(), "worker"):
            stuck = await self.serve(settings, stop=stop)
        if stuck:
            # A handler that takes no notice would keep the interpreter alive for ever; its result is reported already.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)

    def _on_signal(self, stop: asyncio.Event) -> None:
        if stop.is_set() and self._session is not None:
            self._session.hurry()
        stop.set()


@contextlib.asynccontextmanager
async def _probes(settings: WorkerSettings, readiness: Readiness) -> AsyncIterator[None]:
    """Metrics and probes for the block, where they are wanted; InvalidInput when the address is taken."""
    probes = Probes(readiness)
    if settings.metrics_listen is not None:
        host, _, port = settings.metrics_listen.rpartition(":")
        try:
            await probes.start(host.strip("[]"), int(port))
        except OSError as error:
            raise InvalidInput(f"cannot listen on `{settings.metrics_listen}`: {error.strerror}") from error
    try:
        yield
    finally:
        await readiness.stop()
        await probes.stop()


async def _assemble(handlers: Handlers, settings: WorkerSettings, door: Door) -> tuple[Session, Callable[[], Any]]:
    """The parts of one worker, wired; and how to close the connection that they share."""
    secrets = _secret_sources(settings)
    clock = SystemClock()
    me = Introduction(
        worker=new_worker_id(settings.worker_name),
        pool=settings.pool,
        topics=tuple(handlers.patterns),
        capabilities=tuple(handlers.capabilities),
        capacity=settings.worker_concurrency,
    )
    check = _permit_check(settings, me, clock)
    leases = Leases(clock)
    heart = Heart(
        settings=settings,
        introduction=me,
        leases=leases,
        busy=lambda: len(leases),
        interval_s=limits.HEARTBEAT_S,
    )
    nc = await connect(settings, name=me.worker)
    session = Session(
        nc=nc,
        heart=heart,
        leases=leases,
        handlers=handlers,
        check=check,
        executors=Executors(
            clock=clock,
            threads_max=settings.worker_concurrency,
            grace_s=min(STOP_GRACE_S, settings.stop_timeout_s * GRACE_SHARE),
            secrets=secrets,
            door=door,
        ),
        session_limits=SessionLimits(
            max_runtime_s=settings.worker_max_runtime_s,
            stop_s=settings.stop_timeout_s,
        ),
        clock=clock,
    )
    return session, nc.close


def _permit_check(settings: WorkerSettings, me: Introduction, clock: Clock) -> PermitCheck:
    """With the keys that this worker pins."""
    keys = load_keys(settings.kernel_keys_file)
    return PermitCheck(
        kernel_keys=keys.kernel,
        dispatcher_keys=keys.dispatcher,
        worker=me.worker,
        pool=me.pool,
        clock=clock,
        accept_fail_open=settings.accept_fail_open,
        signed_votes=SignedVotes(settings.worker_signed_votes, keys.approvers),
    )


def _secret_sources(settings: WorkerSettings) -> SecretSources:
    """Most workers hand out none: what reads the file is loaded only where there is one."""
    if settings.worker_secrets_file is None:
        return SecretSources()
    from holdgate.workers.secretsfile import load_secret_sources

    return load_secret_sources(settings.worker_secrets_file)


def _own_secrets(settings: WorkerSettings) -> tuple[bytes, ...]:
    """What this process knows besides, and no output may hold; a password that is too short cannot be looked for."""
    collector = settings.collector()
    read = (settings.nats_password(), settings.nats_seed())
    own = [secret.get_secret_value().encode() for secret in read if secret is not None]
    own += [] if collector is None else collector.secrets()
    return tuple(secret for secret in own if len(secret) >= SECRET_BYTES_MIN)


def _notify_ready() -> None:
    """Tell whoever started this process that it is ready, in the way of systemd's `sd_notify`."""
    address = notify_socket()
    if address is None:
        return
    path = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notice:
        notice.connect(path)  # nobody listening any more: then nobody needs to know
        notice.sendall(b"READY=1")
