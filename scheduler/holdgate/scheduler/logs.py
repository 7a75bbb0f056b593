"""Logs: one JSON object a line on standard error, or text on a terminal.

Every record has `event` (a sentence), `action` (a stable word that machines can count) and, where there is one, a
`job_id` and a `trace_id`. What always holds: a value under a name that holds payloads, prompts, results or secrets is
replaced before it is written, so that a careless call site cannot leak one.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog

REDACTED = "[redacted]"
NEVER_LOGGED = frozenset(
    {
        "payload",
        "prompt",
        "result",
        "value",
        "output",
        "body",
        "secret",
        "password",
        "token",
        "seed",
        "api_key",
        "authorization",
        "x_api_key",
    }
)
"""Names of values that are never written, at any depth."""
_DEPTH_MAX = 6
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # locals hold payloads
)


def configure(process: str, *, level: str = "info", form: Literal["auto", "json", "console"] = "auto") -> None:
    """Set up logging of this process: ours, and the standard library's through the same pipe."""
    people = sys.stderr.isatty() if form == "auto" else form == "console"
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _named(process),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    renderer = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if people
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([] if people else [_TRACEBACKS]),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Of these only warnings matter to an operator; below that they describe their own inner life.
    for chatty in ("nats", "uvicorn", "httpx", "httpcore", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace every value that must never be written."""
    for name, value in event.items():
        if name == "exc_info":
            continue
        event[name] = REDACTED if name.lower() in NEVER_LOGGED else _inner(value, _DEPTH_MAX)
    return event


def _inner(value: Any, depth: int) -> Any:
    if depth == 0:
        return REDACTED
    if isinstance(value, Mapping):
        return {
            name: REDACTED if str(name).lower() in NEVER_LOGGED else _inner(item, depth - 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_inner(item, depth - 1) for item in value]
    return value


def _named(process: str) -> Any:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("process", process)
        return event

    return add
