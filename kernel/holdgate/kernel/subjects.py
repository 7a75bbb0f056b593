"""NATS subjects, streams and buckets: who talks to whom, in one place.

Pools and worker ids are one token each. Job ids are never part of a subject: filters over many subjects are slow.
"""

from __future__ import annotations

KERNEL_DECIDE = "holdgate.kernel.decide"
"""Request-reply, queue group `kernel`: decisions for submit, simulate and explain."""
KERNEL_PERMIT = "holdgate.kernel.permit"
"""Request-reply, queue group `kernel`: decisions and permits for dispatch."""
KERNEL_OUTPUT = "holdgate.kernel.output"
"""Request-reply, queue group `kernel`: verdicts on outputs, by what was found in them."""
KERNEL_STATUS = "holdgate.kernel.status"
"""Request-reply without a queue group: every replica answers."""
KERNEL_QUEUE = "kernel"
POLICY_SNAPSHOT = "holdgate.policy.snapshot"
"""Published by kernels when their snapshot changes, and every few seconds: drops caches, wakes re-decisions."""

WAKE = "holdgate.wake"
"""`holdgate.wake.<pool>`: a job became ready; dispatchers with waiting asks look."""
ASK = "holdgate.ask"
"""`holdgate.ask.<pool>.<worker>`: request-reply, queue group `dispatcher`."""
BEAT = "holdgate.beat"
"""`holdgate.beat.<pool>.<worker>`: request-reply, queue group `dispatcher`: renews leases."""
CONTROL = "holdgate.control"
"""`holdgate.control.<pool>.<worker>`: dispatcher to worker: cancel this job now."""
RESULT = "holdgate.result"
"""`holdgate.result.<pool>.<worker>`: into the stream RESULTS."""
JOB = "holdgate.job"
"""`holdgate.job.<tenant>`: into the stream JOBS."""
EVENT = "holdgate.event"
"""`holdgate.event.<tenant>`: a job changed its state (core NATS, only a hint): long polls and SSE look again."""
DISPATCHER_QUEUE = "dispatcher"

STREAM_JOBS = "JOBS"
STREAM_RESULTS = "RESULTS"
CONSUMER_INTAKE = "intake"
CONSUMER_RESULT_WATCH = "result-watch"
CONSUMER_OUTPUT_GATE = "output-gate"
BUCKET_POLICY = "holdgate-policy"
BUCKET_PAYLOADS = "holdgate-payloads"


def wake(pool: str) -> str:
    """Subject that says a job of `pool` became ready."""
    return f"{WAKE}.{pool}"


def ask(pool: str, worker: str) -> str:
    """Subject on which `worker` of `pool` asks for work."""
    return f"{ASK}.{pool}.{worker}"


def beat(pool: str, worker: str) -> str:
    """Subject on which `worker` of `pool` renews its leases."""
    return f"{BEAT}.{pool}.{worker}"


def control(pool: str, worker: str) -> str:
    """Subject on which `worker` of `pool` is told to cancel."""
    return f"{CONTROL}.{pool}.{worker}"


def result(pool: str, worker: str) -> str:
    """Subject on which `worker` of `pool` publishes results."""
    return f"{RESULT}.{pool}.{worker}"


def job(tenant: str) -> str:
    """Subject of the log of accepted jobs of `tenant`."""
    return f"{JOB}.{tenant}"


def event(tenant: str) -> str:
    """Subject of hints that a job of `tenant` changed."""
    return f"{EVENT}.{tenant}"
