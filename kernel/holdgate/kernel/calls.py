"""The messages between the kernel's service and its clients, both directions side by side.

    request  {items: [bytes…], until_ms, …}      each item is a message of its own: a hostile one fails alone
    reply    {items: [{…}…], replica, snapshot, reads, policy}   or   {error: code, message}

`until_ms` is when nobody waits for the answer any more; a kernel that falls behind leaves such requests out. No IO.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdgate.kernel import limits, wire
from holdgate.kernel.custody import PermitReply, PermitRequest
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import Digest, WorkerId
from holdgate.kernel.links import Signed
from holdgate.kernel.records import Decision, Job, Phase

REQUEST_BYTES = 4 * 1024 * 1024
"""A request is cut where it would be longer; a single job may be, up to what NATS carries."""
PAYLOAD_MISSING = "payload_missing"
FORGED_PAYLOAD = "forged_payload"
REPLY_TOO_LARGE = "reply_too_large"
NO_POLICY = "no_policy"
INTERNAL = "internal_error"
LATE = "late"


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """What a kernel announced: its snapshot, and the job fields that its rules read.

    `policy` is False when that kernel has no valid one, and so denies everything.
    """

    snapshot: Digest
    reads: tuple[str, ...]
    replica: str
    policy: bool
    heard_ms: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without when it was heard."""
        return {"snapshot": self.snapshot, "reads": list(self.reads), "replica": self.replica, "policy": self.policy}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], heard_ms: int) -> SnapshotInfo:
        """The announcement of `as_dict`; other keys are left alone; InvalidInput when it is not one."""
        snapshot, reads, replica = value.get("snapshot"), value.get("reads"), value.get("replica")
        if not (isinstance(snapshot, str) and isinstance(replica, str) and isinstance(reads, list)):
            raise InvalidInput("not an announcement of a snapshot")
        return cls(Digest(snapshot), tuple(map(str, reads)), replica, value.get("policy") is True, heard_ms)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the kernel reads it; `items` are not looked into yet."""

    items: list[bytes]
    until_ms: int
    phase: Phase
    trace: bool
    now_ms: int | None


def pack_request(
    items: Sequence[bytes], until_ms: int, phase: Phase, *, trace: bool = False, now_ms: int | None = None
) -> bytes:
    """The bytes of a request."""
    return wire.pack(
        {"items": list(items), "until_ms": until_ms, "phase": str(phase), "trace": trace, "now_ms": now_ms}
    )


def unpack_request(data: bytes) -> Request:
    """The request in `data`; InvalidInput when it is not one, or asks for what its phase may not."""
    value = wire.unpack(data)
    items, until_ms, now_ms = value.get("items"), value.get("until_ms"), value.get("now_ms")
    if not isinstance(items, list) or not items or not all(isinstance(item, bytes) for item in items):
        raise InvalidInput("a request has items")
    if len(items) > limits.KERNEL_BATCH_MAX:
        raise InvalidInput(f"more than {limits.KERNEL_BATCH_MAX} items in one request")
    if type(until_ms) is not int or not (now_ms is None or type(now_ms) is int):
        raise InvalidInput("a time is a number of milliseconds")
    try:
        phase = Phase(str(value.get("phase")))
    except ValueError as error:
        raise InvalidInput("an unknown phase") from error
    trace = value.get("trace") is True
    if (trace or now_ms is not None) and phase not in (Phase.SIMULATE, Phase.EXPLAIN):
        raise InvalidInput("only simulate and explain may set the time or ask for a trace")
    return Request(items, until_ms, phase, trace, now_ms)


def chunks(items: Sequence[bytes], bytes_max: int) -> Iterator[tuple[int, list[bytes]]]:
    """`items` in order, cut to what one request carries; with the index of each part's first item."""
    start, size = 0, 0
    for index, item in enumerate(items):
        if index > start and (index - start >= limits.KERNEL_BATCH_MAX or size + len(item) > bytes_max):
            yield start, list(items[start:index])
            start, size = index, 0
        size += len(item)
    if start < len(items):
        yield start, list(items[start:])


def pack_job(job: Job) -> bytes:
    """One item of a decide request."""
    return wire.pack(job.as_dict())


def unpack_job(data: bytes) -> Job:
    """The job of `pack_job`."""
    return Job.from_dict(wire.unpack(data))


def pack_permit_request(request: PermitRequest) -> bytes:
    """One item of a permit request."""
    return wire.pack(
        {
            "job": request.job.as_dict(),
            "admission": request.admission.as_dict(),
            "votes": [vote.as_dict() for vote in request.votes],
            "attempt": request.attempt,
            "pool": request.pool,
            "worker": request.worker,
        }
    )


def unpack_permit_request(data: bytes) -> PermitRequest:
    """The request of `pack_permit_request`; InvalidInput when it is not one."""
    value = wire.unpack(data)
    votes, attempt, pool, worker = (value.get(name) for name in ("votes", "attempt", "pool", "worker"))
    if not isinstance(votes, list) or type(attempt) is not int or not isinstance(pool, str):
        raise InvalidInput("not a permit request")
    if not isinstance(worker, str) or not isinstance(value.get("admission"), dict):
        raise InvalidInput("not a permit request")
    return PermitRequest(
        job=Job.from_dict(value.get("job") or {}),
        admission=Signed.from_dict(value["admission"]),
        votes=tuple(Signed.from_dict(vote if isinstance(vote, dict) else {}) for vote in votes),
        attempt=attempt,
        pool=pool,
        worker=WorkerId(worker),
    )


def permit_reply_dict(reply: PermitReply) -> dict[str, Any]:
    """One item of a reply to a permit request."""
    return {
        "decision": None if reply.decision is None else reply.decision.as_dict(),
        "permit": None if reply.permit is None else reply.permit.as_dict(),
        "refusal": reply.refusal,
        "message": reply.message,
    }


def permit_reply(value: Mapping[str, Any]) -> PermitReply:
    """The reply of `permit_reply_dict`, or of a refusal of the item as such."""
    if "error" in value:
        return PermitReply(None, refusal=str(value["error"]), message=str(value.get("message", "")))
    decision, permit = value.get("decision"), value.get("permit")
    return PermitReply(
        decision=None if decision is None else Decision.from_dict(decision),
        permit=None if permit is None else Signed.from_dict(permit),
        refusal=value.get("refusal"),
        message=str(value.get("message", "")),
    )
