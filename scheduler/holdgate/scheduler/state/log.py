"""The durable log: streams and consumers of JetStream, made here only, and the envelopes of accepted jobs.

What always holds: a publish returns only after JetStream confirmed it is on disk; a job is published under its id, so
that a repeat within the window is one message; streams refuse what does not fit rather than drop what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client as Nats
from nats.js.object_store import ObjectStore

from holdgate.kernel.ids import Digest
from holdgate.kernel.records import Decision, Job, Signed
from holdgate.scheduler.state.transitions import State


@dataclass(frozen=True, slots=True)
class Envelope:
    """Everything about an accepted job, enough to restore it: `job.payload` is None where it is in the object store."""

    job: Job
    decision: Decision
    admission: Signed
    state: State
    accepted_ms: int
    fail_open: bool = False

    def pack(self) -> bytes:
        """Bytes for the log."""
        raise NotImplementedError

    @classmethod
    def unpack(cls, data: bytes) -> Envelope:
        """The envelope in `data`; InvalidInput when it is none."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How large the log may grow and on how many servers it lies."""

    replicas: int = 1
    jobs_max_age_s: int = 7 * 24 * 3600
    results_max_age_s: int = 7 * 24 * 3600
    max_bytes: int = -1
    duplicate_window_s: int = 120
    ack_wait_s: float = 30.0


async def ensure_streams(nc: Nats, settings: StreamSettings | None = None) -> None:
    """Create or update the streams JOBS and RESULTS, their consumers and the payload bucket. Idempotent."""
    raise NotImplementedError


class JobLog:
    """Publishes envelopes; what is waiting leaves as one atomic batch."""

    def __init__(self, nc: Nats, *, timeout_s: float = 5.0) -> None:
        self._nc = nc
        self._timeout_s = timeout_s

    async def publish(self, envelope: Envelope) -> None:
        """On disk in JetStream when it returns; LogUnavailable otherwise (a repeat is safe)."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stop; idempotent."""
        raise NotImplementedError


class PayloadStore:
    """Payloads and results too large to be inline, under their digest."""

    def __init__(self, nc: Nats, *, timeout_s: float = 5.0) -> None:
        self._nc = nc
        self._timeout_s = timeout_s
        self._bucket: ObjectStore | None = None

    async def put(self, data: bytes) -> Digest:
        """Keep `data`; its digest is its name. LogUnavailable."""
        raise NotImplementedError

    async def get(self, digest: Digest) -> bytes:
        """The bytes, checked against the digest. NotFound, LogUnavailable; Forged when they do not match."""
        raise NotImplementedError

    async def delete(self, digest: Digest) -> None:
        """Forget; nothing happens when it is not there."""
        raise NotImplementedError


async def verify_durability(redis: Any, nats_monitor_url: str | None, *, profile: str) -> list[str]:
    """Compare the servers with the declared profile (`strict` or `relaxed`).

    Under strict: DurabilityMismatch naming every difference. Under relaxed: the differences, for log and metric.
    """
    raise NotImplementedError
