"""A worker whose handlers write down each of their starts before they do anything: `HANDLED` names the file."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from holdgate.workers import Job, Worker

worker = Worker()
JOURNAL = Path(os.environ["HANDLED"])


@worker.job("job.>", capabilities=["demo.read", "demo.write", "infra.write"])
async def handle(job: Job) -> dict[str, Any]:
    """One line, on disk before the answer."""
    with JOURNAL.open("a") as journal:  # noqa: ASYNC230  a line
        journal.write(f"{job.job_id} {job.attempt}\n")
        journal.flush()
        os.fsync(journal.fileno())
    if job.topic == "job.demo.slow":
        await asyncio.sleep(float(job.payload["seconds"]))
    return {"status": "ok"}
