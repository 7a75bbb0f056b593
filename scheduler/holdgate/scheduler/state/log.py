"""The durable log: streams and consumers of JetStream, made here only, and the envelopes of accepted jobs.

What always holds: a publish returns only after JetStream confirmed it is on disk; a job is published under its id, so
that a repeat within the window is one message; streams refuse what does not fit rather than drop what is there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client as Nats
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    ObjectInfo,
    ObjectStoreConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.client import JetStreamContext
from nats.js.object_store import ObjectStore

from holdgate.kernel import limits, subjects, tracing
from holdgate.kernel.batching import BatchPublisher, Publication
from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.errors import Forged, InvalidInput, Unavailable
from holdgate.kernel.ids import Digest
from holdgate.kernel.links import Signed
from holdgate.kernel.records import Decision, Job
from holdgate.kernel.wire import pack, unpack
from holdgate.scheduler.errors import LogUnavailable, NotFound, StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.encoding import Idempotency
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.state.views import JobView

REDELIVERIES_MAX = -1
"""A result is never given up: past a maximum it would stay in the stream unseen."""
ACKS_PENDING_MAX = 8_192
_PAYLOAD_STREAM = f"OBJ_{subjects.BUCKET_PAYLOADS}"
_CHUNKS = f"$O.{subjects.BUCKET_PAYLOADS}.C"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Everything about an accepted job, enough to restore it: `job.payload` is None where it is in the object store."""

    job: Job
    decision: Decision
    admission: Signed
    state: State
    accepted_ms: int
    fail_open: bool = False
    idempotency: Idempotency | None = None
    """The caller's key and what it was for: after a loss the same request is still the same job."""
    packed: encoding.Packed | None = None
    """Job, decision and admission where they are packed already."""

    def pack(self) -> bytes:
        """Bytes for the log. Tenant and id stand at the top, so that the intake need not look further."""
        packed = self.packed or encoding.Packed.of(self.job, self.decision, self.admission)
        return pack(
            {
                "tenant": self.job.tenant,
                "job_id": self.job.job_id,
                "job": packed.job,
                "payload": self.job.payload,
                "decision": packed.decision,
                "admission": packed.admission,
                "state": str(self.state),
                "accepted_ms": self.accepted_ms,
                "fail_open": self.fail_open,
                "idempotency": None
                if self.idempotency is None
                else [self.idempotency.key, self.idempotency.fingerprint],
            }
        )

    @classmethod
    def of(cls, view: JobView, payload: bytes | None) -> Envelope:
        """Of a job that was let in, from what the state keeps of it. StateBroken where nobody signed for it."""
        if view.admission is None:
            raise StateBroken("an accepted job has no admission")
        return cls(
            job=view.job.with_payload(payload),
            decision=view.decision,
            admission=view.admission,
            state=view.state,
            accepted_ms=view.created_ms,
            fail_open=view.fail_open,
            idempotency=view.idempotency,
        )

    @classmethod
    def unpack(cls, data: bytes) -> Envelope:
        """The envelope in `data`; InvalidInput when it is none."""
        record = unpack(data)
        try:
            return cls(
                job=Job.from_dict({**unpack(record["job"]), "payload": record["payload"]}),
                decision=Decision.from_dict(unpack(record["decision"])),
                admission=Signed.from_dict(unpack(record["admission"])),
                state=State(record["state"]),
                accepted_ms=int(record["accepted_ms"]),
                fail_open=bool(record["fail_open"]),
                idempotency=_idempotency(record.get("idempotency")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("not an envelope of a job") from error


RESULTS_BYTES_MAX = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How large the log may grow and on how many servers it lies."""

    replicas: int = 1
    jobs_max_age_s: int = 7 * 24 * 3600
    results_max_age_s: int = 7 * 24 * 3600
    jobs_max_bytes: int = -1
    """Beyond, submits are refused (`log_unavailable`) until older jobs are past their age."""
    endings_max_bytes: int = -1
    """Beyond, ends wait in the state."""
    results_max_bytes: int = RESULTS_BYTES_MAX
    """Workers fill that stream, whoever they are: beyond, results wait with them, and jobs and ends have room still."""
    payloads_max_bytes: int = -1
    duplicate_window_s: int = 120
    ack_wait_s: float = 30.0

    @classmethod
    def within(cls, file_store_bytes: int | None, *, replicas: int = 1) -> StreamSettings:
        """Each stream in a share of what servers have for all, so that none takes another one's room; the rest is for
        bundles. None: nobody knows how much that is."""
        if file_store_bytes is None:
            return cls(replicas=replicas)
        quarter = file_store_bytes // 4
        return cls(
            replicas=replicas,
            jobs_max_bytes=quarter,
            endings_max_bytes=quarter,
            results_max_bytes=min(RESULTS_BYTES_MAX, quarter // 2),
            payloads_max_bytes=quarter,
        )


async def ensure_streams(nc: Nats, settings: StreamSettings | None = None) -> None:
    """Create or update the streams JOBS, ENDED and RESULTS, their consumers and the payload bucket. Idempotent.

    LogUnavailable when JetStream does not answer or refuses.
    """
    settings = settings or StreamSettings()
    js = nc.jetstream()
    try:
        for name, subject, max_age_s, max_bytes in (
            (subjects.STREAM_JOBS, f"{subjects.JOB}.*", settings.jobs_max_age_s, settings.jobs_max_bytes),
            # A job's end is kept for as long as the job after it: what is in JOBS and ended is in here.
            (subjects.STREAM_ENDED, f"{subjects.ENDING}.*", settings.jobs_max_age_s, settings.endings_max_bytes),
            (subjects.STREAM_RESULTS, f"{subjects.RESULT}.*.*", settings.results_max_age_s, settings.results_max_bytes),
        ):
            config = _stream_config(name, subject, max_age_s, settings)
            config.max_bytes = max_bytes
            await _ensure_stream(js, config)
        for stream, name, headers_only in (
            (subjects.STREAM_JOBS, subjects.CONSUMER_INTAKE, False),
            (subjects.STREAM_RESULTS, subjects.CONSUMER_RESULT_WATCH, True),
            (subjects.STREAM_RESULTS, subjects.CONSUMER_OUTPUT_GATE, False),
        ):
            await js.add_consumer(stream, _consumer_config(name, headers_only, settings))
        await _ensure_bucket(js, settings)
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise LogUnavailable(f"JetStream could not be set up: {error}") from error


class JobLog:
    """Publishes envelopes; what is waiting leaves as one atomic batch."""

    def __init__(self, nc: Nats, *, timeout_s: float = 5.0) -> None:
        self._publisher = BatchPublisher(nc, timeout_s=timeout_s)

    async def publish(self, envelope: Envelope) -> None:
        """On disk in JetStream when it returns; LogUnavailable otherwise (a repeat is safe)."""
        job = envelope.job
        headers = {}
        if tracing.is_on():
            headers[tracing.TRACEPARENT] = tracing.root_of(job.trace_id, job.job_id).header()
        publication = Publication(subjects.job(job.tenant), envelope.pack(), job.job_id, headers)
        try:
            await self._publisher.publish(publication)
        except Unavailable as error:
            raise LogUnavailable(str(error)) from error

    async def close(self) -> None:
        """Stop; idempotent."""
        await self._publisher.close()


class PayloadStore:
    """Payloads and results too large to be inline, under their digest.

    Read message by message, without a consumer: who may make one may have the server send to any subject.
    """

    def __init__(self, nc: Nats, *, timeout_s: float = 5.0) -> None:
        self._nc = nc
        self._timeout_s = timeout_s
        self._bucket: ObjectStore | None = None

    async def put(self, data: bytes) -> Digest:
        """Keep `data`; its digest is its name. LogUnavailable."""
        digest = digest_bytes(data)
        try:
            async with asyncio.timeout(self._timeout_s):
                await (await self._store()).put(digest, data)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LogUnavailable(f"the object store did not take a payload: {type(error).__name__}") from error
        return digest

    async def get(self, digest: Digest) -> bytes:
        """The bytes, checked against the digest. NotFound, LogUnavailable; Forged when they do not match."""
        try:
            async with asyncio.timeout(self._timeout_s):
                data = await self._read(await (await self._store()).get_info(digest))
        except (nats.js.errors.ObjectNotFoundError, nats.js.errors.ObjectDeletedError) as error:
            raise NotFound("there is no payload of that digest") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LogUnavailable(f"the object store did not give a payload: {type(error).__name__}") from error
        if digest_bytes(data) != digest:
            raise Forged("a payload in the object store is not the one that was hashed", code="payload_altered")
        return data

    async def delete(self, digest: Digest) -> None:
        """Forget; nothing happens when it is not there."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await (await self._store()).delete(digest)
        except (nats.js.errors.ObjectNotFoundError, nats.js.errors.ObjectDeletedError):
            return
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LogUnavailable(f"the object store did not delete a payload: {type(error).__name__}") from error

    async def _read(self, info: ObjectInfo) -> bytes:
        """The chunks of `info` in order: no more than it says, nor than a payload may have."""
        if type(info.size) is not int or type(info.nuid) is not str:
            raise Forged("an object in the object store does not say what it is", code="payload_altered")
        js, subject, seq = self._nc.jetstream(timeout=self._timeout_s), f"{_CHUNKS}.{info.nuid}", 0
        chunks: list[bytes] = []
        missing = min(info.size, limits.ENVELOPE_BYTES_MAX)
        while missing > 0:
            try:
                message = await js.get_msg(_PAYLOAD_STREAM, seq=seq + 1, subject=subject, next=True)
            except nats.js.errors.NotFoundError as error:
                raise NotFound("a part of a payload is not there any more") from error
            seq, chunk = message.seq or seq + 1, message.data or b""
            chunks.append(chunk)
            missing -= len(chunk)
        return b"".join(chunks)

    async def _store(self) -> ObjectStore:
        if self._bucket is None:
            self._bucket = await self._nc.jetstream().object_store(subjects.BUCKET_PAYLOADS)
        return self._bucket


def _idempotency(value: Any) -> Idempotency | None:
    """Of an envelope; one that was written before they had any has none."""
    if value is None:
        return None
    name, fingerprint = value
    if not (isinstance(name, str) and isinstance(fingerprint, str)):
        raise TypeError
    return Idempotency(name, fingerprint)


async def _ensure_stream(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        await js.update_stream(config)
    except nats.js.errors.NotFoundError:
        await js.add_stream(config)


async def _ensure_bucket(js: JetStreamContext, settings: StreamSettings) -> None:
    try:
        config = (await js.stream_info(_PAYLOAD_STREAM)).config
        if config.max_bytes != settings.payloads_max_bytes:
            config.max_bytes = settings.payloads_max_bytes
            await js.update_stream(config)
    except nats.js.errors.NotFoundError:
        await js.create_object_store(
            subjects.BUCKET_PAYLOADS,
            config=ObjectStoreConfig(
                bucket=subjects.BUCKET_PAYLOADS,
                description="payloads and results above the inline limit, by digest",
                max_bytes=settings.payloads_max_bytes,
                storage=StorageType.FILE,
                replicas=settings.replicas,
            ),
        )


def _stream_config(name: str, subject: str, max_age_s: int, settings: StreamSettings) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=[subject],
        # What was judged must not lie on in clear: a result goes when both its readers have let go of it.
        retention=RetentionPolicy.INTEREST if name == subjects.STREAM_RESULTS else RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_age=max_age_s,
        max_msg_size=limits.ENVELOPE_BYTES_MAX,
        num_replicas=settings.replicas,
        duplicate_window=settings.duplicate_window_s,
        allow_direct=True,
        allow_atomic=True,
    )


def _consumer_config(name: str, headers_only: bool, settings: StreamSettings) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=name,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=settings.ack_wait_s,
        max_deliver=REDELIVERIES_MAX,
        max_ack_pending=ACKS_PENDING_MAX,
        headers_only=headers_only or None,
    )
