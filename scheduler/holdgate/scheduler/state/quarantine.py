"""Quarantine: outputs that nobody may read, sealed, until people release or destroy them.

What always holds: a release and a destruction are one script each, bound to the digest of the sealed bytes that was
shown; one person votes once; what was destroyed is gone and its record stays; a release never runs the job again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, Digest, JobId, Tenant
from holdgate.kernel.wire import pack, unpack
from holdgate.scheduler.errors import QUARANTINE_ERRORS, QuarantineNotFound, StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import Arg, Scripts, key
from holdgate.scheduler.state.newest import newest
from holdgate.scheduler.state.transitions import State


class SealedStatus(StrEnum):
    """What became of a quarantined output."""

    SEALED = "sealed"
    RELEASED = "released"
    DESTROYED = "destroyed"
    NOT_KEPT = "not_kept"
    """There was no key to seal to, so nothing is there to release."""


class Act(StrEnum):
    """What people may do with a sealed output."""

    RELEASE = "release"
    DESTROY = "destroy"


@dataclass(frozen=True, slots=True)
class SealedVote:
    """Who wants what done, why and when."""

    approver: ActorId
    act: Act
    reason: str
    cast_ms: int


@dataclass(frozen=True, slots=True)
class QuarantineItem:
    """A quarantined output. `sealed` (or what lies in the object store under `sealed_ref`) opens only with the
    quarantine private key; in lists it is None. `verdict` is the output gate's record: findings, never content."""

    job_id: JobId
    attempt: int
    verdict: dict[str, Any]
    sealed: bytes | None
    sealed_ref: Digest | None
    quarantined_ms: int
    status: SealedStatus
    topic: str
    actor: ActorId
    principals: tuple[ActorId, ...]
    resolved_ms: int | None = None
    resolved_by: ActorId | None = None
    votes: tuple[SealedVote, ...] = ()

    @property
    def digest(self) -> Digest | None:
        """Of the sealed bytes, as the output gate recorded it."""
        found = self.verdict.get("sealed_digest")
        return Digest(found) if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class Released:
    """What becomes readable: canonical JSON or None, log lines, error, and the verdict that says who released it."""

    verdict: dict[str, Any]
    value: bytes | None
    logs: tuple[str, ...]
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class SealedRequest:
    """A vote on a sealed output. `digest` is as the approver was shown; `completes` when no other vote is needed, and
    then `released` is there for a release."""

    job_id: JobId
    vote: SealedVote
    digest: Digest
    votes_seen: int
    completes: bool
    attempt: int
    released: Released | None = None


class Quarantine:
    """The quarantined outputs of a tenant."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def list_items(
        self, tenant: Tenant, limit: int, cursor: str | None = None
    ) -> tuple[list[QuarantineItem], str | None]:
        """Those that were not released, without their bytes, newest first, and the next cursor."""
        ids, following = await newest(self._scripts, key(tenant, "state", State.QUARANTINED), limit, cursor)
        job_ids = [JobId(job_id) for job_id in ids]
        calls: list[tuple[Arg, ...]] = []
        for job_id in job_ids:
            calls += _calls(tenant, job_id)
        replies = await self._scripts.commands(calls)
        rows = zip(job_ids, *(replies[start::4] for start in range(4)), strict=True)
        items = [_item(*row) for row in rows if row[1][0] is not None and row[4] is not None]
        return items, following

    async def get(self, tenant: Tenant, job_id: JobId) -> QuarantineItem | None:
        """One with its bytes where they are inline; also one that was released; None when there is none."""
        sealed, *rest = await self._scripts.commands(
            [("HGET", key(tenant, "sealed", job_id), "sealed"), *_calls(tenant, job_id)]
        )
        if rest[0][0] is None or rest[3] is None:
            return None
        return _item(job_id, *rest, sealed=sealed)

    async def require(self, tenant: Tenant, job_id: JobId) -> QuarantineItem:
        """The item; QuarantineNotFound."""
        item = await self.get(tenant, job_id)
        if item is None:
            raise QuarantineNotFound
        return item

    async def vote(self, tenant: Tenant, request: SealedRequest, now_ms: int) -> SealedStatus | None:
        """Cast it. The status after it: SEALED while more votes are needed; None when another came in between, and
        this one is to be counted anew. Raises the errors of `errors.QUARANTINE_ERRORS`; nothing changed then."""
        (code,) = await self._scripts.run("vote_sealed", tenant, _vote_args(request, now_ms))
        match code:
            case b"retry":
                return None
            case b"pending":
                return SealedStatus.SEALED
            case b"released" | b"destroyed":
                return SealedStatus(code.decode())
            case _:
                raise QUARANTINE_ERRORS[code.decode()]

    async def doomed(self, tenant: Tenant, limit: int = 64) -> list[Digest]:
        """Objects of sealed bytes that are to go: their output was released, destroyed or forgotten."""
        found = await self._scripts.command("SRANDMEMBER", key(tenant, "doomed"), limit)
        return [Digest(digest.decode()) for digest in found]

    async def note_gone(self, tenant: Tenant, digests: list[Digest]) -> None:
        """They are deleted from the object store."""
        if digests:
            await self._scripts.command("SREM", key(tenant, "doomed"), *digests)


_FIELDS = ("verdict", "ref", "at", "attempt", "status", "resolved", "by")


def _calls(tenant: Tenant, job_id: JobId) -> list[tuple[Arg, ...]]:
    sealed = key(tenant, "sealed", job_id)
    return [
        ("HMGET", sealed, *_FIELDS),
        ("HSTRLEN", sealed, "sealed"),
        ("LRANGE", key(tenant, "sealed_votes", job_id), 0, -1),
        ("HGET", key(tenant, "job", job_id), "who"),
    ]


def _vote_args(request: SealedRequest, now_ms: int) -> list[Arg]:
    """Arguments of `vote_sealed.lua`, in its order."""
    vote = request.vote
    cast = {"approver": vote.approver, "act": str(vote.act), "reason": vote.reason, "cast_ms": vote.cast_ms}
    details = {name: cast[name] for name in ("approver", "act", "reason")} | {"sealed_digest": request.digest}
    args: list[Arg] = [
        request.job_id,
        now_ms,
        vote.approver,
        vote.act,
        request.digest,
        request.votes_seen,
        int(request.completes),
        pack(cast),
        encoding.pack_details(details),
    ]
    released = request.released
    if released is None:
        return args
    record = {
        "attempt": request.attempt,
        "verdict": released.verdict,
        "ref": None,
        "logs": list(released.logs),
        "error": released.error,
        "finished_ms": now_ms,
    }
    args += ["record", pack(record)]
    if released.value is not None:
        # Inline whatever its size: a copy in the object store would be readable before the release is.
        args += ["value", released.value]
    return args


def _item(
    job_id: JobId, fields: list[Any], kept: int, votes: list[bytes], who_data: bytes, *, sealed: bytes | None = None
) -> QuarantineItem:
    verdict, ref, at, attempt, status, resolved, by = fields
    who = encoding.unpack_stored(who_data)
    if at is None or attempt is None:
        raise StateBroken("a sealed output cannot be read")
    unresolved = SealedStatus.SEALED if kept or ref else SealedStatus.NOT_KEPT
    return QuarantineItem(
        job_id=job_id,
        attempt=int(attempt),
        verdict=encoding.unpack_stored(verdict),
        sealed=sealed or None,
        sealed_ref=Digest(ref.decode()) if ref else None,
        quarantined_ms=int(at),
        status=SealedStatus(status.decode()) if status else unresolved,
        topic=who["topic"],
        actor=ActorId(who["actor"]),
        principals=tuple(map(ActorId, who["principals"])),
        resolved_ms=int(resolved) if resolved else None,
        resolved_by=ActorId(by.decode()) if by else None,
        votes=tuple(map(_vote, votes)),
    )


def _vote(data: bytes) -> SealedVote:
    try:
        record = unpack(data)
        return SealedVote(ActorId(record["approver"]), Act(record["act"]), record["reason"], record["cast_ms"])
    except (InvalidInput, KeyError, ValueError) as error:
        raise StateBroken("a stored vote cannot be read") from error
