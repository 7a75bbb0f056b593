"""A worker whose handler says when it began: for the time from a release to the run."""

from __future__ import annotations

import time

from holdgate.workers import Job, Worker

worker = Worker()


@worker.job("job.deploy.apply", capabilities=["infra.write"])
async def begin(_job: Job) -> int:
    """Microseconds since the epoch, on the clock of this machine."""
    return time.time_ns() // 1000
