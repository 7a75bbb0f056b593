"""How records lie in Redis: msgpack, a job's payload beside its record, identity in a form that scripts can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdgate.kernel.errors import InvalidInput, RecordNewer
from holdgate.kernel.links import Signed
from holdgate.kernel.plain import field_names
from holdgate.kernel.records import ApprovalRequirement, Decision, Job, Severity
from holdgate.kernel.wire import pack, unpack
from holdgate.scheduler.errors import StateBroken, StateNewer


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's key and the fingerprint of the body it came with."""

    key: str
    fingerprint: str


def unpack_idempotency(data: bytes | None) -> Idempotency | None:
    """As the record of its job keeps it: what `accept.lua` and `restore.lua` write."""
    if data is None:
        return None
    fingerprint, _, name = data.decode().partition(" ")
    return Idempotency(name, fingerprint)


def pack_job(job: Job, *, keep_prompt: bool = True) -> bytes:
    """The record without its payload; a denied job's without its prompt too."""
    record = job.as_dict()
    record["payload"] = None
    if not keep_prompt:
        record["prompt"] = None
    return pack(record)


def unpack_job(data: bytes | None, payload: bytes | None = None) -> Job:
    """The job; StateBroken when the bytes are not a job record."""
    record = unpack_stored(data)
    record["payload"] = payload
    try:
        return Job.from_dict(record)
    except InvalidInput as error:
        raise StateBroken(f"a stored job cannot be read: {error}") from error


def pack_who(job: Job, job_hash: str) -> bytes:
    """Who and what an audit event is about; scripts read `actor` and `principals` from it."""
    return pack(
        {
            "actor": job.actor,
            "actor_type": job.actor_type,
            "principals": list(job.principals),
            "topic": job.topic,
            "capability": job.capability,
            "trace_id": job.trace_id,
            "job_hash": job_hash,
        }
    )


def pack_decision(decision: Decision) -> bytes:
    """The whole decision, without the trace of an explanation."""
    record = decision.as_dict()
    del record["decided_at"]
    record.pop("trace", None)
    return pack(record)


def unpack_decision(data: bytes | None) -> Decision:
    """The decision; StateBroken when the bytes are not a decision record."""
    try:
        return Decision.from_dict(unpack_stored(data))
    except InvalidInput as error:
        raise StateBroken(f"a stored decision cannot be read: {error}") from error


def pack_signed(signed: Signed) -> bytes:
    """A signed link of the chain of custody."""
    return pack(signed.as_dict())


@dataclass(frozen=True, slots=True)
class Packed:
    """A job without its payload, the decision about it and its admission, as Redis and the log both keep them: a submit
    packs them once for the two."""

    job: bytes
    decision: bytes
    admission: bytes

    @classmethod
    def of(cls, job: Job, decision: Decision, admission: Signed) -> Packed:
        """The three records in bytes."""
        return cls(pack_job(job), pack_decision(decision), pack_signed(admission))


def unpack_signed(data: bytes | None) -> Signed:
    """The signed link; StateBroken when the bytes are none."""
    try:
        return Signed.from_dict(unpack_stored(data))
    except InvalidInput as error:
        raise StateBroken(f"a stored signature cannot be read: {error}") from error


def pack_requirements(requirements: Sequence[ApprovalRequirement]) -> bytes:
    """Who must release a held job."""
    return pack({"all": [item.as_dict() for item in requirements]})


def unpack_requirements(data: bytes) -> tuple[ApprovalRequirement, ...]:
    """The requirements; StateBroken when the bytes are none."""
    try:
        return tuple(ApprovalRequirement.from_dict(item) for item in unpack_stored(data)["all"])
    except (InvalidInput, KeyError, TypeError) as error:
        raise StateBroken("a stored approval cannot be read") from error


@dataclass(frozen=True, slots=True)
class StoredVote:
    """A vote as the approval keeps it. `own_key`: signed by the approver's own registered key; `keyed`: the roles that
    the approver's API keys gave them."""

    approver: str
    roles: tuple[str, ...]
    approve: bool
    reason: str
    cast_ms: int
    own_key: bool
    signed: Signed
    on_behalf_of: str | None = None
    grant: str | None = None
    break_glass: bool = False
    keyed: tuple[str, ...] = ()


def pack_vote(vote: StoredVote) -> bytes:
    """A vote on record."""
    return pack(
        {
            "approver": vote.approver,
            "roles": list(vote.roles),
            "approve": vote.approve,
            "reason": vote.reason,
            "cast_ms": vote.cast_ms,
            "own_key": vote.own_key,
            "on_behalf_of": vote.on_behalf_of,
            "grant": vote.grant,
            "break_glass": vote.break_glass,
            "keyed": list(vote.keyed),
            "signed": vote.signed.as_dict(),
        }
    )


def unpack_vote(data: bytes) -> StoredVote:
    """The vote; StateBroken when the bytes are none."""
    record = unpack_stored(data)
    try:
        signed = Signed.from_dict(record.pop("signed"))
        lists = {name: tuple(record.get(name, ())) for name in ("roles", "keyed")}
        return StoredVote(**{**known(StoredVote, record), **lists, "signed": signed})
    except (InvalidInput, KeyError, TypeError) as error:
        raise StateBroken("a stored vote cannot be read") from error


def decision_facts(decision: Decision) -> dict[str, Any]:
    """What an audit event tells of a decision."""
    return {
        "verdict": str(decision.verdict),
        "reason": decision.reason,
        "rules": list(decision.rules),
        "deciding": list(decision.deciding),
        "snapshot": decision.snapshot,
        "phase": str(decision.phase),
        "constraints": decision.constraints.as_dict(),
        "severity": _severity(decision.approvals),
        "expires_s": min((item.expires_s for item in decision.approvals), default=None),
    }


def _severity(requirements: Sequence[ApprovalRequirement]) -> str | None:
    """The gravest that a deciding rule says."""
    worst = max((item.severity for item in requirements), key=list(Severity).index, default=None)
    return None if worst is None else str(worst)


def pack_details(details: Mapping[str, Any]) -> bytes:
    """Details of an audit event; empty bytes for none."""
    return pack({name: value for name, value in details.items() if value is not None}) if details else b""


def unpack_details(data: bytes) -> dict[str, Any]:
    """The details; {} for empty bytes."""
    return unpack_stored(data) if data else {}


def known(kind: type[Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """What of `record` is a field of `kind`: a later release of the same version may have added others.

    Not for what is hashed or decides: an unknown key there may be a bound, and is refused.
    """
    return {name: record[name] for name in field_names(kind) if name in record}


def unpack_stored(data: bytes | None) -> dict[str, Any]:
    """A stored record; StateBroken when it cannot be read or is not there, StateNewer when a newer release can."""
    if data is None:
        raise StateBroken("a stored record is not there")
    try:
        return unpack(data)
    except RecordNewer as error:
        raise StateNewer(str(error)) from error
    except InvalidInput as error:
        raise StateBroken(f"a stored record cannot be read: {error}") from error
