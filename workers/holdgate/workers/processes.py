"""Child processes for handlers that compute: started when needed, used again, killed when they must stop.

A child is a fresh interpreter, not a fork, so it shares nothing with the worker: neither its connections nor its keys.
It knows jobs, imports the handler by name, and ends when the worker does. Secrets reach it over the socket only.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdgate.kernel.errors import HoldgateError
from holdgate.workers.frames import FrameSocket
from holdgate.workers.handlers import Handler
from holdgate.workers.job import Job
from holdgate.workers.results import RunError
from holdgate.workers.runlog import RunLog
from holdgate.workers.settings import child_environment

RUNS_MAX = 1_000
"""Runs after which a child is replaced, which bounds what a leaking library can pile up."""


class ProcessFailure(HoldgateError):
    """a handler failed in its process, or the process died"""

    def __init__(self, error: RunError, *, code: str, retryable: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.code = code
        self.retryable = retryable


class ProcessPool:
    """Idle children and a way to run a job in one. Safe to use from many threads; one run uses one child."""

    def __init__(self, *, grace_s: float, without: frozenset[str] = frozenset()) -> None:
        self._grace_s = grace_s
        self._without = without
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, handler: Handler, job: Job, log: RunLog) -> bytes:
        """The canonical bytes of what the handler returned; ProcessFailure otherwise. Blocks."""
        child = self._take()
        kill_timer = threading.Timer(self._grace_s, child.kill)
        kill_timer.daemon = True

        def stop() -> None:
            child.terminate()
            kill_timer.start()

        job.cancelled.on_set(stop)
        try:
            value = child.run(handler, job, log)
        except ProcessFailure as failure:
            self._put_back(child, is_reusable=failure.code != "process_died" and not job.cancelled)
            raise
        except BaseException:
            self._put_back(child, is_reusable=False)
            raise
        else:
            self._put_back(child, is_reusable=not job.cancelled)
        return value

    def close(self) -> None:
        """Kill every child."""
        with self._lock:
            self._closed = True
            children, self._all = self._all, set()
            self._idle.clear()
        for child in children:
            child.close()

    def _take(self) -> _Child:
        with self._lock:
            if self._closed:
                raise ProcessFailure(RunError("Stopped", "the worker ends"), code="worker_stopped", retryable=True)
            while self._idle:
                child = self._idle.pop()
                if child.is_alive():
                    return child
                self._all.discard(child)
            child = _Child(self._without)
            self._all.add(child)
            return child

    def _put_back(self, child: _Child, *, is_reusable: bool) -> None:
        with self._lock:
            if is_reusable and not self._closed and child.runs < RUNS_MAX and child.is_alive():
                self._idle.append(child)
                return
            self._all.discard(child)
        child.close()


class _Child:
    def __init__(self, without: frozenset[str]) -> None:
        ours, theirs = socket.socketpair()
        self._frames = FrameSocket(ours)
        self.runs = 0
        # A session of its own keeps the terminal's Ctrl-C from it: the worker drains, and takes the child along.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "holdgate.workers.child", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=child_environment(without),
            start_new_session=True,
        )
        theirs.close()

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def run(self, handler: Handler, job: Job, log: RunLog) -> bytes:
        self.runs += 1
        try:
            self._frames.send({"run": {**_address(handler), **_job_as_dict(job)}})
        except OSError as error:
            raise _died("the process of the handler is gone") from error
        while True:
            message = self._frames.receive()
            match message:
                case {"log": str(line)}:
                    log.add(line)
                case {"progress": float(fraction)}:
                    job.progress(fraction)
                case {"artifact": [str(name), str() | None as media_type, bytes(data)]}:
                    job.artifact(name, data, media_type)
                case {"value": bytes(value)}:
                    return value
                case {
                    "error": {"type": str(kind), "message": str(text), "trace": str(trace)},
                    "code": str(code),
                    "retryable": bool(retryable),
                }:
                    raise ProcessFailure(RunError(kind, text, trace), code=code, retryable=retryable)
                case _:
                    raise _died(f"the process of the handler died with exit code {self._exit_code()}")

    def terminate(self) -> None:
        self._signal(self._process.terminate)

    def kill(self) -> None:
        self._signal(self._process.kill)

    def close(self) -> None:
        self.kill()
        self._process.wait()
        self._frames.close()

    def _exit_code(self) -> int | None:
        try:
            return self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return None

    def _signal(self, send: Callable[[], None]) -> None:
        if self._process.poll() is None:
            send()


def _died(message: str) -> ProcessFailure:
    return ProcessFailure(RunError("ProcessDied", message), code="process_died", retryable=True)


def _address(handler: Handler) -> dict[str, Any]:
    """Where a fresh interpreter finds the function: its module by name, or the script that was started."""
    module = handler.function.__module__
    script: str | None = None
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        if spec is not None:
            module = spec.name
        else:
            script = str(Path(str(main.__file__)).resolve())
    return {
        "path": [str(entry) for entry in sys.path],
        "module": module,
        "script": script,
        "name": handler.function.__qualname__,
        "pattern": handler.pattern,
    }


def _job_as_dict(job: Job) -> dict[str, Any]:
    return {
        "job": {
            "job_id": job.job_id,
            "topic": job.topic,
            "tenant": job.tenant,
            "payload": job.payload,
            "prompt": job.prompt,
            "labels": dict(job.labels),
            "capability": job.capability,
            "actor": job.actor,
            "principals": list(job.principals),
            "attempt": job.attempt,
            "trace_id": job.trace_id,
            "deadline_ms": job.deadline_ms,
        },
        "constraints": job.constraints.as_dict(),
        # Private to handlers, not to this package.
        "secrets": {name: secret.reveal_bytes() for name, secret in job._secrets.items()},
        "artifact_bytes_max": job._artifacts.bytes_max,
    }
