"""The workers of a torture: a handler for each way a run can go, which writes down every run before and after it.

    holdgate worker run holdgate.scheduler.torture.handlers:worker

Topics are `job.torture.<anything>`; the payload says how the run goes: `{"run": "slow", "seconds": 2}`.
What always holds: a run's first line is on disk before the run does anything, so a run that nobody wrote down did not
happen. The secrets that some runs return open nothing: they are planted (`planted`), or made when they run.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.torture.planted import Planted
from holdgate.workers import Job, Worker

JOURNALS = "TORTURE_JOURNALS"
"""The variable that names the folder of the journals."""
LARGE_BYTES = 400_000
STEP_S = 0.05
worker = Worker()


class Run(StrEnum):
    """How a run goes."""

    OK = "ok"
    SLOW = "slow"
    """Takes `seconds`, stops when it is told to."""
    FLAKY = "flaky"
    """Fails in its first `failures` attempts."""
    FAIL = "fail"
    """Fails, with the planted token in its error."""
    LEAK = "leak"
    """Returns and logs the planted token: redacted."""
    KEY = "key"
    """Returns a private key: quarantined, and may be released."""
    PLANTED_KEY = "planted-key"
    """Returns the planted private key: quarantined for good."""
    LARGE = "large"
    """Returns more than travels inline."""


class Payload(BaseModel):
    """What a torture submits. `filler` makes it large, `marker` comes back in the result."""

    model_config = ConfigDict(extra="ignore")

    run: Run = Run.OK
    seconds: Annotated[float, Field(ge=0, le=60)] = 1.0
    failures: Annotated[int, Field(ge=0, le=10)] = 1
    marker: str = ""
    filler: str = ""


class Journal:
    """What this process ran: a JSON line for each start and end, on disk when `write` returns."""

    def __init__(self, folder: Path) -> None:
        name = f"{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        self._out = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._clock = SystemClock()

    def write(self, event: str, job: Job, **more: Any) -> None:
        """`event` is `start` or `end`; `at_ms` is the wall clock, `mono_ms` the machine's, the same for all workers."""
        line = {
            "event": event,
            "job_id": job.job_id,
            "tenant": job.tenant,
            "topic": job.topic,
            "attempt": job.attempt,
            "permit_id": job.permit_id,
            "at_ms": self._clock.now_ms(),
            "mono_ms": time.monotonic_ns() // 1_000_000,
            "pid": os.getpid(),
            **more,
        }
        os.write(self._out, json.dumps(line).encode() + b"\n")  # noqa: TID251  nothing of it is hashed
        os.fdatasync(self._out)


_journals: dict[int, Journal] = {}


def _journal() -> Journal:
    """Of this process: one that was forked has another."""
    pid = os.getpid()
    if pid not in _journals:
        _journals[pid] = Journal(_folder())
    return _journals[pid]


def _folder() -> Path:
    folder = os.environ.get(JOURNALS, "")  # noqa: TID251  no setting of a worker, and named for none
    if not folder:
        raise RuntimeError(f"set {JOURNALS} to the folder where runs are written down")
    return Path(folder)


@worker.job("job.torture.>")
async def run(job: Job, payload: Payload) -> dict[str, Any]:
    """Go as the payload says, and write it down."""
    journal = _journal()
    journal.write("start", job)
    how = "cut_off"
    try:
        result = await _go(job, payload)
        how = "returned"
    except asyncio.CancelledError:
        how = "cancelled"
        raise
    except Exception:
        how = "raised"
        raise
    finally:
        journal.write("end", job, how=how)
    return {"marker": payload.marker, "job_id": job.job_id, "attempt": job.attempt, **result}


async def _go(job: Job, payload: Payload) -> dict[str, Any]:
    match payload.run:
        case Run.OK:
            return {}
        case Run.SLOW:
            return await _slow(job, payload.seconds)
        case Run.FLAKY:
            if job.attempt <= payload.failures:
                raise RuntimeError("this attempt fails")
            return {}
        case Run.FAIL:
            raise RuntimeError(f"every attempt fails, this one with {_planted().token}")
        case Run.LEAK:
            job.log(f"the token is {_planted().token}")
            return {"text": f"cloning with token {_planted().token} from the build server"}
        case Run.KEY:
            return {"file": Planted.of(secrets.randbits(64)).key}
        case Run.PLANTED_KEY:
            return {"file": _planted().key}
        case Run.LARGE:
            return {"blob": "lorem ipsum " * (LARGE_BYTES // 12)}


async def _slow(job: Job, seconds: float) -> dict[str, Any]:
    steps = max(1, int(seconds / STEP_S))
    for step in range(steps):
        job.progress(step / steps)
        await asyncio.sleep(STEP_S)
    return {"slept_s": seconds}


def _planted() -> Planted:
    return Planted.in_folder(_folder())
