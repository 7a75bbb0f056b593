"""Keeps the children of a `holdgate up` alive: starts, watches, restarts with backoff, stops in order.

What always holds: every child is known by its process id, which is reported after each restart; a stop ends every child
within its time, by force if it must; nothing is started again while a hold asks for it to stay away (a drill).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from holdgate.kernel.canonical import parse_json
from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.errors import ServerUnusable
from holdgate.scheduler.up.children import PACKET_BYTES_MAX, encode, spawn

log = structlog.get_logger("holdgate.up")

FORKER = "holdgate.scheduler.cli.forker"
"""By name: what it forks are commands, which lie above this package."""
BACKOFF_S = 0.2
BACKOFF_S_MAX = 3.0
"""What kept it from starting may be over at any moment, and the system is to be back within five seconds."""
DOUBLINGS_MAX = 16
STEADY_S = 30.0
"""A child that lived this long failed anew, not still."""
READY_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Spec:
    """One child: its kind as in the ready file, and either a program or, without one, arguments of `holdgate`."""

    name: str
    kind: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    program: bool = False


@dataclass(eq=False)
class Child:
    """What became of a spec."""

    spec: Spec
    pid: int | None = None
    started_s: float = 0.0
    failures: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    code: int | None = None


class Supervisor:
    """Call from one event loop, in the main thread. `on_change` hears after every start and end of a child, `on_end`
    of the process ids of those that ended, `on_failure` of what the supervisor cannot go on after."""

    def __init__(
        self,
        *,
        restart: bool,
        on_change: Callable[[], None],
        on_end: Callable[[int], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._restart = restart
        self._on_change = on_change
        self._on_end = on_end
        self._on_failure = on_failure
        self._children: list[Child] = []
        self._held: dict[str, int] = {}
        self._released = asyncio.Event()
        self._stopping = False
        self._tasks = TaskSet(lambda name, error: on_failure(f"{name}: {error}"))
        self._forker = Forker(self._ended, self._tasks)
        self._notices = _notice_socket()
        asyncio.get_running_loop().add_reader(self._notices.fileno(), self._on_notice)

    @property
    def notify_address(self) -> str:
        """Where children say that they are ready."""
        name: bytes = self._notices.getsockname()
        return "@" + name[1:].decode()

    def prepare(self, env: Mapping[str, str], log_file: Path) -> None:
        """Begin to load what the children share."""
        self._forker.start(env, log_file)

    def pids(self) -> dict[str, list[int]]:
        """Process ids by kind, of those that live."""
        found: dict[str, list[int]] = {}
        for child in self._children:
            listed = found.setdefault(child.spec.kind, [])
            if child.pid is not None:
                listed.append(child.pid)
        return found

    async def start(self, spec: Spec) -> Child:
        """Start a child and keep it alive from now on."""
        child = Child(spec)
        self._children.append(child)
        await self._spawn(child)
        return child

    async def wait_ready(self, children: Iterable[Child]) -> None:
        """Until all said that they are ready; ServerUnusable when one ends first or takes too long."""
        for child in children:
            ready = self._tasks.start(child.ready.wait(), "ready")
            gone = self._tasks.start(child.gone.wait(), "gone")
            await asyncio.wait((ready, gone), timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            gone.cancel()
            if not child.ready.is_set():
                raise ServerUnusable(f"{child.spec.name} did not start; see `{child.spec.log}`")

    @contextlib.contextmanager
    def hold(self, kind: str) -> Iterator[None]:
        """While it is entered, children of `kind` that die stay dead; after that they are started."""
        self._held[kind] = self._held.get(kind, 0) + 1
        try:
            yield
        finally:
            self._held[kind] -= 1
            self._released.set()
            self._released = asyncio.Event()

    def end(self, kind: str) -> None:
        """Ask the children of `kind` to end; they are started again as if they had ended by themselves."""
        for child in self._children:
            if child.spec.kind == kind:
                _kill(child, signal.SIGTERM)

    def watch(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` beside the children, until the stop."""
        self._tasks.start(work, name)

    async def stop(self, stages: Sequence[tuple[Sequence[str], float]]) -> None:
        """End the children of each stage's kinds together: ask, wait the stage's seconds, then make them."""
        self._stopping = True
        for kinds, seconds in stages:
            await self._stop_stage([child for child in self._children if child.spec.kind in kinds], seconds)
        await self._stop_stage(self._children, 0.5)
        self._forker.stop()
        await self._tasks.close()
        asyncio.get_running_loop().remove_reader(self._notices.fileno())
        self._notices.close()

    async def _stop_stage(self, children: Sequence[Child], seconds: float) -> None:
        for number, wait_s in ((signal.SIGTERM, seconds), (signal.SIGKILL, 1.0)):
            alive = [child for child in children if child.pid is not None]
            for child in alive:
                _kill(child, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await asyncio.gather(*(child.gone.wait() for child in alive))

    async def _spawn(self, child: Child) -> None:
        child.ready.clear()
        child.gone.clear()
        child.code = None
        if child.spec.program:
            with child.spec.log.open("ab") as output:
                process = spawn(child.spec.argv, output=output)
            child.pid = process.pid
            self._tasks.start(_reap(process, self._ended), f"reap {child.spec.name}")
        else:
            child.pid = await self._forker.fork(child.spec)
        child.started_s = time.monotonic()
        self._on_change()

    def _ended(self, pid: int, code: int) -> None:
        for child in self._children:
            if child.pid == pid:
                child.pid = None
                child.code = code
                child.ready.clear()
                child.gone.set()
                self._on_end(pid)
                self._on_change()
                if not self._stopping:
                    log.warning(f"{child.spec.name} ended", action="child_ended", code=code, pid=pid)
                    if self._restart:
                        self._tasks.start(self._revive(child), f"revive {child.spec.name}")

    async def _revive(self, child: Child) -> None:
        """Start it again, as often as it takes: what keeps it from starting (no memory, a full disk) may pass."""
        if time.monotonic() - child.started_s > STEADY_S:
            child.failures = 0
        while True:
            await asyncio.sleep(min(BACKOFF_S * 2 ** min(child.failures, DOUBLINGS_MAX), BACKOFF_S_MAX))
            child.failures += 1
            while self._held.get(child.spec.kind):
                await self._released.wait()
            if self._stopping:
                return
            try:
                await self._spawn(child)
            except (OSError, ServerUnusable) as error:
                log.warning(
                    f"{child.spec.name} cannot be started", action="child_not_restarted", error=str(error)[:200]
                )
            else:
                log.info(f"{child.spec.name} was started again", action="child_restarted", pid=child.pid)
                return

    def _on_notice(self) -> None:
        """A child says that it is ready; the operating system says which one."""
        message, ancillary, _, _ = self._notices.recvmsg(256, socket.CMSG_SPACE(struct.calcsize("3i")))
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS and message == b"READY=1":
                pid, _, _ = struct.unpack("3i", data)
                for child in self._children:
                    if child.pid == pid:
                        child.ready.set()


class Forker:
    """The other end of FORKER."""

    def __init__(self, on_end: Callable[[int, int], None], tasks: TaskSet) -> None:
        self._on_end = on_end
        self._tasks = tasks
        self._channel: socket.socket | None = None
        self._pid: int | None = None
        self._env: Mapping[str, str] = {}
        self._log = Path(os.devnull)
        self._forked: dict[str, asyncio.Future[int]] = {}
        self._alive: set[int] = set()

    def start(self, env: Mapping[str, str], log_file: Path) -> None:
        """Start it; it takes requests at once and answers when it has loaded what is shared."""
        self._env, self._log = env, log_file
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            with theirs, log_file.open("ab") as output:
                process = spawn((sys.executable, "-m", FORKER), env=env, output=output, stdin=theirs.fileno())
        except OSError:
            ours.close()
            raise
        self._channel, self._pid = ours, process.pid
        asyncio.get_running_loop().add_reader(ours.fileno(), self._on_packet, ours)
        self._tasks.start(_reap(process, self._on_own_end), "reap forker")

    async def fork(self, spec: Spec) -> int:
        """The process id of a new child."""
        if self._channel is None:
            self.start(self._env, self._log)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._forked[spec.name] = future
        request = {"spawn": spec.name, "argv": list(spec.argv), "env": dict(spec.env), "log": str(spec.log)}
        if self._channel is None:
            raise ServerUnusable("the process that starts the others is not there")
        try:
            with contextlib.suppress(ConnectionError):  # it ended: `_on_own_end` says so to whoever waits
                self._channel.sendall(encode(request))
            async with asyncio.timeout(READY_TIMEOUT_S):
                return await future
        finally:
            if self._forked.get(spec.name) is future:
                del self._forked[spec.name]

    def stop(self) -> None:
        """End it: it has no children any more."""
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None

    def _on_packet(self, channel: socket.socket) -> None:
        try:
            packet = channel.recv(PACKET_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            asyncio.get_running_loop().remove_reader(channel.fileno())  # it ends: `_on_own_end` tells of it
            return
        message = parse_json(packet)
        if not isinstance(message, dict):
            return
        if "forked" in message:
            pid = int(str(message["pid"]))
            self._alive.add(pid)
            waiting = self._forked.pop(str(message["forked"]), None)
            if waiting is None or waiting.done():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)  # it came too late: another one was or will be asked for
            else:
                waiting.set_result(pid)
        else:
            pid, code = int(str(message["exited"])), int(str(message["code"]))
            self._alive.discard(pid)
            # A child may end before its start was noticed here: let the start be noticed first.
            asyncio.get_running_loop().call_soon(self._on_end, pid, code)

    def _on_own_end(self, pid: int, code: int) -> None:
        """Its children died with it: each is started again by a new one."""
        if self._channel is None or pid != self._pid:
            return
        log.error("the process that starts the others ended", action="forker_ended", code=code)
        self.stop()
        for waiting in (future for future in self._forked.values() if not future.done()):
            waiting.set_exception(ServerUnusable(_why_ended(code, self._log)))
        self._forked.clear()
        orphans, self._alive = self._alive, set()
        for orphan in orphans:
            self._on_end(orphan, -signal.SIGKILL)


def _why_ended(code: int, log_file: Path) -> str:
    """With the last that it wrote: an error's line, where a stack trace stands in the file."""
    try:
        lines = log_file.read_text(errors="replace").split("\n")
    except OSError:
        lines = []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing was written")
    return f"the process that starts the others ended with code {code}: {last[:300]}; all of it is in `{log_file}`"


async def _reap(process: subprocess.Popen[bytes], on_end: Callable[[int, int], None]) -> None:
    """Wait for a child of this process."""
    ended = asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    on_end(process.pid, process.wait())


def _kill(child: Child, number: int) -> None:
    if child.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)


def _notice_socket() -> socket.socket:
    """A datagram socket in the abstract namespace, so that no path can be too long, that learns who sent."""
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    notices.bind(f"\0holdgate-{os.urandom(8).hex()}")
    notices.setblocking(False)
    return notices
