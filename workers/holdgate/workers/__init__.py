"""The worker SDK: `Worker` registers handlers, `Job` and `Secret` are what they get, `PermanentFailure` is for them."""

from holdgate.workers.errors import BadArtifact, BadHandler, PermanentFailure, SecretNotAsked
from holdgate.workers.job import Job
from holdgate.workers.secrets import Secret
from holdgate.workers.worker import Worker

__all__ = ["BadArtifact", "BadHandler", "Job", "PermanentFailure", "Secret", "SecretNotAsked", "Worker"]
