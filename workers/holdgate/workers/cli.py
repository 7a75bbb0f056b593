"""`holdgate worker`: run handlers."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from holdgate.kernel.errors import HoldgateError
from holdgate.workers.settings import WorkerSettings
from holdgate.workers.worker import Worker

app = typer.Typer(name="worker", help="Run job handlers.", no_args_is_help=True, add_completion=False)


@app.callback()
def _group() -> None:
    """Run job handlers."""


@app.command("run")
def run(
    target: Annotated[str, typer.Argument(help="`module:worker`, looked up from the current directory too")],
    pool: Annotated[str | None, typer.Option(help="Pool to take jobs of")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Jobs that run at once")] = None,
    name: Annotated[str | None, typer.Option(help="Begin of the worker's id")] = None,
    kernel_keys_file: Annotated[Path | None, typer.Option(help="File of the pinned public keys")] = None,
    accept_fail_open: Annotated[
        bool | None, typer.Option("--accept-fail-open", help="Run jobs handed over without a decision of the kernel")
    ] = None,
) -> None:
    """Run the worker that TARGET names until SIGTERM, then drain."""
    try:
        worker = load(target)
        settings = worker.settings(
            pool=pool,
            worker_concurrency=concurrency,
            worker_name=name,
            kernel_keys_file=kernel_keys_file,
            accept_fail_open=accept_fail_open,
        )
        _set_up_logs(settings)
        worker.run(settings)
    except (HoldgateError, ValueError) as error:
        typer.echo(f"holdgate worker run: {error}", err=True)
        raise typer.Exit(2) from error


def load(target: str) -> Worker:
    """The worker that `module:attribute` names; ValueError with what to do when there is none."""
    module_name, separator, attribute = target.partition(":")
    if not separator or not module_name or not attribute:
        msg = f"`{target}` is not of the form `module:worker`"
        raise ValueError(msg)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        msg = f"module `{error.name}` is not found; run from the directory that holds it"
        raise ValueError(msg) from error
    worker = getattr(module, attribute, None)
    if not isinstance(worker, Worker):
        msg = f"`{attribute}` of `{module_name}` is not a `Worker`"
        raise ValueError(msg)
    return worker


def _set_up_logs(settings: WorkerSettings) -> None:
    """Ours and the standard library's on standard error: one JSON object a line, or text for people."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    for_people = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_exception,
    ]
    renderer: Any = structlog.dev.ConsoleRenderer() if for_people else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # Handlers' records below this level are still part of their output, so the root lets them through.
    handler.setLevel(level)
    logging.basicConfig(level=min(level, logging.INFO), handlers=[handler], force=True)
    logging.getLogger("nats").setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _name_exception(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Of an exception only its type: its text may hold what a job was about."""
    error = event.pop("exc_info", None)
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
    return event
