"""The worker that `test_process` starts as a process of its own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from holdgate.workers import Job, Worker

worker = Worker(concurrency=4)


@worker.job("job.test.finish")
async def finish(job: Job) -> str:
    """Needs a moment after it was told that the worker ends."""
    await asyncio.sleep(1.0)
    return "finished"


@worker.job("job.test.never")
async def never(job: Job) -> None:
    Path(job.payload).touch()  # noqa: ASYNC240  a touch, in a test
    await asyncio.Event().wait()


@worker.job("job.test.deaf")
def deaf(job: Job) -> None:
    """Takes no notice of anything."""
    Path(job.payload).touch()
    while True:
        time.sleep(0.05)


@worker.job("job.test.compute", executor="process")
def compute(job: Job) -> str:
    Path(job.payload).touch()
    while True:
        sum(range(10_000))
