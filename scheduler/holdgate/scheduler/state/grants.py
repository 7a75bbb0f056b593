"""Standing grants of a tenant in Redis: what was granted, by whom, how often it was used.

What always holds: a use is taken by the script that lets its job in, or not at all; what a grant allows is in its
terms, which the signed parts are bound to; Redis keeps the count and whether it ended, and can make no grant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.canonical import digest
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.grants import GrantId, GrantTerms
from holdgate.kernel.ids import ActorId, Digest, JobId, Tenant
from holdgate.kernel.links import Signed
from holdgate.kernel.records import ApprovalRequirement, Job
from holdgate.kernel.wire import pack
from holdgate.scheduler.errors import (
    ApprovalDuplicateVote,
    ApprovalStalePolicy,
    GrantEnded,
    GrantLimit,
    GrantNotFound,
    GrantStale,
    StateBroken,
)
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import Arg, Scripts, key
from holdgate.scheduler.state.delegations import oldest_id
from holdgate.scheduler.state.newest import newest


class GrantStatus(StrEnum):
    """Where a standing grant is."""

    PENDING = "pending"
    """Others have to give their part."""
    ACTIVE = "active"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    REVOKED = "revoked"
    WITHDRAWN = "withdrawn"
    """By who asked for it, before it was active."""
    REJECTED = "rejected"
    VOID = "void"
    """The policy changed."""


@dataclass(frozen=True, slots=True)
class StoredGrant:
    """A grant as Redis keeps it. `parts` are not to be believed before they are verified against `terms`."""

    terms: GrantTerms
    digest: Digest
    requirements: tuple[ApprovalRequirement, ...]
    status: GrantStatus
    uses: int
    parts: tuple[Signed, ...]
    ended_ms: int | None = None
    ended_by: ActorId | None = None
    seen: Mapping[str, int] = field(default_factory=dict)
    """When each approver looked at it first, where its rules want it read for a while."""


@dataclass(frozen=True, slots=True)
class FoundGrant:
    """One that a submit may use: its terms, the digest beside them, and who gave it."""

    grant_id: GrantId
    terms: GrantTerms
    digest: Digest
    parts: tuple[Signed, ...]


@dataclass(frozen=True, slots=True)
class GrantUse:
    """The use of a grant that `accept` is to take, with the votes that the api signed for those who gave it."""

    terms: GrantTerms
    digest: Digest
    votes: tuple[encoding.StoredVote, ...]


class Grants:
    """The store of standing grants."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def request(
        self,
        terms: GrantTerms,
        requirements: tuple[ApprovalRequirement, ...],
        part: Signed,
        *,
        is_complete: bool,
        now_ms: int,
    ) -> None:
        """Keep a new one with its first part; active at once where that is all it takes. GrantLimit."""
        args: list[Arg] = [
            terms.grant_id,
            now_ms,
            bucket_of(terms.actor, terms.topic),
            terms.expires_ms,
            terms.snapshot,
            pack(terms.as_dict()),
            terms.digest(),
            encoding.pack_requirements(requirements),
            terms.uses_max,
            encoding.pack_signed(part),
            terms.requested_by,
            int(is_complete),
            terms.expires_ms + limits.ENDED_KEPT_S * 1000,
            limits.GRANTS_PER_TOPIC_MAX,
            limits.GRANTS_LIVE_MAX,
            oldest_id("grant_", now_ms, limits.GRANT_S_MAX),
            encoding.pack_details(grant_facts(terms, terms.requested_by, terms.reason)),
        ]
        if await self._scripts.run("grant_request", terms.tenant, args) == b"limit":
            raise GrantLimit

    async def approve(
        self, grant: StoredGrant, part: Signed, approver: ActorId, reason: str, *, fresh: Digest, is_complete: bool,
        now_ms: int,
    ) -> bool:  # fmt: skip
        """Add a part to `grant` as it was read; False where somebody else did so in between.

        `fresh`: the snapshot in force. GrantNotFound, GrantEnded, GrantStale, ApprovalStalePolicy,
        ApprovalDuplicateVote.
        """
        terms = grant.terms
        args: list[Arg] = [
            terms.grant_id,
            now_ms,
            approver,
            grant.digest,
            fresh,
            len(grant.parts),
            int(is_complete),
            encoding.pack_signed(part),
            encoding.pack_details(grant_facts(terms, approver, reason)),
        ]
        code = await self._scripts.run("grant_approve", terms.tenant, args)
        if (error := _APPROVE_ERRORS.get(code)) is not None:
            raise error
        return bool(code != b"retry")

    async def end(
        self, tenant: Tenant, grant_id: GrantId, *, by: ActorId, is_requester: bool, reason: str, now_ms: int
    ) -> GrantStatus:
        """Revoke it, or withdraw or reject one that is pending. GrantNotFound, GrantEnded."""
        from_pending = GrantStatus.WITHDRAWN if is_requester else GrantStatus.REJECTED
        details = encoding.pack_details({"grant_id": grant_id, "by": by, "reason": reason})
        args = (grant_id, now_ms, by, from_pending, GrantStatus.REVOKED, details)
        reply = await self._scripts.run("grant_end", tenant, args)
        if reply == b"unknown":
            raise GrantNotFound
        if reply == b"over":
            raise GrantEnded
        return GrantStatus(reply.decode())

    async def expire(self, tenant: Tenant, now_ms: int, limit: int = 256) -> int:
        """End those whose time is over; how many."""
        return int(await self._scripts.run("grants_expire", tenant, (now_ms, limit)))

    async def void_others(self, tenant: Tenant, snapshot: Digest, now_ms: int) -> int:
        """End those given under another policy than the one of `snapshot`; how many."""
        return int(await self._scripts.run("grants_void", tenant, (now_ms, snapshot)))

    async def seen(self, tenant: Tenant, grant_id: GrantId, viewer: ActorId, now_ms: int) -> None:
        """Record that `viewer` looked at it; only the first look of a pending one counts."""
        await self._scripts.run("grant_view", tenant, (grant_id, now_ms, viewer))

    async def find(self, job: Job, snapshot: Digest, now_ms: int) -> list[FoundGrant]:
        """Active ones of the job's agent and topic, given under `snapshot`, with uses left. One round trip.

        One that cannot be read releases nothing and is left out.
        """
        rows = await self._scripts.run("grant_find", job.tenant, (now_ms, bucket_of(job.actor, job.topic), snapshot))
        found: list[FoundGrant] = []
        for grant_id, terms, terms_digest, *parts in rows:
            try:
                signed = tuple(map(encoding.unpack_signed, parts))
                found.append(
                    FoundGrant(GrantId(grant_id.decode()), _terms(terms), Digest(terms_digest.decode()), signed)
                )
            except StateBroken:
                continue
        return found

    async def require(self, tenant: Tenant, grant_id: GrantId) -> StoredGrant:
        """The grant; GrantNotFound."""
        (found,) = await self._get_many(tenant, [grant_id])
        if found is None:
            raise GrantNotFound
        return found

    async def listed(
        self, tenant: Tenant, limit: int, cursor: str | None = None
    ) -> tuple[list[StoredGrant], str | None]:
        """All of the tenant, newest first, and the next cursor."""
        ids, after = await newest(self._scripts, key(tenant, "grants"), limit, cursor)
        grants = await self._get_many(tenant, [GrantId(item) for item in ids])
        return [grant for grant in grants if grant is not None], after

    async def uses(self, tenant: Tenant, grant_id: GrantId, limit: int) -> list[tuple[JobId, int]]:
        """The newest jobs that it released, and when."""
        found = await self._scripts.command(
            "ZREVRANGE", key(tenant, "grant_uses", grant_id), 0, limit - 1, "WITHSCORES"
        )
        return [(JobId(job_id.decode()), int(float(at))) for job_id, at in zip(found[::2], found[1::2], strict=True)]

    async def _get_many(self, tenant: Tenant, ids: Sequence[GrantId]) -> list[StoredGrant | None]:
        calls: list[tuple[Arg, ...]] = []
        for grant_id in ids:
            calls.append(("HGETALL", key(tenant, "grant", grant_id)))
            calls.append(("LRANGE", key(tenant, "grant_parts", grant_id), 0, -1))
        replies = await self._scripts.commands(calls)
        return [
            _stored(dict(zip(fields[::2], fields[1::2], strict=True)), parts) if fields else None
            for fields, parts in zip(replies[::2], replies[1::2], strict=True)
        ]


_APPROVE_ERRORS = {
    b"unknown": GrantNotFound,
    b"ended": GrantEnded,
    b"stale": GrantStale,
    b"policy": ApprovalStalePolicy,
    b"duplicate": ApprovalDuplicateVote,
}


def bucket_of(actor: str, topic: str) -> str:
    """Where grants of an agent for a topic are found."""
    return digest([actor, topic]).removeprefix("sha256:")[:32]


def use_args(use: GrantUse | None) -> list[Arg]:
    """The part of the arguments of `accept.lua` that is about a grant."""
    if use is None:
        return ["", "", 0, 0, b"", 0]
    details = {
        "grant_id": use.terms.grant_id,
        "approvers": [vote.approver for vote in use.votes],
        "rules": [rule for rule, _ in use.terms.rules],
    }
    args: list[Arg] = [
        use.terms.grant_id,
        use.digest,
        use.terms.uses_max,
        use.terms.expires_ms,
        encoding.pack_details(details),
        len(use.votes),
    ]
    for vote in use.votes:
        args += [vote.approver, encoding.pack_vote(vote)]
    return args


def grant_facts(terms: GrantTerms, by: ActorId, reason: str) -> dict[str, Any]:
    """What an audit event tells of a grant."""
    return {
        "grant_id": terms.grant_id,
        "grant_digest": terms.digest(),
        "approver": by,
        "reason": reason,
        "agent": terms.actor,
        "agent_topic": terms.topic,
        "labels": dict(terms.labels),
        "rules": [rule for rule, _ in terms.rules],
        "snapshot": terms.snapshot,
        "uses_max": terms.uses_max,
        "expires_ms": terms.expires_ms,
        "of_job": terms.job_id,
    }


def _terms(data: bytes) -> GrantTerms:
    try:
        return GrantTerms.from_dict(encoding.unpack_stored(data))
    except InvalidInput as error:
        raise StateBroken("a stored grant cannot be read") from error


def _stored(record: dict[bytes, bytes], parts: list[bytes]) -> StoredGrant:
    try:
        return StoredGrant(
            terms=_terms(record[b"terms"]),
            digest=Digest(record[b"digest"].decode()),
            requirements=encoding.unpack_requirements(record[b"requirements"]),
            status=GrantStatus(record[b"status"].decode()),
            uses=int(record[b"uses"]),
            parts=tuple(map(encoding.unpack_signed, parts)),
            ended_ms=int(record[b"ended"]) if record.get(b"ended") else None,
            ended_by=ActorId(record[b"ended_by"].decode()) if record.get(b"ended_by") else None,
            seen={name[5:].decode(): int(at) for name, at in record.items() if name.startswith(b"seen:")},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StateBroken("a stored grant cannot be read") from error
