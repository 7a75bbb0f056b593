"""The dispatcher's side of the protocol, played by a test that wants to hand a worker forged or awkward messages.

The true dispatcher cannot be made to send these; everything else is tested against it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import nats
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.api import StreamConfig

from holdgate.kernel import limits, subjects, wire
from holdgate.kernel.canonical import canonical_bytes, digest_bytes
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import Digest, WorkerId, new_job_id, new_permit_id, new_token
from holdgate.kernel.links import Permit
from holdgate.kernel.permits import Signer, seal
from holdgate.kernel.records import NO_CONSTRAINTS, Job

KERNEL = Signer.from_seed(b"k" * 32)
DISPATCHER = Signer.from_seed(b"d" * 32)
STRANGER = Signer.from_seed(b"s" * 32)
SNAPSHOT = Digest("sha256:" + "0" * 64)


def make_job(topic: str = "job.test.echo", payload: Any = None, **changes: Any) -> Job:
    """A job as the api would make it."""
    now_ms = SystemClock().now_ms()
    encoded = canonical_bytes(payload)
    job = Job(
        job_id=new_job_id(now_ms),
        created_ms=now_ms,
        trace_id="0" * 32,
        tenant="acme",  # type: ignore[arg-type]
        topic=topic,
        payload=encoded,
        payload_digest=digest_bytes(encoded),
        actor="agent-1",  # type: ignore[arg-type]
        actor_type="agent",
        pool="default",
        max_attempts=3,
    )
    return replace(job, **changes)


def make_permit(job: Job, worker: str, *, attempt: int = 1, **changes: Any) -> Permit:
    """A permit as the kernel would sign it for `job`, with `changes`."""
    now_ms = changes.pop("now_ms", None) or SystemClock().now_ms()
    permit = Permit(
        permit_id=new_permit_id(now_ms),
        job_id=job.job_id,
        job_hash=job.job_hash(),
        tenant=job.tenant,
        snapshot=SNAPSHOT,
        verdict="allow",
        rules=("allow-all",),
        constraints=NO_CONSTRAINTS,
        attempt=attempt,
        pool=job.pool,
        worker=WorkerId(worker),
        issued_ms=now_ms,
        expires_ms=now_ms + limits.PERMIT_LIFETIME_S * 1000,
    )
    return replace(permit, **changes)


def make_delivery(
    job: Job,
    worker: str,
    *,
    attempt: int = 1,
    signer: Signer = KERNEL,
    **changes: Any,
) -> dict[str, Any]:
    """What the dispatcher hands over for `job`; `changes` are of the permit."""
    permit = make_permit(job, worker, attempt=attempt, **changes)
    return {
        "job": job.as_dict(),
        "permit": seal(permit, signer).as_dict(),
        "attempt": attempt,
        "token": new_token(),
        "lease_ms": limits.LEASE_S * 1000,
    }


@dataclass
class Handover:
    """Answers asks with what was put into `deliveries`, answers heartbeats, and reads the results."""

    nc: Nats
    results: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    beats: list[Mapping[str, Any]] = field(default_factory=list)
    asks: list[Mapping[str, Any]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    beat_error: str | None = None
    worker: str = ""
    _is_released: bool = False
    _waiting: list[Callable[[str], dict[str, Any]]] = field(default_factory=list)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _known: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def start(cls, url: str, pool: str = "default") -> Handover:
        """Listen where the dispatcher would."""
        self = cls(await nats.connect(url))
        stream = self.nc.jetstream()
        await stream.add_stream(
            StreamConfig(name=subjects.STREAM_RESULTS, subjects=[f"{subjects.RESULT}.>"], allow_atomic=True)
        )
        await self.watch_results()
        await self.nc.subscribe(f"{subjects.ASK}.{pool}.*", cb=self._on_ask)
        await self.nc.subscribe(f"{subjects.BEAT}.{pool}.*", cb=self._on_beat)
        await self.nc.flush()
        return self

    async def watch_results(self) -> None:
        """Read the results of the stream from its beginning."""
        await self.nc.jetstream().subscribe(f"{subjects.RESULT}.>", cb=self._on_result)

    async def stop(self) -> None:
        """Close the connection."""
        await self.nc.close()

    def release(self) -> None:
        """Leave no ask open from now on, so that a draining worker need not wait for it."""
        self._is_released = True
        self._ready.set()

    async def tell(self, order: dict[str, Any]) -> None:
        """Send a control message to the worker."""
        await self.nc.publish(subjects.control("default", self.worker), wire.pack(order))

    async def known_worker(self) -> str:
        """Id of the worker, once it was heard of."""
        async with asyncio.timeout(10):
            await self._known.wait()
        return self.worker

    def hand_over(self, make: Callable[[str], dict[str, Any]]) -> None:
        """Answer the next ask with what `make` gives for the worker's id."""
        self._waiting.append(make)
        self._ready.set()

    def give(self, job: Job, **changes: Any) -> None:
        """Hand over `job` with a true permit."""
        self.hand_over(lambda worker: make_delivery(job, worker, **changes))

    async def result(self, timeout_s: float = 15) -> dict[str, Any]:
        """The next result."""
        async with asyncio.timeout(timeout_s):
            return await self.results.get()

    async def _on_ask(self, message: Msg) -> None:
        ask = wire.unpack(message.data)
        self.asks.append(ask)
        self._heard_of(ask)
        # Callbacks of one subscription run one after another, and an open ask must not block the next.
        _keep(asyncio.create_task(self._answer(message, ask)))

    async def _answer(self, message: Msg, ask: Mapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(ask["wait_ms"] / 1000):
                while not (self._waiting or self._is_released):
                    self._ready.clear()
                    await self._ready.wait()
        except TimeoutError:
            pass
        taken, self._waiting = self._waiting[: ask["n"]], self._waiting[ask["n"] :]
        await message.respond(wire.pack({"jobs": [make(ask["worker"]) for make in taken]}))

    async def _on_beat(self, message: Msg) -> None:
        beat = wire.unpack(message.data)
        self.beats.append(beat)
        self._heard_of(beat)
        answer: dict[str, Any] = {"cancel": self.cancelled, "lost": self.lost, "lease_ms": limits.LEASE_S * 1000}
        if self.beat_error is not None:
            answer = {"error": self.beat_error, "cancel": [], "lost": []}
        await message.respond(wire.pack(answer))

    async def _on_result(self, message: Msg) -> None:
        await self.results.put({**wire.unpack(message.data), "headers": dict(message.headers or {})})
        await message.ack()

    def _heard_of(self, said: Mapping[str, Any]) -> None:
        self.worker = said["worker"]
        self._known.set()


_tasks: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
