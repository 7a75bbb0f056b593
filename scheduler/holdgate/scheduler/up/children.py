"""Child processes that never outlive their parent, and free ports for them.

What always holds: a child is the leader of a process group of its own, so that a Ctrl-C in the terminal reaches only
the parent, which then stops its children in order; and the operating system kills a child whose parent died.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

PR_SET_PDEATHSIG = 1
PACKET_BYTES_MAX = 128 * 1024
"""Of one message between the supervisor and the process that forks the others: mostly an environment."""
_libc = ctypes.CDLL(None, use_errno=True)


def spawn(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | int | None = None,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start `argv`. Call it from a thread that lives as long as the child should: the main thread.

    `output` takes both standard output and standard error (None: inherited). OSError when it cannot be started.
    """
    return subprocess.Popen(
        [str(part) for part in argv],
        env=None if env is None else dict(env),
        stdin=stdin,
        stdout=output,
        stderr=output,
        preexec_fn=_die_with_parent(os.getpid()),
        process_group=0,
    )


def stop(child: subprocess.Popen[bytes], *, timeout_s: float = 5.0) -> int:
    """Ask `child` to end, make it end after `timeout_s`; returns its exit code. Idempotent."""
    if child.poll() is None:
        child.terminate()
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def encode(message: Mapping[str, Any]) -> bytes:
    """One such message."""
    return json.dumps(message).encode()  # noqa: TID251  between two of our own processes


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port of `host` that nobody listens on now; another process may still take it before the caller does."""
    return free_ports(1, host)[0]


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """So many different ones."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) for _ in range(count)]
        for probe in probes:
            probe.bind((host, 0))
        return [probe.getsockname()[1] for probe in probes]


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether `port` can be listened on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _die_with_parent(parent: int) -> Callable[[], None]:
    """What the child does between fork and exec: only what is safe there."""

    def ask() -> None:
        if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            os._exit(126)
        if os.getppid() != parent:  # it died before the call took effect
            os._exit(126)

    return ask
