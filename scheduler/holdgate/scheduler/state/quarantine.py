"""Quarantine: outputs that nobody may read, sealed, until people release or destroy them, or their time is over.

What always holds: a release, a destruction and an expiry are one script each, a vote is bound to the digest of the
sealed bytes that was shown, and where something is to be read instead of them to the digest of that, too; one person
has one vote, and a new one for something else takes the place of the old; what was destroyed or has expired is gone
and its record stays; a release never runs the job again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from holdgate.kernel.canonical import digest
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, Digest, JobId, Tenant, person_of
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
    EXPIRED = "expired"
    """Nobody decided in time, so it was destroyed."""
    NOT_KEPT = "not_kept"
    """There was no key to seal to, so nothing is there to release."""


class Act(StrEnum):
    """What people may do with a sealed output."""

    RELEASE = "release"
    DESTROY = "destroy"


@dataclass(frozen=True, slots=True)
class SealedVote:
    """Who wants what done, why and when. `replacement`: what is to be read instead of what was sealed, by its digest.

    `key` and `signature`: the api's, over all of it (`gates.sealedvotes`).
    """

    approver: ActorId
    act: Act
    reason: str
    cast_ms: int
    replacement: Digest | None = None
    key: str = ""
    signature: bytes = b""

    @property
    def subject(self) -> str:
        """What it is for: votes for the same count together."""
        return str(self.act) if self.replacement is None else f"{self.act} {self.replacement}"


@dataclass(frozen=True, slots=True)
class Replacement:
    """What somebody who opened a box wrote to be read instead of it: canonical JSON or None, log lines, error."""

    value: bytes | None
    logs: tuple[str, ...] = ()
    error: dict[str, str] | None = None

    @property
    def digest(self) -> Digest:
        """What votes for it are bound to."""
        return digest(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Plain values; the value as its canonical text."""
        value = None if self.value is None else self.value.decode("utf-8")
        return {"value": value, "logs": list(self.logs), "error": self.error}


@dataclass(frozen=True, slots=True)
class Proposed:
    """That there is a replacement to vote on, and whose."""

    digest: Digest
    by: ActorId
    at_ms: int


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
    """All that were cast; `standing` are those that count."""
    proposed: Proposed | None = None

    @property
    def digest(self) -> Digest | None:
        """Of the sealed bytes, as the output gate recorded it."""
        found = self.verdict.get("sealed_digest")
        return Digest(found) if isinstance(found, str) else None

    @property
    def commitment(self) -> Digest | None:
        """To what is in the sealed bytes; None of what was sealed before there were any."""
        found = self.verdict.get("commitment")
        return Digest(found) if isinstance(found, str) else None

    @property
    def standing(self) -> tuple[SealedVote, ...]:
        """The last vote of each person, in the order in which they were cast."""
        last = {person_of(vote.approver): vote for vote in self.votes}
        return tuple(vote for vote in self.votes if last[person_of(vote.approver)] is vote)


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
    then `released` is there for a release. `proposal`: the replacement that this vote is for, where it is a new one."""

    job_id: JobId
    vote: SealedVote
    digest: Digest
    votes_seen: int
    completes: bool
    attempt: int
    released: Released | None = None
    proposal: Replacement | None = None


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
        rows = zip(job_ids, *(replies[start::CALLS] for start in range(CALLS)), strict=True)
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

    async def replacement(self, tenant: Tenant, job_id: JobId) -> Replacement | None:
        """The replacement that is proposed now; None without one."""
        data = await self._scripts.command("HGET", key(tenant, "sealed", job_id), "proposal")
        if not data:
            return None
        record = encoding.unpack_stored(data)
        value = record["value"]
        return Replacement(None if value is None else value.encode(), tuple(record["logs"]), record["error"])

    async def put_away(self, tenant: Tenant, request: SealedRequest, ref: Digest) -> bool:
        """The value of what `request` released lies in the object store now, and no more beside its record.

        False when the result is not that one any more.
        """
        if request.released is None:
            return False
        here, away = (_record(request, request.vote.cast_ms, place) for place in (None, ref))
        return bool(await self._scripts.run("put_away", tenant, (request.job_id, here, away)))

    async def expire(self, tenant: Tenant, *, sealed_before_ms: int, now_ms: int, limit: int) -> list[JobId]:
        """Destroy what was sealed before then and nobody decided about, at most `limit`, oldest first; whose."""
        found = await self._scripts.run("expire_sealed", tenant, (sealed_before_ms, now_ms, limit))
        return [JobId(job_id.decode()) for job_id in found]

    async def doomed(self, tenant: Tenant, limit: int = 64) -> list[Digest]:
        """Objects of sealed bytes that are to go: their output was released, destroyed or forgotten."""
        found = await self._scripts.command("SRANDMEMBER", key(tenant, "doomed"), limit)
        return [Digest(digest.decode()) for digest in found]

    async def note_gone(self, tenant: Tenant, digests: list[Digest]) -> None:
        """They are deleted from the object store."""
        if digests:
            await self._scripts.command("SREM", key(tenant, "doomed"), *digests)


_FIELDS = ("verdict", "ref", "at", "attempt", "status", "resolved", "by", "proposed")
CALLS = 4


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
    vote, proposal = request.vote, request.proposal
    cast = {"approver": vote.approver, "act": str(vote.act), "reason": vote.reason, "cast_ms": vote.cast_ms}
    details = {name: cast[name] for name in ("approver", "act", "reason")} | {"sealed_digest": request.digest}
    if vote.replacement is not None:
        cast["replacement"] = details["replacement"] = vote.replacement
    cast |= {"key": vote.key, "signature": vote.signature}
    proposed = {"digest": vote.replacement, "by": vote.approver, "at_ms": now_ms}
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
        vote.subject,
        vote.replacement or "",
        b"" if proposal is None else pack(proposed),
        b"" if proposal is None else pack(proposal.as_dict()),
    ]
    if request.released is None:
        return args
    args += ["record", _record(request, now_ms, None)]
    if request.released.value is not None:
        # Inline whatever its size: a copy in the object store would be there before the release is.
        args += ["value", request.released.value]
    return args


def _record(request: SealedRequest, now_ms: int, ref: Digest | None) -> bytes:
    """The record of the result that `request` releases."""
    released = request.released
    if released is None:
        return b""
    return pack(
        {
            "attempt": request.attempt,
            "verdict": released.verdict,
            "ref": ref,
            "logs": list(released.logs),
            "error": released.error,
            "finished_ms": now_ms,
        }
    )


def _item(
    job_id: JobId, fields: list[Any], kept: int, votes: list[bytes], who_data: bytes, *, sealed: bytes | None = None
) -> QuarantineItem:
    verdict, ref, at, attempt, status, resolved, by, proposed = fields
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
        proposed=_proposed(proposed) if proposed else None,
    )


def _proposed(data: bytes) -> Proposed:
    record = encoding.unpack_stored(data)
    return Proposed(Digest(record["digest"]), ActorId(record["by"]), record["at_ms"])


def _vote(data: bytes) -> SealedVote:
    try:
        record = unpack(data)
        replacement = record.get("replacement")
        return SealedVote(
            approver=ActorId(record["approver"]),
            act=Act(record["act"]),
            reason=record["reason"],
            cast_ms=record["cast_ms"],
            replacement=None if replacement is None else Digest(replacement),
            key=record.get("key", ""),
            signature=record.get("signature", b""),
        )
    except (InvalidInput, KeyError, ValueError) as error:
        raise StateBroken("a stored vote cannot be read") from error
