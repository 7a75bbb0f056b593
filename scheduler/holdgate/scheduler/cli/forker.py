"""A process that has imported everything once and forks the processes of Holdgate off itself.

Seven interpreters that import the same libraries would take seconds to start and hold the same pages seven times. What
always holds: this process reads no key, no password and no network, so that what is forked off it knows only what its
own settings name; it has one thread; when it dies, so do its children, and it dies with the supervisor.

Talks to the supervisor over the socket that is its standard input: one JSON object a packet.

    → {"spawn": "<id>", "argv": ["kernel"], "env": {…}, "log": "/path"}
    ← {"forked": "<id>", "pid": 12}        ← {"exited": 12, "code": 0}   (negative: killed by that signal)
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from holdgate.scheduler.up import lean
from holdgate.scheduler.up.children import PACKET_BYTES_MAX, PR_SET_PDEATHSIG, encode

PR_SET_NAME = 15
M_ARENA_MAX = -8
"""How many heaps: another for each thread only keeps what the threads of a process took at different times."""
PRELOADED = (
    "holdgate.bundles.activate",
    "holdgate.kernel.service",
    "holdgate.scheduler.audit.service",
    "holdgate.scheduler.cli.apiparts",
    "holdgate.scheduler.cli.http",
    "holdgate.scheduler.cli.processes",
    "holdgate.scheduler.api.app",
    "holdgate.scheduler.dispatch.service",
    "holdgate.scheduler.gates.output.service",
    "holdgate.scheduler.state.durability",
    "holdgate.workers.cli",
    "holdgate.workers.demo",
    "httpcore",
    "anyio._backends._asyncio",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.lifespan.off",
)
"""What is imported: all that two processes or more need, or one of them at its start."""
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Serve the supervisor until it closes the socket."""
    channel = socket.socket(fileno=os.dup(0))
    _libc.mallopt(M_ARENA_MAX, 1)
    lean.import_structlog()
    for name in PRELOADED:
        importlib.import_module(name)
    _read_rules()
    _forget_own_metrics()
    gc.collect()
    gc.freeze()  # the collector would otherwise write to, and so copy, every shared page
    if threading.active_count() != 1:
        raise SystemExit("a library started a thread while it was imported; forking is not safe")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    own = (channel.fileno(), wake_read, wake_write)
    while True:
        ready, _, _ = select.select([channel.fileno(), wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
            _report_ended(channel)
        if channel.fileno() in ready:
            packet = channel.recv(PACKET_BYTES_MAX)
            if not packet:
                return
            request = json.loads(packet)
            pid = _fork(request, own)
            _send(channel, {"forked": request["spawn"], "pid": pid})


def _fork(request: Mapping[str, Any], own: tuple[int, ...]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _become(request, own, parent)
        code = _run(request["argv"])
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become(request: Mapping[str, Any], own: tuple[int, ...], parent: int) -> None:
    """The fresh child takes its own group, environment, standard streams and name."""
    os.setpgid(0, 0)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    for descriptor in own:
        os.close(descriptor)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.clear()  # noqa: TID251  it becomes the child's own
    os.environ.update(request["env"])  # noqa: TID251
    _libc.prctl(PR_SET_NAME, f"hg-{request['argv'][0]}".encode()[:15], 0, 0, 0)
    sys.argv = ["holdgate", *request["argv"]]


def _run(argv: list[str]) -> int:
    from holdgate.scheduler.cli import main as command

    command(argv)
    return 0


def _read_rules() -> None:
    """The detectors that come with Holdgate, and their automata: the api and the gate look with the same."""
    from holdgate.scan import Scanner

    Scanner().present("any text")


def _forget_own_metrics() -> None:
    """Importing made files of zeros under this process's id, which would count as a process that is alive."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")  # noqa: TID251  the library's own variable
    if folder:
        for file in Path(folder).glob(f"*_{os.getpid()}.db"):
            file.unlink()


def _report_ended(channel: socket.socket) -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _send(channel, {"exited": pid, "code": os.waitstatus_to_exitcode(status)})


def _send(channel: socket.socket, message: Mapping[str, Any]) -> None:
    channel.sendall(encode(message))


if __name__ == "__main__":
    main()
