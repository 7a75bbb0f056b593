"""`holdgate worker`: run handlers."""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from holdgate.kernel.errors import HoldgateError
from holdgate.workers.worker import Worker

app = typer.Typer(name="worker", help="Run job handlers.", no_args_is_help=True)


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
    _log_as_json()
    try:
        worker = load(target)
        worker.run(
            worker.settings(
                pool=pool,
                worker_concurrency=concurrency,
                worker_name=name,
                kernel_keys_file=kernel_keys_file,
                accept_fail_open=accept_fail_open,
            )
        )
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


def _log_as_json() -> None:
    """One JSON object a line on standard error, unless the command that called this set its own logging up."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
