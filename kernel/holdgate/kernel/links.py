"""The chain of custody: what the api, an approver and the kernel sign about one job, and the envelope that it is in.

What always holds: each link names the job, its hash and its tenant, so that none can be taken for another job's. A link
says nothing until its signature was verified (`permits`), and enough of them together are what `custody` asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, Digest, JobId, PermitId, Tenant, WorkerId
from holdgate.kernel.records import Constraints, Outcome


@dataclass(frozen=True, slots=True)
class Signed:
    """A record's canonical bytes and a signature over them; `key` is the signer's fingerprint.

    What is inside is not to be believed before `permits.open_signed` verified it.
    """

    body: bytes
    key: str
    signature: bytes

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"body": self.body, "key": self.key, "signature": self.signature}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The envelope of `as_dict`; InvalidInput when it is not one."""
        body, key, signature = value.get("body"), value.get("key"), value.get("signature")
        if not (isinstance(body, bytes) and isinstance(key, str) and isinstance(signature, bytes)):
            raise InvalidInput("not a signed record")
        return cls(body=body, key=key, signature=signature)


@dataclass(frozen=True, slots=True)
class Admission:
    """First link: the api says that it let this job in, for whom, and how."""

    job_id: JobId
    job_hash: Digest
    tenant: Tenant
    actor: ActorId
    principals: tuple[str, ...]
    outcome: Outcome
    verdict: str
    snapshot: str
    issued_ms: int


@dataclass(frozen=True, slots=True)
class Vote:
    """Second link: an approver, through the api or with an own key, says yes or no to exactly this job and policy.

    `attempt` is the one that it releases: the attempts that the job had so far, and one. `on_behalf_of`: who delegated
    it to the approver. `grant`: the standing grant, given by the approver before, for which the api cast it.
    """

    job_id: JobId
    job_hash: Digest
    snapshot: Digest
    tenant: Tenant
    approver: ActorId
    roles: tuple[str, ...]
    approve: bool
    reason: str
    attempt: int
    issued_ms: int
    expires_ms: int
    on_behalf_of: ActorId | None = None
    grant: str | None = None
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class Permit:
    """Third link: the kernel lets this worker run this attempt of this job, now.

    `approvers` are the people whose votes released it, as the kernel verified them.
    """

    permit_id: PermitId
    job_id: JobId
    job_hash: Digest
    tenant: Tenant
    snapshot: Digest
    verdict: str
    rules: tuple[str, ...]
    constraints: Constraints
    attempt: int
    pool: str
    worker: WorkerId
    issued_ms: int
    expires_ms: int
    approvers: tuple[str, ...] = ()
    fail_open: bool = False
