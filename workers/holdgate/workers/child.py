"""The main program of a child process: `python -m holdgate.workers.child FD`.

Waits for jobs on the socket, runs one at a time in the main thread, and ends when the socket closes, even in the middle
of a handler: a run without its worker counts for nobody. SIGTERM stops the handler with an exception.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

from holdgate.kernel.records import Constraints
from holdgate.workers.artifacts import ArtifactBox, RunArtifact
from holdgate.workers.cancellation import Cancellation, StopReason
from holdgate.workers.errors import PermanentFailure, Stopped
from holdgate.workers.frames import FrameSocket
from holdgate.workers.handlers import Executor, Handler, describe
from holdgate.workers.job import Job
from holdgate.workers.results import code_of, describe_error, encode_value
from holdgate.workers.runlog import RunLog, collecting_all, install, install_hooks
from holdgate.workers.secrets import Secret

_SCRIPT_MODULE = "__holdgate_main__"


class _ForwardedLog(RunLog):
    """Sends lines on as they come, so that they are kept when the process is killed."""

    def __init__(self, send: Callable[[str], None]) -> None:
        super().__init__()
        self._send = send

    def add(self, line: str) -> None:
        self._send(line.encode("utf-8", "replace").decode("utf-8"))


class Child:
    """Serves runs over one socket."""

    def __init__(self, frames: FrameSocket) -> None:
        self._frames = frames
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._stop = Cancellation()
        self._is_running = False

    def serve(self) -> None:
        """Run what is asked for until the worker is gone."""
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        install()
        install_hooks()
        threading.Thread(target=self._receive, name="holdgate-child-receive", daemon=True).start()
        while True:
            request = self._requests.get()
            try:
                self._is_running = True
                reply = self._run(request)
            finally:
                self._is_running = False
            self._frames.send(reply)

    def _receive(self) -> None:
        while (message := self._frames.receive()) is not None:
            self._requests.put(message["run"])
        os._exit(0)

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        log = _ForwardedLog(lambda line: self._frames.send({"log": line}))
        try:
            handler = self._handler(request)
            job = Job(
                **{**request["job"], "principals": tuple(request["job"]["principals"])},
                constraints=Constraints.from_dict(request["constraints"]),
                cancelled=self._stop,
                _on_progress=lambda fraction: self._frames.send({"progress": fraction}),
                _on_log=log.add,
                _secrets={name: Secret(name, value) for name, value in request["secrets"].items()},
                _artifacts=ArtifactBox(request["artifact_bytes_max"], self._send_artifact),
            )
            with collecting_all(log):
                return {"value": encode_value(handler.function(*handler.arguments(job)))}
        except BaseException as error:  # noqa: BLE001  whatever a handler raises, `sys.exit` too, is a failed run
            return {
                "error": describe_error(error).as_dict(),
                "code": code_of(error),
                "retryable": not isinstance(error, PermanentFailure),
            }

    def _send_artifact(self, artifact: RunArtifact) -> None:
        self._frames.send({"artifact": [artifact.name, artifact.media_type, artifact.data]})

    def _handler(self, request: dict[str, Any]) -> Handler:
        key = (request["module"], request["name"])
        if key not in self._handlers:
            sys.path[:] = request["path"]
            found: Any = _load(request["module"], request["script"])
            for part in request["name"].split("."):
                found = getattr(found, part)
            self._handlers[key] = describe(request["pattern"], found, executor=Executor.PROCESS)
        return self._handlers[key]

    def _on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop.set(StopReason.CANCELLED)
        if not self._is_running:
            os._exit(0)
        raise Stopped


def _load(module: str, script: str | None) -> ModuleType:
    if script is None:
        return importlib.import_module(module)
    if _SCRIPT_MODULE in sys.modules:
        return sys.modules[_SCRIPT_MODULE]
    spec = importlib.util.spec_from_file_location(_SCRIPT_MODULE, script)
    if spec is None or spec.loader is None:
        msg = f"`{script}` cannot be imported"
        raise ImportError(msg)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[_SCRIPT_MODULE] = loaded
    spec.loader.exec_module(loaded)
    return loaded


if __name__ == "__main__":
    Child(FrameSocket(socket.socket(fileno=int(sys.argv[1])))).serve()
