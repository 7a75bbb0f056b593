"""Handlers that run in processes of their own: a fresh interpreter must be able to import them."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from holdgate.workers import Job, PermanentFailure
from holdgate.workers.errors import Stopped


class Number(BaseModel):
    n: int


def double(job: Job, payload: Number) -> dict[str, Any]:
    return {
        "twice": payload.n * 2,
        "pid": os.getpid(),
        "holdgate_variables": [name for name in os.environ if name.startswith("HOLDGATE_")],
    }


def burn(job: Job) -> None:
    """Computes, and swallows being told to stop."""
    while True:
        with contextlib.suppress(Stopped):
            while True:
                sum(range(10_000))


def wait_for_flag(job: Job) -> None:
    folder = Path(job.payload)
    (folder / "started").touch()
    try:
        signal.pause()
    finally:
        assert job.cancelled
        (folder / "cleaned-up").touch()


def crash(job: Job) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def say_hello(job: Job) -> None:
    job.log("hello")
    job.progress(0.5)
    logging.getLogger("hello").info("from logging")
    raise PermanentFailure("goodbye")


def tell(job: Job) -> dict[str, Any]:
    """Tells its secret in every way that it has."""
    value = job.secret("db").reveal()
    job.log(f"it is {value}")
    job.artifact("told.txt", f"it is {value}")
    return {"value": value, "length": len(value), "inherited": "DB_PASSWORD" in os.environ}
