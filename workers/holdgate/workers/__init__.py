"""The worker SDK: `Worker` registers handlers, `Job` is what they get, `PermanentFailure` is for them to raise."""

from holdgate.workers.errors import BadHandler, PermanentFailure
from holdgate.workers.job import Job
from holdgate.workers.worker import Worker

__all__ = ["BadHandler", "Job", "PermanentFailure", "Worker"]
