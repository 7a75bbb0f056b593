"""NATS subjects, streams and buckets: who talks to whom, in one place.

Pools and worker ids are one token each. Job ids are never part of a subject: filters over many subjects are slow.
"""

from __future__ import annotations

from collections.abc import Sequence

KERNEL_DECIDE = "holdgate.kernel.decide"
"""Request-reply, queue group `kernel`: decisions for submit, simulate and explain."""
KERNEL_PERMIT = "holdgate.kernel.permit"
"""Request-reply, queue group `kernel`: decisions and permits for dispatch."""
KERNEL_OUTPUT = "holdgate.kernel.output"
"""Request-reply, queue group `kernel`: verdicts on outputs, by what was found in them."""
KERNEL_DETECTORS = "holdgate.kernel.detectors"
"""Request-reply, queue group `kernel`: what outputs are scanned with beside the built-in detectors."""
KERNEL_STATUS = "holdgate.kernel.status"
"""Request-reply without a queue group: every replica answers."""
KERNEL_QUEUE = "kernel"
POLICY_SNAPSHOT = "holdgate.policy.snapshot"
"""Published by kernels when their snapshot changes, and every few seconds: drops caches, wakes re-decisions."""

POLICY_EVENT = "holdgate.policy.event"
"""Published by kernels for every bundle that they accept or refuse: what the audit trail is told (only a hint)."""

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
ENDING = "holdgate.ended"
"""`holdgate.ended.<tenant>`: into the stream ENDED."""
EVENT = "holdgate.event"
"""`holdgate.event.<tenant>`: a job changed its state (core NATS, only a hint): long polls and SSE look again."""
DISPATCHER_QUEUE = "dispatcher"

INBOX = "_INBOX"
"""Where replies go to whoever connects without a name of its own, and the begin of every name of an inbox."""
WORKER_USER = "worker-"
"""Begin of the name of the NATS user that the workers of a pool share."""

STREAM_JOBS = "JOBS"
STREAM_RESULTS = "RESULTS"
STREAM_ENDED = "ENDED"
"""How jobs ended: what JOBS brings back after a loss of the state, less this, is what has to run."""
CONSUMER_INTAKE = "intake"
CONSUMER_RESULT_WATCH = "result-watch"
CONSUMER_OUTPUT_GATE = "output-gate"
BUCKET_POLICY = "holdgate-policy"
BUCKET_SHADOW = "holdgate-shadow"
"""Candidates, beside the bundles and not among them: see `holdgate.bundles.shadowing`."""
BUCKET_STAMP = "holdgate-stamp"
"""What the API says is published, signed, every half minute: see `holdgate.bundles.stamp`."""
BUCKET_PAYLOADS = "holdgate-payloads"


OPERATOR_USER = "operator"
"""May do everything, so also what a worker does: to try a worker of another pool, an operator's user will do."""


def inbox(user: str) -> str:
    """Subjects below this are where `user` alone receives replies. Those of workers differ by one token, the pool."""
    if user.startswith(WORKER_USER):
        return f"{INBOX}_worker.{user.removeprefix(WORKER_USER)}"
    return f"{INBOX}_{user}"


KERNEL_INBOXES = (INBOX, *map(inbox, ("api", "dispatcher", "output-gate", OPERATOR_USER)))
"""Of those who ask kernels."""


def may_answer(reply: str, inboxes: Sequence[str]) -> bool:
    """Whether `reply`, which whoever asked has chosen, lies below one of `inboxes`.

    An answer goes out with the rights of whoever gives it: sent anywhere else it could be a bundle, an acknowledgement
    or an announcement. ValueError when `inboxes` has what is no name of an inbox.
    """
    if not all(name.startswith(INBOX) for name in inboxes):
        raise ValueError(f"the name of an inbox begins with {INBOX}")
    return any(reply.startswith(f"{name}.") for name in inboxes) and not set(reply) & set("*> \t\r\n")


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


def ending(tenant: str) -> str:
    """Subject of the log of ended jobs of `tenant`."""
    return f"{ENDING}.{tenant}"


def event(tenant: str) -> str:
    """Subject of hints that a job of `tenant` changed."""
    return f"{EVENT}.{tenant}"
