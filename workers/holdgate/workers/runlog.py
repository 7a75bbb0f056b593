"""The log of one run: `job.log()` and the records that the handler makes with `logging`, in the order they were made.

Logs are output. They go to the output gate with the result; `OutsideRuns` keeps them off the worker's own log, which
nobody scans.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINES_MAX = 1_000
LINE_CHARS_MAX = 4_000
CHARS_MAX = 256_000
_log = logging.getLogger("holdgate.worker")
_current: contextvars.ContextVar[RunLog | None] = contextvars.ContextVar("holdgate_run_log", default=None)


class RunLog:
    """Lines of one run; bounded, and says how many lines did not fit. Safe to use from any thread."""

    def __init__(self, chars_max: int = CHARS_MAX) -> None:
        self._lines: list[str] = []
        self._chars_left = chars_max
        self._dropped = 0
        self._lock = threading.Lock()

    def add(self, line: str) -> None:
        """Append `line`, cut to length; counted as dropped when the log is full."""
        # A lone surrogate could not be encoded on the way; what it stood for is lost anyway.
        text = line[:LINE_CHARS_MAX].encode("utf-8", "replace").decode("utf-8")
        with self._lock:
            if len(self._lines) >= LINES_MAX or len(text) > self._chars_left:
                self._dropped += 1
                return
            self._lines.append(text)
            self._chars_left -= len(text)

    def lines(self) -> tuple[str, ...]:
        """What was logged so far."""
        with self._lock:
            note = (f"… {self._dropped} more lines did not fit",) if self._dropped else ()
            return (*self._lines, *note)


@contextmanager
def collecting(log: RunLog) -> Iterator[None]:
    """Send the `logging` records of this context (tasks and threads started with it too) to `log`."""
    token = _current.set(log)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def collecting_all(log: RunLog) -> Iterator[None]:
    """The same for all of the process, which does one run at a time."""
    with collecting(log):
        _collector.rest = log
        try:
            yield
        finally:
            _collector.rest = None


class _Collector(logging.Handler):
    rest: RunLog | None = None
    """Where records go that were made outside of all runs."""

    def emit(self, record: logging.LogRecord) -> None:
        log = _current.get() or self.rest
        if log is not None:
            try:
                log.add(self.format(record))
            except Exception:  # noqa: BLE001  a record that cannot be formatted must not fail the run
                log.add(f"{record.levelname} {record.name}: a log record that could not be formatted")


class OutsideRuns(logging.Filter):
    """Lets only records pass that no handler made."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` was made outside of a run."""
        del record
        return _current.get() is None


_collector = _Collector()
_collector.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))


class _Guarded(logging.Formatter):
    """Formats as `inner` does; what comes of it passes `guard`."""

    def __init__(self, inner: logging.Formatter, guard: Callable[[str], str]) -> None:
        super().__init__()
        self.inner = inner
        self._guard = guard

    def format(self, record: logging.LogRecord) -> str:
        return self._guard(self.inner.format(record))


def guard(line: Callable[[str], str]) -> None:
    """From now on what this process logs, outside of runs, is what `line` makes of it. The last call counts."""
    for handler in logging.getLogger().handlers:
        if handler is not _collector:
            formatter = handler.formatter or logging.Formatter()
            inner = formatter.inner if isinstance(formatter, _Guarded) else formatter
            handler.setFormatter(_Guarded(inner, line))


def install() -> None:
    """Collect records from now on, and keep them off the handlers of the root logger. Idempotent."""
    root = logging.getLogger()
    if _collector not in root.handlers:
        root.addHandler(_collector)
    for handler in root.handlers:
        if handler is not _collector and not any(isinstance(item, OutsideRuns) for item in handler.filters):
            handler.addFilter(OutsideRuns())
    if root.level > logging.INFO:
        root.setLevel(logging.INFO)


def install_hooks() -> None:
    """What Python would write to standard error by itself (threads that fail, warnings) is logged instead."""
    threading.excepthook = _on_thread_failure
    sys.unraisablehook = _on_unraisable
    logging.captureWarnings(capture=True)


def _on_thread_failure(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is not SystemExit and failed.exc_value is not None:
        _log.error("a thread failed", exc_info=failed.exc_value)


def _on_unraisable(failed: sys.UnraisableHookArgs) -> None:
    # What it was raised in may print as anything, so it is left out.
    _log.error("an exception could not be raised", exc_info=failed.exc_value)
